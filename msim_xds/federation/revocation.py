"""CRLs and OCSP responses from the network: allowed hosts only, bounded in time and size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

import requests
from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from msim_xds.security.signatures.certificates import Certificate
from msim_xds.security.signatures.material import RevocationItem, read_crl, read_ocsp

_CHUNK: Final = 1 << 16
_MOST_ADDRESSES: Final = 4


class NetworkFetcher:
    """Asks the addresses in a certificate; what cannot be got is simply not there.

    Args:
        hosts: names of the hosts that may be asked.
        timeout_s: longest time for one answer.
        most_bytes: largest answer.
        clock: seconds, for the time that an answer takes.
    """

    def __init__(
        self,
        hosts: tuple[str, ...],
        timeout_s: float,
        most_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._timeout_s = timeout_s
        self._most_bytes = most_bytes
        self._clock = clock

    def revocation(
        self, certificate: Certificate, issuer: Certificate, seconds: float
    ) -> Iterator[RevocationItem]:
        """Answers of the OCSP responder, then CRLs, as far as there is time."""
        ends = self._clock() + seconds
        question = _question(certificate, issuer)
        for url in self._allowed(_ocsp_urls(certificate)) if question else ():
            if (answer := self._get(url, ends, question)) and (item := read_ocsp(answer)):
                yield item
        for url in self._allowed(_crl_urls(certificate)):
            if (answer := self._get(url, ends)) and (item := read_crl(answer)):
                yield item

    def _allowed(self, urls: list[str]) -> list[str]:
        return [url for url in urls if _host(url) in self._hosts][:_MOST_ADDRESSES]

    def _get(self, url: str, ends: float, question: bytes | None = None) -> bytes:
        """The body of the answer; empty where there is none in time, or one that is too large."""
        ends = min(ends, self._clock() + self._timeout_s)
        body = bytearray()
        try:
            with requests.request(
                "GET" if question is None else "POST",
                url,
                data=question,
                headers={"Content-Type": "application/ocsp-request"} if question else {},
                timeout=max(ends - self._clock(), 0.001),
                allow_redirects=False,
                stream=True,
            ) as response:
                for chunk in (
                    response.iter_content(_CHUNK) if response.status_code == requests.codes.ok else ()
                ):
                    body += chunk
                    if len(body) > self._most_bytes or self._clock() > ends:
                        return b""
        except requests.RequestException:
            return b""
        return bytes(body)


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").lower() if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


def _ocsp_urls(certificate: Certificate) -> list[str]:
    access = certificate.asn1.authority_information_access_value
    rows = access if isinstance(access, core.SequenceOf) else ()
    return [
        row["access_location"].native
        for row in rows
        if row["access_method"].native == "ocsp"
        and row["access_location"].name == "uniform_resource_identifier"
    ]


def _crl_urls(certificate: Certificate) -> list[str]:
    return [point.url for point in certificate.asn1.crl_distribution_points if point.url]


def _question(certificate: Certificate, issuer: Certificate) -> bytes | None:
    """An OCSP request (RFC 6960, 4.1); SHA-1 only names the certificate there, as responders expect."""
    try:
        asked, by = (x509.load_der_x509_certificate(one.der) for one in (certificate, issuer))
        request = ocsp.OCSPRequestBuilder().add_certificate(asked, by, SHA1()).build()  # noqa: S303  # names, proves nothing
    except ValueError:
        return None
    return request.public_bytes(Encoding.DER)
