"""DocumentEntries as decisions look at them."""

from __future__ import annotations

from collections.abc import Iterable

from msim_xds.metadata.institution import institution
from msim_xds.metadata.model import Code, DocumentEntry
from msim_xds.metadata.period import Period
from msim_xds.security.access.document import SINGLE_CODES, Consent, Document
from msim_xds.wire.view import Fact


def document_of(entry: DocumentEntry, created: Period | None, consents: tuple[Consent, ...] = ()) -> Document:
    """An entry's side of a decision; ``created`` is its creationTime, which may be local time."""
    codes: dict[Fact, str] = {}
    for fact, name in SINGLE_CODES.items():
        code: Code | None = getattr(entry, name)
        if code is not None:
            codes[fact] = f"{code.code}^^{code.scheme}"
    return Document(
        _spelt(entry.confidentiality_codes),
        codes,
        frozenset(institution(name) for author in entry.authors for name in author.institutions),
        created,
        consents,
        _spelt(entry.event_codes),
    )


def _spelt(codes: Iterable[Code]) -> frozenset[str]:
    return frozenset(f"{code.code}^^{code.scheme}" for code in codes)
