"""On-demand document sources: what a plug-in is given and what it gives (ITI TF-2 3.61, 3.43).

A source is offered by an entry point of the group ``msim_xds.on_demand_sources``: a callable that takes the
settings and returns an ``OnDemandSource``. ``on_demand.sources`` names those in use. docs/on-demand.md shows
how to write one.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Final, NamedTuple, Protocol

from msim_xds.metadata.model import Code, DocumentEntry, SubmissionSet
from msim_xds.settings import Settings

GROUP: Final = "msim_xds.on_demand_sources"
_EXTENSION: Final = 16  # characters after OID^ in a uniqueId by IHE's letter (ITI TF-3 4.2.3.2.26)


class Claim(NamedTuple):
    """Entries that a source serves: those that have every code named here, ``code^^scheme``; empty is any."""

    type_code: str = ""
    format_code: str = ""
    class_code: str = ""


class PatientRecords(Protocol):
    """What a source may read of the registry."""

    def documents(self) -> Iterator[DocumentEntry]:
        """The patient's Approved stable entries, snapshots left out, in no order that means anything.

        Raises:
            TimeoutError: nobody waits for the document any longer.
        """


@dataclass(frozen=True, slots=True)
class Order:
    """One document that is wanted.

    Attributes:
        entry: the on-demand entry as the registry shows it now.
        submission: the SubmissionSet with which it was registered.
        records: the patient's other documents.
        repository_unique_id: of the repository that is asked.
    """

    entry: DocumentEntry
    submission: SubmissionSet
    records: PatientRecords
    repository_unique_id: str

    def identifier(self, digest: bytes) -> tuple[str, str]:
        """Root (an OID) and extension of the id of the document that ``digest`` stands for.

        The same digest gives the same id for this entry, another digest or another entry another one.
        """
        root = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.repository_unique_id} {self.entry.unique_id}")
        extension = base64.b32encode(hashlib.sha256(digest).digest()).decode().lower()
        return f"2.25.{root.int}", extension[:_EXTENSION]


@dataclass(frozen=True, slots=True)
class Product:
    """A document made for an order.

    Attributes:
        chunks: its octets; taken once, written to disk as they come.
        mime_type: of the octets.
        title: of the snapshot; None takes the entry's.
        digest: what its id is made from (``Order.identifier``); None takes the octets. For documents that
            contain their own id: equal contents must give equal digests, others other digests.
    """

    chunks: Iterable[bytes]
    mime_type: str
    title: str | None = None
    digest: bytes | None = None


class OnDemandSource(Protocol):
    """Makes documents when they are asked for; called by several threads at once."""

    @property
    def claims(self) -> Sequence[Claim]:
        """The entries that it serves."""

    def produce(self, order: Order) -> Product:
        """The document as it is now.

        Equal contents must be equal octets, so nothing in them may come from the clock. Any exception is
        answered with XDSRepositoryError; its text is neither logged nor sent.
        """


Factory = Callable[[Settings], OnDemandSource]


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources in use, by name, in the order of ``on_demand.sources``.

    ``expand`` gives every spelling of a ``code^^scheme`` that means the same.
    """

    offered: Mapping[str, OnDemandSource]
    expand: Callable[[str], Iterable[str]] | None = None

    @classmethod
    def load(cls, settings: Settings, expand: Callable[[str], Iterable[str]] | None = None) -> Sources:
        """The sources that the settings name.

        Raises:
            ValueError: one is not installed.
        """
        installed = {point.name: point for point in entry_points(group=GROUP)}
        missing = [name for name in settings.on_demand.sources if name not in installed]
        if missing:
            known = ", ".join(sorted(installed)) or "none"
            raise ValueError(f"on_demand.sources: {', '.join(missing)} is not installed; installed: {known}")
        made: dict[str, OnDemandSource] = {}
        for name in settings.on_demand.sources:
            factory: Factory = installed[name].load()
            made[name] = factory(settings)
        return cls(made, expand)

    def serving(self, entry: DocumentEntry) -> str | None:
        """Name of an entry's source: the claim with most codes decides, then the order of the settings."""
        best: tuple[int, str] | None = None
        for name, source in self.offered.items():
            for claim in source.claims:
                codes = sum(map(bool, claim))
                if self._matches(claim, entry) and (best is None or codes > best[0]):
                    best = codes, name
        return None if best is None else best[1]

    def _matches(self, claim: Claim, entry: DocumentEntry) -> bool:
        given = (entry.type_code, entry.format_code, entry.class_code)
        return all(
            not wanted or wanted in self._spellings(code) for wanted, code in zip(claim, given, strict=True)
        )

    def _spellings(self, code: Code | None) -> Iterable[str]:
        if code is None:
            return ()
        text = f"{code.code}^^{code.scheme}"
        return (text,) if self.expand is None else self.expand(text)
