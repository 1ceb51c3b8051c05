"""Which addresses answers are sent to, and that nothing but the address compared is connected to."""

from __future__ import annotations

from contextlib import suppress

import pytest
import requests
import urllib3
from hypothesis import example, given
from hypothesis import strategies as st

from msim_xds.delivery.addresses import BadAddress, ForbiddenPeer, ReplyHosts, Target

HOSTS = ReplyHosts(
    ["his.example.pl:8443", "lab.example.pl", "127.0.0.1", "[::1]:8080", "[2001:DB8::0:1]", "localhost:9"]
)


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("http://127.0.0.1/", Target("http", "127.0.0.1", 80, "/")),
        ("https://127.0.0.1", Target("https", "127.0.0.1", 443, "/")),
        ("http://127.0.0.1.:8/a", Target("http", "127.0.0.1", 8, "/a")),
        ("HTTPS://HIS.Example.PL:8443/x?y=1&z=%20", Target("https", "his.example.pl", 8443, "/x?y=1&z=%20")),
        ("https://his.example.pl.:8443/x", Target("https", "his.example.pl", 8443, "/x")),
        ("https://his.example.pl:08443/x", Target("https", "his.example.pl", 8443, "/x")),
        ("http://lab.example.pl:1/;a=b/@,c", Target("http", "lab.example.pl", 1, "/;a=b/@,c")),
        ("http://lab.example.pl?a/b", Target("http", "lab.example.pl", 80, "/?a/b")),
        ("http://[::1]:8080/", Target("http", "::1", 8080, "/")),
        ("http://[0:0:0:0:0:0:0:1]:8080/", Target("http", "::1", 8080, "/")),
        ("http://[2001:db8:0::1]:77/", Target("http", "2001:db8::1", 77, "/")),
        ("http://localhost:9/", Target("http", "localhost", 9, "/")),
    ],
)
def test_allowed(address: str, target: Target) -> None:
    assert HOSTS.target(address) == target
    assert HOSTS.problem(address) is None


NOT_ALLOWED = "operator has allowed"
NO_URL = "a plain URL"


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("http://elsewhere.example.pl/", NOT_ALLOWED),
        ("https://his.example.pl/x", NOT_ALLOWED),  # another port
        ("https://his.example.pl:8444/x", NOT_ALLOWED),
        ("http://sub.lab.example.pl/", NOT_ALLOWED),
        ("http://lab.example.pl.evil.example/", NOT_ALLOWED),
        ("http://127.0.0.2/", NOT_ALLOWED),
        ("http://[::1]/", NOT_ALLOWED),
        ("http://[::ffff:127.0.0.1]/", NOT_ALLOWED),
        ("http://169.254.169.254/latest/meta-data", NOT_ALLOWED),
        ("http://localhost/", NOT_ALLOWED),
        # other spellings of 127.0.0.1, which resolvers understand
        ("http://127.1/", NO_URL),
        ("http://2130706433/", NO_URL),
        ("http://0x7f000001/", NO_URL),
        ("http://0x7f.0.0.0x1/", NO_URL),
        ("http://0177.0.0.1/", NO_URL),
        ("http://127.0.0.1..:8/", NO_URL),
        ("http://127.0.0.001/", NO_URL),
        # who is asked is somebody else than it seems
        ("http://127.0.0.1@evil.example/", NO_URL),
        ("http://user:secret@127.0.0.1/", NO_URL),
        ("http://evil.example#@127.0.0.1/", NO_URL),
        ("http://evil.example\\@127.0.0.1/", NO_URL),
        ("http://127.0.0.1\\.evil.example/", NO_URL),
        ("http://127.0.0.1%2eevil.example/", NO_URL),
        ("http://127.0.0.1:80:81/", NO_URL),
        ("http:127.0.0.1/", NO_URL),
        ("http:///127.0.0.1/", NO_URL),
        ("//127.0.0.1/", NO_URL),
        ("http://127.0.0.1/\r\nHost: evil.example", NO_URL),
        ("http://127.0.0.1/a b", NO_URL),
        ("http://127.0.0.1/ą", NO_URL),
        ("http://127.0.0.1/#fragment", NO_URL),
        ("http://127。0。0。1/", NO_URL),
        ("http://¹²⁷.0.0.1/", NO_URL),
        ("http://łab.example.pl/", NO_URL),
        ("http://[::1%25eth0]:8080/", NO_URL),
        ("http://[::1]8080/", NO_URL),
        ("http://[:::1]:8080/", NO_URL),
        ("http://127.0.0.1:0/", NO_URL),
        ("http://127.0.0.1:65536/", NO_URL),
        ("http://127.0.0.1:+80/", NO_URL),
        ("http://-lab.example.pl/", NO_URL),
        (f"http://{'a' * 64}.pl/", NO_URL),
        (f"http://{'a.' * 127}pl/", NO_URL),
        ("http://./", NO_URL),
        ("ftp://127.0.0.1/", NO_URL),
        ("file:///etc/passwd", NO_URL),
        ("gopher://127.0.0.1:70/x", NO_URL),
        ("mailto:a@b", NO_URL),
        ("urn:uuid:1", NO_URL),
        ("", NO_URL),
        ("http://127.0.0.1/" + "a" * 2048, "over 2048 characters"),
    ],
)
def test_refused(address: str, problem: str) -> None:
    with pytest.raises(BadAddress, match=problem):
        HOSTS.target(address)
    assert problem in str(HOSTS.problem(address))


@pytest.mark.parametrize(
    "entry", ["", "[::1", "[127.0.0.1]", "::1", "a b", "host:0", "host:65536", "127.1", "h:"]
)
def test_entries_that_are_no_host(entry: str) -> None:
    with pytest.raises(ValueError, match=r"delivery\.reply_hosts"):
        ReplyHosts([entry])


def test_without_hosts_nothing_is_allowed() -> None:
    assert not ReplyHosts([])
    assert ReplyHosts(["a"])
    assert ReplyHosts([]).problem("http://127.0.0.1/") is not None


@given(st.text(alphabet="htps:/.@#?[]127.0localhost\\%8x \t-", max_size=40))
@example("http://127.0.0.1@8")
def test_other_clients_would_connect_to_the_same_place(text: str) -> None:
    """An address that is let pass means the same to other readers of URLs; nothing hides in it."""
    for address in (text, f"http://127.0.0.1{text}", f"http://{text}127.0.0.1"):
        with suppress(BadAddress):
            target = HOSTS.target(address)
            parsed = urllib3.util.parse_url(address)
            assert (parsed.host or "").strip("[]").rstrip(".") == target.host
            assert (parsed.port or {"http": 80, "https": 443}[target.scheme]) == target.port
            prepared = requests.Request("POST", address).prepare().url or ""
            assert urllib3.util.parse_url(prepared).host == parsed.host


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        ("10.1.2.3", True),
        ("192.168.1.1", True),
        ("2001:db8::1", True),
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("169.254.169.254", False),
        ("fe80::1%2", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
    ],
)
def test_what_a_name_may_stand_for(peer: str, allowed: bool) -> None:
    target = HOSTS.target("http://lab.example.pl/")
    if allowed:
        target.check_peer(peer)
    else:
        with pytest.raises(ForbiddenPeer, match="allowed as a number only"):
            target.check_peer(peer)


@pytest.mark.parametrize("address", ["http://127.0.0.1/", "http://[::1]:8080/", "http://localhost:9/"])
def test_numbers_and_localhost_mean_what_they_say(address: str) -> None:
    HOSTS.target(address).check_peer("127.0.0.1")
