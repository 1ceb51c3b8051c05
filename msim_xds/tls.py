"""TLS as the settings want it (ITI TF-2 3.19): contexts of the ``ssl`` module, and their renewal."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from structlog.typing import FilteringBoundLogger

from msim_xds.files import Stamp, stamp
from msim_xds.tls_settings import ClientCertificates, TlsSettings

_log: FilteringBoundLogger = structlog.get_logger()

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY: Final = {
    ClientCertificates.OFF: ssl.CERT_NONE,
    ClientCertificates.OPTIONAL: ssl.CERT_OPTIONAL,
    ClientCertificates.REQUIRED: ssl.CERT_REQUIRED,
}
_EXCHANGES: Final = frozenset(["kx-ecdhe", "kx-dhe", "kx-any"])
_AUTHENTICATIONS: Final = frozenset(["auth-rsa", "auth-ecdsa", "auth-any"])
_PEM: Final = b"-----BEGIN "
_NO_CERTIFICATE: Final = "PEER_DID_NOT_RETURN_A_CERTIFICATE"


class UnusableTls(ValueError):
    """A section of the settings, or a file that it names, cannot be used."""


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """What connections are accepted with.

    Raises:
        UnusableTls: what is wrong, and in which file.
    """
    if settings.certificate is None:
        raise UnusableTls("tls.certificate: is missing")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.minimum]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # A resumed session would not look at the client's certificate again.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    _set_ciphers(context, settings.ciphers)
    with _naming("tls.certificate, tls.key", settings.certificate, settings.key):
        # A key with a passphrase is an error, not a question to whoever sits at the terminal.
        context.load_cert_chain(settings.certificate, settings.key, password=lambda: "")
    if settings.dh_parameters is not None:
        with _naming("tls.dh_parameters", settings.dh_parameters):
            context.load_dh_params(str(settings.dh_parameters))
    context.verify_mode = _VERIFY[settings.client_certificates]
    if settings.client_ca:
        trust_clients(context, settings.client_ca, settings.crl)
    return context


def trust_clients(context: ssl.SSLContext, authorities: Sequence[Path], crls: Sequence[Path]) -> None:
    """Let in whom ``authorities`` have issued a certificate, or who is one of them, unless revoked.

    Raises:
        UnusableTls: a file cannot be used.
    """
    for path in authorities:
        for certificate in _certificates(path):
            context.load_verify_locations(cadata=certificate.public_bytes(Encoding.DER))
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if not crls:
        return
    read = [crl for path in crls for crl in _crls(path)]
    with tempfile.NamedTemporaryFile() as file:  # the ssl module takes CRLs from PEM files only
        file.write(b"".join(crl.public_bytes(Encoding.PEM) for crl in read))
        file.flush()
        context.load_verify_locations(file.name)
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN


class Contexts:
    """The context for new connections, made anew when its files change.

    Args:
        settings: section ``tls``.

    Raises:
        UnusableTls: what is wrong with the settings, and in which file.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._files = _files(settings)
        self._seen = self._stamps()
        self.current = server_context(settings)

    def refresh(self, *, anyway: bool = False) -> None:
        """Read files that have changed, or all of them; what cannot be used leaves things as they are."""
        stamps = self._stamps()
        if stamps == self._seen and not anyway:
            return
        self._seen = stamps
        try:
            self.current = server_context(self._settings)
        except UnusableTls as error:
            _log.error("TLS files not usable; those read before stay in force", reason=str(error))
        else:
            _log.info("TLS files read")

    def _stamps(self) -> tuple[Stamp | None, ...]:
        return tuple(stamp(path) for path in self._files)


def _files(settings: TlsSettings) -> tuple[Path, ...]:
    single = (settings.certificate, settings.key, settings.dh_parameters)
    return (*filter(None, single), *settings.client_ca, *settings.crl)


def _set_ciphers(context: ssl.SSLContext, ciphers: str) -> None:
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError:
        raise UnusableTls(f"tls.ciphers: OpenSSL knows none of {ciphers}") from None
    weak = [
        suite["name"]
        for suite in context.get_ciphers()
        if not suite["aead"] or suite["kea"] not in _EXCHANGES or suite["auth"] not in _AUTHENTICATIONS
    ]
    if weak:
        raise UnusableTls(
            f"tls.ciphers: {', '.join(weak)}: without forward secrecy, authenticated encryption or "
            "certificate; allowed: ECDHE or DHE with AES-GCM, AES-CCM or ChaCha20-Poly1305"
        )


def _certificates(path: Path) -> list[x509.Certificate]:
    with _naming("tls.client_ca", path):
        data = path.read_bytes()
        return (
            x509.load_pem_x509_certificates(data) if _PEM in data else [x509.load_der_x509_certificate(data)]
        )


def _crls(path: Path) -> list[x509.CertificateRevocationList]:
    with _naming("tls.crl", path):
        data = path.read_bytes()
        if _PEM not in data:
            found = [x509.load_der_x509_crl(data)]
        else:
            ends = data.split(_PEM)[1:]
            found = [x509.load_pem_x509_crl(_PEM + each) for each in ends]
    for crl in found:
        # From then on nobody is let in any more, unless it is renewed.
        _log.info(
            "CRL read", file=str(path), issuer=crl.issuer.rfc4514_string(), ends=str(crl.next_update_utc)
        )
    return found


@contextmanager
def _naming(settings: str, *files: Path | None) -> Iterator[None]:
    """Name setting and files in an error."""
    named = ", ".join(str(file) for file in files if file is not None)
    try:
        yield
    except ssl.SSLError as error:
        raise UnusableTls(f"{settings}: {named}: {error.reason or 'not what it should be'}") from None
    except OSError as error:
        raise UnusableTls(f"{settings}: {error.filename or named}: {error.strerror}") from None
    except ValueError:
        raise UnusableTls(f"{settings}: {named}: neither PEM nor DER of what it should be") from None


def is_about_certificate(error: Exception) -> bool:
    """Whether a handshake failed because the other node is not authenticated (ITI TF-2 3.19)."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return True
    return isinstance(error, ssl.SSLError) and error.reason == _NO_CERTIFICATE


def reason_of(error: Exception) -> str:
    """Why a handshake failed, in OpenSSL's words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    return (error.reason if isinstance(error, ssl.SSLError) else "") or type(error).__name__
