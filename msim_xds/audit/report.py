"""The records of a patient in plain words: who did what with the documents, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from msim_xds.audit.language import Language
from msim_xds.audit.outbox import Kept
from msim_xds.ihe.audit import AUDIT_ROWS, DESTINATION, REPORT_NUMBER, SOURCE
from msim_xds.ihe.names import WSA_ANONYMOUS
from msim_xds.wire import safexml

if TYPE_CHECKING:
    from lxml.etree import _Element


@dataclass(frozen=True, slots=True)
class Happening:
    """What one record says.

    Attributes:
        time: ISO 8601, UTC.
        who: the person, if the request said; else the sending system.
        address: of the sender's machine; empty where it is not known.
        transaction: such as ``ITI-43``.
        action: EventActionCode.
        succeeded: whether it was done.
        documents: uniqueIds of the documents that the record names.
        position: place in the chain; None until the record is sealed.
    """

    time: str
    who: str
    address: str
    transaction: str
    action: str
    succeeded: bool
    documents: tuple[str, ...]
    position: int | None


def happenings(kept: Iterable[Kept]) -> Iterator[Happening]:
    """What the records say, in their order."""
    for position, entry in kept:
        message = safexml.parse(entry.message)
        client = _client(message, entry.transaction)
        people = [each for each in message.findall("ActiveParticipant") if each.get("UserName")]
        yield Happening(
            entry.recorded_at,
            ", ".join(person.get("UserName", "") for person in people)
            or ("" if client is None else client.get("UserID", "")),
            "" if client is None else client.get("NetworkAccessPointID", ""),
            entry.transaction,
            message[0].get("EventActionCode", ""),
            entry.outcome == 0,
            tuple(_documents(message)),
            position,
        )


def sentence(happening: Happening, language: Language) -> str:
    """What happened, in one sentence."""
    verb = _SENTENCES[language][_kind(happening)]
    words = _WORDS[language]
    line = f"{_time(happening.time)}  {_who(happening, words)}: {verb}"
    if happening.documents:
        line += f" ({_list(happening.documents, words)})"
    return line if happening.succeeded else f"{line} – {words['failed']}"


def nothing(language: Language) -> str:
    """That there is no record."""
    return _WORDS[language]["nothing"]


def _client(message: _Element, transaction: str) -> _Element | None:
    """The other side: the Destination of documents that are given out, else the Source."""
    row = AUDIT_ROWS.get(transaction)
    role = DESTINATION if row is not None and row.inverted else SOURCE
    for participant in message.findall("ActiveParticipant"):
        if participant.find(f"RoleIDCode[@csd-code='{role.code}']") is not None:
            return participant
    return None


def _documents(message: _Element) -> Iterator[str]:
    for thing in message.findall("ParticipantObjectIdentification"):
        kind = thing.find("ParticipantObjectIDTypeCode")
        if kind is not None and kind.get("csd-code") == REPORT_NUMBER.code:
            yield thing.get("ParticipantObjectID", "")


def _kind(happening: Happening) -> str:
    """The key of the sentence: the transaction, and for a patient that a merge ended also the action."""
    if happening.transaction in ("ITI-8", "ITI-44"):
        return f"feed {happening.action}"
    return happening.transaction


def _who(happening: Happening, words: dict[str, str]) -> str:
    anonymous = happening.who == WSA_ANONYMOUS
    who = words["system"] if anonymous or not happening.who else happening.who
    return f"{who} [{happening.address}]" if happening.address else who


def _list(documents: Sequence[str], words: dict[str, str]) -> str:
    return f"{words['documents']}: {', '.join(documents)}"


def _time(recorded_at: str) -> str:
    return datetime.fromisoformat(recorded_at).strftime("%Y-%m-%d %H:%M:%S UTC")


_WORDS: Final = {
    Language.ENGLISH: {
        "system": "a system",
        "documents": "documents",
        "failed": "this was refused or failed",
        "nothing": "Nothing is recorded about this patient.",
    },
    Language.POLISH: {
        "system": "system",
        "documents": "dokumenty",
        "failed": "odmówiono albo się nie udało",
        "nothing": "Nie zapisano żadnych zdarzeń dotyczących tego pacjenta.",
    },
}

_SENTENCES: Final = {
    Language.ENGLISH: {
        "ITI-18": "asked which documents there are",
        "ITI-38": "asked from another community which documents there are",
        "ITI-39": "read documents from another community",
        "ITI-41": "sent new documents",
        "ITI-42": "registered new documents",
        "ITI-43": "read documents",
        "ITI-51": "asked which documents there are, of several patients",
        "ITI-55": "looked for the patient from another community",
        "ITI-57": "changed the description of documents",
        "ITI-61": "registered documents that are made on demand",
        "ITI-62": "removed entries of the register for good",
        "ITI-64": "moved documents between two patients' records",
        "ITI-86": "removed documents for good",
        "ITI-92": "changed the description of documents",
        "110127": "declared an emergency to see the documents",
        "feed C": "announced the patient",
        "feed U": "changed the patient's data or merged another record into this one",
        "feed D": "merged this record into another one",
    },
    Language.POLISH: {
        "ITI-18": "zapytanie o listę dokumentów",
        "ITI-38": "zapytanie o listę dokumentów z innej społeczności",
        "ITI-39": "odczyt dokumentów z innej społeczności",
        "ITI-41": "przesłanie nowych dokumentów",
        "ITI-42": "zarejestrowanie nowych dokumentów",
        "ITI-43": "odczyt dokumentów",
        "ITI-51": "zapytanie o listę dokumentów wielu pacjentów",
        "ITI-55": "szukanie pacjenta przez inną społeczność",
        "ITI-57": "zmiana opisu dokumentów",
        "ITI-61": "zarejestrowanie dokumentów tworzonych na żądanie",
        "ITI-62": "trwałe usunięcie wpisów z rejestru",
        "ITI-64": "przeniesienie dokumentów między kartotekami pacjentów",
        "ITI-86": "trwałe usunięcie dokumentów",
        "ITI-92": "zmiana opisu dokumentów",
        "110127": "zgłoszenie stanu nagłego, aby zobaczyć dokumenty",
        "feed C": "zgłoszenie pacjenta",
        "feed U": "zmiana danych pacjenta albo dołączenie do niego innej kartoteki",
        "feed D": "dołączenie tej kartoteki do innej",
    },
}
