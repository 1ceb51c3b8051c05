"""Whom to trust: anchors in named sets, for signatures and for time-stamps, from files only."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from msim_xds.security.signatures.certificates import Certificate, certificate
from msim_xds.security.signatures.material import RevocationItem, read_crl, read_ocsp

TIME_STAMPS: Final = "tsa"
OTHERS: Final = "intermediate"
LISTS: Final = "lists"
LOCAL: Final = "local"
_PEM: Final = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?(CERTIFICATE|X509 CRL|CRL)-----(.+?)-----END", re.DOTALL
)
_CERTIFICATES: Final = frozenset([".pem", ".crt", ".cer", ".der"])
_CRLS: Final = frozenset([".crl"])
_OCSPS: Final = frozenset([".ocsp", ".ors"])


class UnusableTrust(ValueError):
    """A trust file holds nothing usable."""


@dataclass(frozen=True, slots=True)
class Period:
    """A time in which an anchor is trusted; ``until`` is exclusive and may be open."""

    start: datetime
    until: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether ``moment`` lies in it."""
        return self.start <= moment and (self.until is None or moment < self.until)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A trusted certificate.

    Attributes:
        certificate: of an authority, or of a seal itself.
        trust_set: name of the set it belongs to, such as qualified, zus, p1.
        time_stamps: whether it stands for time-stamping authorities instead of signers.
        periods: when a trusted list grants it; empty means always.
    """

    certificate: Certificate
    trust_set: str
    time_stamps: bool = False
    periods: tuple[Period, ...] = ()

    def granted(self, moment: datetime) -> bool:
        """Whether it is trusted at that time."""
        return not self.periods or any(period.holds(moment) for period in self.periods)


@dataclass(frozen=True, slots=True)
class Trust:
    """All that is trusted, and material at hand that is not.

    Attributes:
        anchors: what is trusted.
        others: certificates of authorities in between.
        revocations: CRLs and OCSP responses from files.
        warnings: what is wrong with the files, for whoever looks after them.
    """

    anchors: tuple[Anchor, ...] = ()
    others: tuple[Certificate, ...] = ()
    revocations: tuple[RevocationItem, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def certificates(self) -> list[Certificate]:
        """All certificates at hand."""
        return [*self.others, *(anchor.certificate for anchor in self.anchors)]

    def anchors_for(self, *, time_stamps: bool) -> list[Anchor]:
        """Anchors of signers or of time-stamping authorities."""
        return [anchor for anchor in self.anchors if anchor.time_stamps == time_stamps]

    def __or__(self, other: Trust) -> Trust:
        return Trust(
            self.anchors + other.anchors,
            self.others + other.others,
            self.revocations + other.revocations,
            self.warnings + other.warnings,
        )


def from_directory(folder: Path) -> Trust:
    """The files of a directory: each folder in it is a set of anchors by its name.

    ``tsa`` holds anchors of time-stamps, ``intermediate`` certificates that are not trusted by themselves,
    ``lists`` trusted lists with their signers' certificates; files beside the folders are the set ``local``.
    CRLs (.crl) and OCSP responses (.ocsp, .ors) lie anywhere.

    Raises:
        OSError: it cannot be read.
        UnusableTrust: it is no directory, or has a certificate file without a certificate.
    """
    if not folder.is_dir():
        raise UnusableTrust(f"{folder}: not a directory")
    anchors: list[Anchor] = []
    others: list[Certificate] = []
    revocations: list[RevocationItem] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        suffix, name = path.suffix.lower(), _set_name(folder, path)
        if suffix in _CERTIFICATES and name == OTHERS:
            others += read_certificates(path)
        elif suffix in _CERTIFICATES and name != LISTS:
            anchors += as_anchors(read_certificates(path), name)
        elif suffix in _CRLS | _OCSPS:
            revocations += _revocations(path, crls=suffix in _CRLS)
    return Trust(tuple(anchors), tuple(others), tuple(revocations))


def as_anchors(certificates: Iterable[Certificate], name: str) -> list[Anchor]:
    """Anchors of a set, always trusted."""
    return [Anchor(certificate, name, time_stamps=name == TIME_STAMPS) for certificate in certificates]


def anchors_of(sets: Mapping[str, Path]) -> Trust:
    """Sets of anchors whose files stand elsewhere: a file or directory for each name.

    Raises:
        OSError: one cannot be read.
        UnusableTrust: one holds no certificate.
    """
    found: list[Anchor] = []
    for name, place in sets.items():
        files = (
            sorted(p for p in place.rglob("*") if p.suffix.lower() in _CERTIFICATES)
            if place.is_dir()
            else [place]
        )
        if not files:
            raise UnusableTrust(f"{place}: no certificate files")
        found += as_anchors((one for path in files for one in read_certificates(path)), name)
    return Trust(tuple(found))


def read_certificates(path: Path) -> list[Certificate]:
    """The certificates of a PEM or DER file.

    Raises:
        OSError: it cannot be read.
        UnusableTrust: it holds none.
    """
    data = path.read_bytes()
    try:
        return [certificate(der) for der in _ders(data, "CERTIFICATE")]
    except ValueError:
        raise UnusableTrust(f"{path}: not a certificate in PEM or DER") from None


def _set_name(folder: Path, path: Path) -> str:
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else LOCAL


def _ders(data: bytes, kind: str) -> Iterator[bytes]:
    found = [match[2] for match in _PEM.finditer(data) if match[1].decode().endswith(kind)]
    if not found:
        yield data
    for body in found:
        try:
            yield base64.b64decode(body)
        except binascii.Error:
            raise ValueError("not base64") from None


def _revocations(path: Path, *, crls: bool) -> Iterator[RevocationItem]:
    for der in _ders(path.read_bytes(), "CRL"):
        item = read_crl(der) if crls else read_ocsp(der)
        if item is None:
            raise UnusableTrust(
                f"{path}: not a {'CRL' if crls else 'successful OCSP response'} in DER or PEM"
            )
        yield item
