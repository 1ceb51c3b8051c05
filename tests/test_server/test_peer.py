"""Whose word about a client's certificate is believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from msim_xds.server.peer import CLIENT_CERTIFICATE, certificates, check
from msim_xds.settings import Settings
from msim_xds.tls import UnusableTls

HEADER = {"client_certificate_header": "X-SSL-Client-Cert"}
SENT = {"HTTP_X_SSL_CLIENT_CERT": "theirs"}


def settings(**sections: Any) -> Settings:
    return Settings(**sections)


def test_nobodys_header_is_believed_unless_the_settings_say_so() -> None:
    of = certificates(settings())
    assert of(SENT) == ""
    assert of({**SENT, CLIENT_CERTIFICATE: "ours"}) == "ours"


def test_the_socket_is_the_proxys(tmp_path: Path) -> None:
    of = certificates(settings(server={"uds": tmp_path / "s"}, tls=HEADER))
    assert of(SENT) == "theirs"
    assert of({}) == ""


@pytest.mark.parametrize(
    ("address", "believed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fd00::7", True),
        ("10.1.3.3", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("", False),
        ("unix:", False),
    ],
)
def test_only_listed_proxies_are_believed(address: str, believed: bool) -> None:
    of = certificates(settings(tls={**HEADER, "trusted_proxies": ["10.1.2.0/24", "fd00::7"]}))
    assert of({**SENT, "REMOTE_ADDR": address}) == ("theirs" if believed else "")


def test_a_header_that_anybody_could_send_stops_the_start() -> None:
    for judge in (check, certificates):
        with pytest.raises(UnusableTls, match="could claim any certificate"):
            judge(settings(tls=HEADER))


def test_granian_has_no_tls(tmp_path: Path) -> None:
    tls = {"certificate": tmp_path / "server.pem"}
    with pytest.raises(UnusableTls, match=r"needs server\.engine"):
        check(settings(tls=tls))
    check(settings(tls=tls, server={"engine": "cheroot"}))
    with pytest.raises(UnusableTls, match="unix socket"):
        check(settings(tls=tls, server={"engine": "cheroot", "uds": tmp_path / "s"}))
