"""Settings of node authentication (ITI-19); a section of ``settings``, kept apart for its length."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, model_validator

CIPHERS: Final = ":".join(
    (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "DHE-RSA-AES256-GCM-SHA384",
        "DHE-RSA-AES128-GCM-SHA256",
    )
)
"""What ITI TF-2 3.19 (option STX: TLS 1.2 floor using BCP195) names, and the same for ECDSA keys."""


class ClientCertificates(StrEnum):
    """Whether clients show certificates."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class TlsSettings(BaseModel):
    """TLS of the HTTP port, here or in a proxy, and who is let in by it (ITI-19) ([more](security.md))."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    certificate: Path | None = Field(
        None,
        description="PEM file: the server's certificate, then those between it and the root. With it the "
        'server speaks TLS only; needs `server.engine = "cheroot"`.',
    )
    key: Path | None = Field(
        None, description="PEM file of its private key; empty looks into the certificate's file."
    )
    minimum: Literal["1.2", "1.3"] = Field("1.2", description="Oldest version of TLS that is spoken.")
    ciphers: str = Field(
        CIPHERS,
        pattern=r"^[A-Za-z0-9:!+-]+$",
        description="Cipher suites of TLS 1.2, as OpenSSL names them; those without forward secrecy or "
        "authenticated encryption are refused.",
    )
    dh_parameters: Path | None = Field(
        None, description="PEM file of Diffie-Hellman parameters; the suites that begin with DHE need it."
    )
    client_certificates: ClientCertificates = Field(
        ClientCertificates.OFF,
        description="off asks for none; optional lets clients without one in; required does not. One that "
        "is shown must be valid.",
    )
    client_ca: tuple[Path, ...] = Field(
        (),
        description="Files, PEM or DER, of the authorities that issue client certificates, or of single "
        "client certificates that are trusted themselves.",
    )
    crl: tuple[Path, ...] = Field(
        (),
        description="Files, PEM or DER, of CRLs. With any, each certificate up to the root must have a "
        "current one of its issuer.",
    )
    handshake_timeout_s: float = Field(10.0, gt=0, description="Longest handshake.")
    handshakes: int = Field(1000, ge=1, description="Handshakes at a time; further clients are turned away.")
    reload_s: float = Field(
        30.0,
        gt=0,
        description="How often these files are looked at; changed ones are read again, as at SIGHUP.",
    )
    client_certificate_header: str = Field(
        "",
        pattern=r"^[A-Za-z0-9-]*$",
        description="HTTP header in which a proxy hands on the client's certificate (URL-encoded PEM), such "
        "as X-SSL-Client-Cert. Believed only at `server.uds` or from `trusted_proxies`.",
    )
    trusted_proxies: tuple[IPvAnyNetwork, ...] = Field(
        (), description="Addresses or networks of proxies whose header is believed."
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        """Nothing that looks like protection may be without effect."""
        asked = self.client_certificates is not ClientCertificates.OFF
        for wrong, problem in (
            (self.key and not self.certificate, "key: needs tls.certificate"),
            (asked and not self.certificate, "client_certificates: needs tls.certificate"),
            (asked and not self.client_ca, "client_certificates: needs tls.client_ca"),
            (self.client_ca and not asked, "client_ca: needs tls.client_certificates"),
            (self.crl and not asked, "crl: needs tls.client_certificates"),
            (
                self.client_certificate_header and self.certificate,
                "client_certificate_header: is for a proxy that ends TLS; tls.certificate ends it here",
            ),
            (
                self.trusted_proxies and not self.client_certificate_header,
                "trusted_proxies: needs tls.client_certificate_header",
            ),
        ):
            if wrong:
                raise ValueError(problem)
        return self
