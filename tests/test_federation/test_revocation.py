"""Revocation data from a real server on loopback; only where it is allowed, bounded in time and size."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from msim_xds.federation.revocation import NetworkFetcher
from msim_xds.security.signatures.assess import Assessor
from msim_xds.security.signatures.trust import Anchor, Trust
from msim_xds.security.signatures.validator import Validator
from tests.support.authority import NOW, Identity, crl, issue, ocsp_answer, world
from tests.support.signing import CDA, Plan, sign

W = world()
Answer = Callable[[BaseHTTPRequestHandler], bytes | None]


@pytest.fixture
def answers() -> dict[str, Answer]:
    return {}


@pytest.fixture
def address(answers: dict[str, Answer]) -> Iterator[str]:
    """A server that answers GET and POST by path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = answers[self.path](self) if self.path in answers else None
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        do_POST = do_GET

        def log_message(self, *unused: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def certified(address: str) -> Identity:
    """An authority whose certificates name the server for OCSP and CRLs."""
    access = x509.AccessDescription(
        AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(f"{address}/ocsp")
    )
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(f"{address}/crl")], None, None, None)
    return issue(
        "Test Root",
        None,
        ca=True,
        key_name="ec fetched",
        extensions=[
            (x509.AuthorityInformationAccess([access]), False),
            (x509.CRLDistributionPoints([point]), False),
        ],
    )


def fetcher(*hosts: str, most_bytes: int = 1 << 20, timeout_s: float = 2.0) -> NetworkFetcher:
    return NetworkFetcher(hosts, timeout_s, most_bytes)


def test_ocsp_then_crl(address: str, answers: dict[str, Answer]) -> None:
    subject = certified(address)
    answers["/ocsp"] = lambda request: ocsp_answer(subject, subject)
    answers["/crl"] = lambda request: crl(subject)
    found = list(fetcher("127.0.0.1").revocation(subject.ours, subject.ours, 5))
    assert [item.is_crl for item in found] == [False, True]


def test_hosts_that_are_not_allowed_are_not_asked(address: str, answers: dict[str, Answer]) -> None:
    asked: list[str] = []
    answers["/crl"] = answers["/ocsp"] = lambda request: asked.append(request.path) or b""  # type: ignore[func-returns-value]
    subject = certified(address)
    assert list(fetcher("localhost", "example.org").revocation(subject.ours, subject.ours, 5)) == []
    assert asked == []


def slowly(content: bytes) -> bytes:
    time.sleep(0.6)
    return content


@pytest.mark.parametrize("kind", ["missing", "nonsense", "large", "slow", "down"])
def test_what_cannot_be_got_is_not_there(address: str, answers: dict[str, Answer], kind: str) -> None:
    subject = certified(address if kind != "down" else "http://127.0.0.1:1")
    content: dict[str, Answer] = {
        "nonsense": lambda request: b"<html>",
        "large": lambda request: crl(subject) + bytes(5000),
        "slow": lambda request: slowly(crl(subject)),
    }
    if kind in content:
        answers["/crl"] = content[kind]
    slow = fetcher("127.0.0.1", most_bytes=4000, timeout_s=0.3)
    start = time.monotonic()
    assert list(slow.revocation(subject.ours, subject.ours, 5)) == []
    assert time.monotonic() - start < 2


def test_a_validator_asks_when_nothing_is_at_hand(address: str, answers: dict[str, Answer]) -> None:
    access = x509.CRLDistributionPoints(
        [x509.DistributionPoint([x509.UniformResourceIdentifier(f"{address}/ca.crl")], None, None, None)]
    )
    root = issue("Fetched Root", None, ca=True, key_name="ec fetched root")
    signer = _signer(root, access)
    answers["/ca.crl"] = lambda request: crl(root)
    trust = Trust((Anchor(root.ours, "test"),))
    document = sign(CDA, Plan(signer=signer))
    (alone,) = Validator(Assessor(trust)).validate(document, NOW).signatures
    (asking,) = Validator(Assessor(trust, fetcher("127.0.0.1"))).validate(document, NOW).signatures
    assert (alone.sub_indication, asking.sub_indication) == ("TRY_LATER", None)


def _signer(root: Identity, points: x509.CRLDistributionPoints) -> Identity:
    """A certificate with these distribution points and no other address."""
    from cryptography.hazmat.primitives import hashes

    from tests.support.authority import END, START, key, name

    own = key("rsa-2048 fetched signer")
    builder = (
        x509.CertificateBuilder()
        .subject_name(name("Fetched Signer"))
        .issuer_name(root.certificate.subject)
        .public_key(own.public_key())
        .serial_number(77)
        .not_valid_before(START)
        .not_valid_after(END)
        .add_extension(points, critical=False)
        .add_extension(
            x509.KeyUsage(False, True, False, False, False, False, False, False, False), critical=True
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key()), critical=False
        )
    )
    return Identity(builder.sign(root.key, hashes.SHA256()), own)


def test_the_certificate_s_odd_addresses_are_left_alone() -> None:
    subject = certified("ftp://127.0.0.1")
    assert list(fetcher("127.0.0.1").revocation(subject.ours, subject.ours, 5)) == []
    assert list(fetcher("127.0.0.1").revocation(W.root.ours, W.root.ours, 5)) == []
