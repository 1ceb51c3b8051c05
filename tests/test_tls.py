"""Contexts as the settings want them, over connections that never leave the process."""

from __future__ import annotations

import os
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import ValidationError
from structlog.testing import capture_logs

from msim_xds.security.authority import Authority, KeyKind
from msim_xds.tls import Contexts, UnusableTls, server_context
from msim_xds.tls_settings import TlsSettings
from tests.support.tls import DAY, Site, write


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def shake(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """The server's end after a handshake. Raises SSLError as the server sees it."""
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(there, here, server_side=True)
    theirs = client.wrap_bio(here, there, server_hostname="localhost")
    for _ in range(4):
        for end in (theirs, ours):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    ours.do_handshake()
    return ours


def test_client_of_our_authority(shared: Site) -> None:
    met = shake(server_context(shared.settings()), shared.client("hospital"))
    assert met.getpeercert(True) == shared.identities["hospital"].certificate.public_bytes(Encoding.DER)
    assert met.version() == "TLSv1.3"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_without_certificate(shared: Site, version: ssl.TLSVersion) -> None:
    client = shared.client(version=version)
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shake(server_context(shared.settings()), client)
    met = shake(server_context(shared.settings(client_certificates="optional")), client)
    assert met.getpeercert() is None


@pytest.mark.parametrize("demand", ["optional", "required"])
def test_client_of_another_authority(shared: Site, tmp_path: Path, demand: str) -> None:
    stranger = shared.client()
    other = Authority("Test Root", datetime.now(UTC), DAY)  # the same name, another key
    stranger.load_cert_chain(write(tmp_path, "stranger", other.client("hospital")))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(server_context(shared.settings(client_certificates=demand)), stranger)


def test_client_whose_certificate_has_ended(tmp_path: Path) -> None:
    old = Authority("Old", datetime.now(UTC) - 2 * DAY, DAY)
    site = Site(tmp_path)
    (tmp_path / "root.pem").write_bytes(old.root.certificate_pem + site.authority.root.certificate_pem)
    client = site.client()
    client.load_cert_chain(write(tmp_path, "late", old.client("late")))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake(server_context(site.settings()), client)


def test_off_asks_for_none(shared: Site) -> None:
    settings = TlsSettings(certificate=shared.folder / "server.pem")
    assert shake(server_context(settings), shared.client("hospital")).getpeercert() is None


@pytest.mark.parametrize("der", [False, True])
def test_revoked_client(site: Site, der: bool) -> None:
    site.revoke("stolen")
    crl = site.folder / "crl.pem"
    if der:
        subprocess.run(["openssl", "crl", "-in", crl, "-outform", "DER", "-out", crl], check=True)
    context = server_context(site.settings(crl=[crl]))
    shake(context, site.client("hospital"))
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        shake(context, site.client("stolen"))


def test_without_a_crl_of_the_issuer_nobody_is_let_in(site: Site, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(Authority("Other", datetime.now(UTC), DAY).crl(()))
    with pytest.raises(ssl.SSLCertVerificationError, match="CRL"):
        shake(server_context(site.settings(crl=[other])), site.client("hospital"))


def test_a_crl_that_has_ended_refuses_everybody_and_the_log_says_when(site: Site) -> None:
    root = site.authority.root
    ended = (
        x509.CertificateRevocationListBuilder(root.certificate.subject)
        .last_update(datetime.now(UTC) - 2 * DAY)
        .next_update(datetime.now(UTC) - DAY)
        .sign(root.key, SHA256())
    )
    (site.folder / "crl.pem").write_bytes(ended.public_bytes(Encoding.PEM))
    with capture_logs() as logs:
        context = server_context(site.settings(crl=[site.folder / "crl.pem"]))
    (line,) = logs
    assert (line["event"], line["ends"]) == ("CRL read", str(ended.next_update_utc))
    with pytest.raises(ssl.SSLCertVerificationError, match="CRL has expired"):
        shake(context, site.client("hospital"))


def test_authority_as_der(shared: Site, tmp_path: Path) -> None:
    der = tmp_path / "root.der"
    der.write_bytes(shared.authority.root.certificate.public_bytes(Encoding.DER))
    shake(server_context(shared.settings(client_ca=[der])), shared.client("hospital"))


def test_single_certificates_can_be_trusted(shared: Site, tmp_path: Path) -> None:
    only = tmp_path / "only.pem"
    only.write_bytes(shared.identities["hospital"].certificate_pem)
    context = server_context(shared.settings(client_ca=[only]))
    shake(context, shared.client("hospital"))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(context, shared.client("stolen"))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")  # what is deprecated is what we ask with
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(shared: Site, version: ssl.TLSVersion) -> None:
    client = shared.client("hospital", version)
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        shake(server_context(shared.settings()), client)


def test_minimum(shared: Site) -> None:
    client = shared.client("hospital", ssl.TLSVersion.TLSv1_2)
    shake(server_context(shared.settings()), client)
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        shake(server_context(shared.settings(minimum="1.3")), client)


SUITES = {
    "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384",
}  # fmt: skip
"""Of the option STX: TLS 1.2 floor using BCP195 (ITI TF-2 3.19)."""


@pytest.fixture(scope="module")
def rsa(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("rsa"), KeyKind.RSA)
    made = ["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"]
    subprocess.run([*made, "-out", site.folder / "dh.pem"], check=True, capture_output=True)
    return site


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_suites_of_the_option(rsa: Site, suite: str) -> None:
    context = server_context(rsa.settings(dh_parameters=rsa.folder / "dh.pem"))
    client = rsa.client("hospital", ssl.TLSVersion.TLSv1_2)
    client.set_ciphers(suite)
    cipher = shake(context, client).cipher()
    assert cipher is not None
    assert cipher[0] == suite


def test_sessions_are_not_resumed(shared: Site) -> None:
    context = server_context(shared.settings())
    assert context.num_tickets == 0
    assert context.options & ssl.OP_NO_TICKET
    assert context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"certificate": None, "client_certificates": "off", "client_ca": ()}, "tls.certificate: is missing"),
        ({"certificate": "absent.pem"}, "tls.certificate, tls.key: absent.pem: No such file or directory"),
        ({"certificate": "root.pem"}, "tls.certificate, tls.key: root.pem: "),
        ({"key": "hospital.pem"}, "KEY_VALUES_MISMATCH"),
        ({"client_ca": ["absent.pem"]}, "tls.client_ca: absent.pem: No such file or directory"),
        ({"client_ca": ["garbage"]}, "tls.client_ca: garbage: neither PEM nor DER"),
        ({"crl": ["root.pem"]}, "tls.crl: root.pem: neither PEM nor DER"),
        ({"crl": ["garbage"]}, "tls.crl: garbage: neither PEM nor DER"),
        ({"crl": ["absent.pem"]}, "tls.crl: absent.pem: No such file or directory"),
        ({"dh_parameters": "absent.pem"}, "tls.dh_parameters: absent.pem: No such file or directory"),
        ({"dh_parameters": "garbage"}, "tls.dh_parameters: garbage: "),
        ({"ciphers": "NOTHING"}, "OpenSSL knows none of NOTHING"),
        ({"ciphers": "AES128-SHA"}, "AES128-SHA: without forward secrecy"),
        ({"ciphers": "ECDHE-RSA-AES128-SHA256"}, "ECDHE-RSA-AES128-SHA256"),
        ({"ciphers": "AES128-GCM-SHA256"}, "AES128-GCM-SHA256"),
        ({"ciphers": "ADH-AES128-GCM-SHA256"}, "ADH-AES128-GCM-SHA256|knows none"),
    ],
)
def test_unusable(
    shared: Site, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(shared.folder)
    Path("garbage").write_bytes(b"0")
    with pytest.raises(UnusableTls, match=message):
        server_context(shared.settings(**changes))


def test_a_key_with_a_passphrase_is_an_error(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(site.folder / "server.pem")
    locked = ["openssl", "ec", "-aes128", "-passout", "pass:secret", "-in", path, "-out", f"{path}.key"]
    subprocess.run(locked, check=True, capture_output=True)
    with pytest.raises(UnusableTls, match=r"tls\.key"):
        server_context(site.settings(key=f"{path}.key"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"key": "k"}, " key: needs tls.certificate"),
        ({"client_certificates": "required"}, " client_certificates: needs tls.certificate"),
        ({"certificate": "c", "client_certificates": "optional"}, "needs tls.client_ca"),
        ({"certificate": "c", "client_ca": ["a"]}, "client_ca: needs tls.client_certificates"),
        ({"certificate": "c", "crl": ["a"]}, " crl: needs tls.client_certificates"),
        ({"certificate": "c", "client_certificate_header": "X-C"}, "is for a proxy"),
        ({"trusted_proxies": ["10.0.0.0/8"]}, "needs tls.client_certificate_header"),
        ({"client_certificate_header": "X C"}, "pattern"),
        ({"client_certificate_header": "X:C"}, "pattern"),
        ({"client_certificate_header": "Ł"}, "pattern"),
        ({"ciphers": "ALL:@SECLEVEL=0"}, "pattern"),
        ({"minimum": "1.1"}, "'1.2' or '1.3'"),
        ({"client_certificate_header": "X-C", "trusted_proxies": ["proxy"]}, "not a valid"),
    ],
)
def test_protection_without_effect_is_an_error(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TlsSettings(**values)


def test_changed_files_are_read_again(site: Site) -> None:
    contexts = Contexts(site.settings(crl=[site.folder / "crl.pem"]))
    first = contexts.current
    shake(first, site.client("stolen"))
    contexts.refresh()
    assert contexts.current is first
    site.revoke("stolen")
    contexts.refresh()
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        shake(contexts.current, site.client("stolen"))
    second = contexts.current
    contexts.refresh(anyway=True)
    assert contexts.current is not second


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"half a certifi")])
def test_spoilt_files_leave_things_as_they_are(site: Site, spoil: Any) -> None:
    contexts = Contexts(site.settings())
    before = contexts.current
    spoil(site.folder / "server.pem")
    with capture_logs() as logs:
        contexts.refresh()
        contexts.refresh()
    assert contexts.current is before
    (line,) = logs
    assert line["log_level"] == "error"
    assert "server.pem" in line["reason"]
    write(site.folder, "server", site.authority.server(["localhost"]))
    os.utime(site.folder / "server.pem", (0, 0))
    contexts.refresh()
    assert contexts.current is not before


def test_authority_makes_what_it_says() -> None:
    now = datetime.now(UTC)
    authority = Authority("Root", now, timedelta(days=3))
    server = authority.server(["xds.example.org", "10.1.2.3"])
    assert server.certificate.not_valid_after_utc <= now + timedelta(days=3)
    server.certificate.verify_directly_issued_by(authority.root.certificate)
    assert len(server.fingerprint) == 64
