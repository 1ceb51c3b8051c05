"""National trusted lists (ETSI TS 119 612) read from files that an administrator has placed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from msim_xds.security.signatures.certificates import Certificate, certificate
from msim_xds.security.signatures.document import Unacceptable, read
from msim_xds.security.signatures.examine import examine
from msim_xds.security.signatures.names import text
from msim_xds.security.signatures.properties import moment
from msim_xds.security.signatures.references import decode_base64
from msim_xds.security.signatures.table import Limits
from msim_xds.security.signatures.trust import Anchor, Period, Trust, UnusableTrust

if TYPE_CHECKING:
    from lxml.etree import _Element

TSL: Final = "http://uri.etsi.org/02231/v2#"
QUALIFIED: Final = "qualified"
_SERVICES: Final = "http://uri.etsi.org/TrstSvc/Svctype/"
_KINDS: Final = {f"{_SERVICES}CA/QC": False, f"{_SERVICES}TSA/QTST": True}
"""Service types that count, and whether they are for time-stamps."""
_STATUSES: Final = "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/"
_OLD_STATUSES: Final = "http://uri.etsi.org/TrstSvc/Svcstatus/"
_GRANTED: Final = frozenset(
    [
        f"{_STATUSES}granted",
        *(
            f"{space}{name}"
            for space in (_STATUSES, _OLD_STATUSES)
            for name in ("undersupervision", "accredited", "supervisionincessation")
        ),
    ]
)
"""granted, and what it was called before eIDAS (TS 119 612, 5.5.4 and annex)."""


def load(data: bytes, name: str, signers: Sequence[Certificate], now: datetime, limits: Limits) -> Trust:
    """The anchors of a trusted list.

    Args:
        data: the list.
        name: how it is called in messages.
        signers: certificates by which it must be signed.
        now: the moment, for NextUpdate.
        limits: bounds on what is read.

    Raises:
        UnusableTrust: it is not a list, or not signed by one of ``signers``.
    """
    try:
        document = read(data, {}, limits)
        root = document.root
        if root.tag != _tag("TrustServiceStatusList"):
            raise UnusableTrust(f"{name}: not a trusted list")
        found = [examine(document, one, known=signers) for one in document.signatures()]
    except Unacceptable as error:
        raise UnusableTrust(f"{name}: {error}") from None
    if not any(
        facts.intact
        and facts.signer in signers
        and any(row.outcome.intact and row.outcome.covers for row in facts.placed)
        for facts in found
    ):
        raise UnusableTrust(f"{name}: not signed, as a whole, by one of the configured signers of lists")
    anchors = tuple(anchor for service in root.iter(_tag("TSPService")) for anchor in _anchors(service))
    return Trust(anchors, warnings=tuple(_overdue(root, name, now)))


def _tag(local_name: str) -> str:
    return f"{{{TSL}}}{local_name}"


def _overdue(root: _Element, name: str, now: datetime) -> Iterator[str]:
    due = moment(text(root.find(f"{_tag('SchemeInformation')}/{_tag('NextUpdate')}/{_tag('dateTime')}")))
    if due is None or due < now:
        yield f"{name}: its next update was due {due or 'never'}"


def _anchors(service: _Element) -> Iterator[Anchor]:
    current = service.find(_tag("ServiceInformation"))
    if current is None:
        return
    kind = _KINDS.get(text(current.find(_tag("ServiceTypeIdentifier"))))
    if kind is None:
        return
    rows = [current, *service.findall(f"{_tag('ServiceHistory')}/{_tag('ServiceHistoryInstance')}")]
    periods = tuple(_periods(rows))
    if not periods:
        return
    identities = f"{_tag('ServiceDigitalIdentity')}/{_tag('DigitalId')}/{_tag('X509Certificate')}"
    for value in current.findall(identities):
        try:
            found = certificate(decode_base64(text(value)) or b"")
        except ValueError:
            continue
        yield Anchor(found, QUALIFIED, time_stamps=kind, periods=periods)


def _periods(rows: Sequence[_Element]) -> Iterator[Period]:
    """The times in which a service is granted; its rows stand newest first, each until the one before it."""
    starts = sorted(
        (start, text(row.find(_tag("ServiceStatus"))))
        for row in rows
        if (start := moment(text(row.find(_tag("StatusStartingTime"))))) is not None
    )
    for place, (start, status) in enumerate(starts):
        until = starts[place + 1][0] if place + 1 < len(starts) else None
        if status in _GRANTED:
            yield Period(start, until)
