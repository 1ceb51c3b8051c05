"""A validator as the settings want it: trust from files, limits, ends of algorithms."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msim_xds.security.signatures import trusted_list
from msim_xds.security.signatures.assess import Assessor
from msim_xds.security.signatures.table import Limits
from msim_xds.security.signatures.trust import LISTS, Trust, anchors_of, from_directory
from msim_xds.security.signatures.validator import Validator

if TYPE_CHECKING:
    from msim_xds.security.signatures.material import Fetcher
    from msim_xds.signature_settings import SignatureSettings


def validator(settings: SignatureSettings, now: datetime, fetcher: Fetcher | None = None) -> Validator:
    """The validator of a configuration.

    Args:
        settings: section ``signatures``.
        now: the moment, for the trusted lists' dates.
        fetcher: gets revocation data from the network, where that is allowed.

    Raises:
        OSError: a file of the configuration cannot be read.
        UnusableTrust: one holds nothing usable.
    """
    limits = limits_of(settings)
    assessor = Assessor(
        trust_of(settings, now, limits),
        fetcher,
        dict(settings.algorithm_ends),
        frozenset(settings.key_usages),
    )
    return Validator(assessor, limits)


def limits_of(settings: SignatureSettings) -> Limits:
    """The limits of a configuration; what it does not set is as in the table."""
    return Limits(
        document_bytes=settings.document_bytes,
        signatures=settings.signatures,
        references=settings.references,
        crl_bytes=settings.crl_bytes,
        seconds=settings.time_s,
        filter2=settings.filter2,
    )


def trust_of(settings: SignatureSettings, now: datetime, limits: Limits) -> Trust:
    """Everything that a configuration trusts.

    Raises:
        OSError: a file cannot be read.
        UnusableTrust: one holds nothing usable.
    """
    trust = anchors_of(settings.anchors)
    if settings.trust is not None:
        trust = trust | from_directory(settings.trust)
    lists = [*settings.trusted_lists, *_lists_in(settings.trust)]
    if lists:
        place = settings.list_signers or _signers_in(settings.trust)
        signers = anchors_of({LISTS: place} if place is not None else {}).certificates
        for path in lists:
            trust = trust | trusted_list.load(path.read_bytes(), path.name, signers, now, limits)
    return trust


def _lists_in(folder: Path | None) -> list[Path]:
    return sorted(folder.glob(f"{LISTS}/*.xml")) if folder is not None else []


def _signers_in(folder: Path | None) -> Path | None:
    place = folder / LISTS if folder is not None else None
    return place if place is not None and place.is_dir() else None
