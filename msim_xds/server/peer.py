"""Which TLS certificate a request's sender has shown: to this server, or to a proxy that may say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from msim_xds.security.systems.door import Door
from msim_xds.security.systems.table import Limits
from msim_xds.settings import Settings
from msim_xds.tls import UnusableTls
from msim_xds.tls_settings import ClientCertificates

CLIENT_CERTIFICATE: Final = "msim_xds.client_certificate"
"""Key of the WSGI environ under which our own TLS puts the certificate; no header can have this name."""

CertificateOf = Callable[[Mapping[str, Any]], str]
"""The certificate (URL-encoded PEM) of the request with this WSGI environ; empty where it is not known."""

_PROXIES: Final = 1024  # addresses whose trust is remembered


def check(settings: Settings) -> None:
    """Whether engine, socket, TLS and the table of systems fit together.

    Raises:
        UnusableTls: they do not.
    """
    section = settings.tls
    if section.certificate is not None and settings.server.engine != "cheroot":
        raise UnusableTls(
            'tls.certificate: needs server.engine = "cheroot": Granian shows the application no client '
            "certificates, and reads certificates and CRLs once only"
        )
    if section.certificate is not None and settings.server.uds is not None:
        raise UnusableTls("tls.certificate: server.uds is a unix socket, which is for a proxy that ends TLS")
    if section.client_certificate_header and not (settings.server.uds or section.trusted_proxies):
        raise UnusableTls(
            "tls.client_certificate_header: whoever reaches server.port could claim any certificate; set "
            "server.uds, or the proxy's address in tls.trusted_proxies"
        )
    shown = section.client_certificates is not ClientCertificates.OFF or section.client_certificate_header
    if settings.access.systems is not None and not shown:
        raise UnusableTls(
            "access.systems: no certificates are seen; set tls.client_certificates, or behind a proxy "
            "tls.client_certificate_header"
        )


def door(settings: Settings) -> Door | None:
    """Who lets registered systems in; None where systems are not looked at.

    Raises:
        UnusableTls: see ``check``.
        UnusableSystems: what is wrong with the table, and where.
    """
    section = settings.access
    if section.systems is None:
        return None
    check(settings)
    return Door(section.systems, Limits(section.requests_per_s, section.burst, section.concurrent))


def certificates(settings: Settings) -> CertificateOf:
    """How certificates are learnt with these settings.

    Raises:
        UnusableTls: see ``check``.
    """
    section = settings.tls
    if not section.client_certificate_header:
        return _shown_here
    check(settings)
    key = f"HTTP_{section.client_certificate_header.upper().replace('-', '_')}"
    if settings.server.uds is not None:
        return lambda environ: environ.get(key, "")
    trusted = _trusted(section.trusted_proxies)
    return lambda environ: environ.get(key, "") if trusted(environ.get("REMOTE_ADDR", "")) else ""


def _shown_here(environ: Mapping[str, Any]) -> str:
    certificate: str = environ.get(CLIENT_CERTIFICATE, "")
    return certificate


def _trusted(networks: Sequence[IPv4Network | IPv6Network]) -> Callable[[str], bool]:
    @lru_cache(_PROXIES)
    def trusted(text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in networks)

    return trusted
