"""Another community as an Initiating Gateway sees it, whatever it speaks (ITI TF-1 18; ITI TF-2 3.38, 3.39).

An XCA partner answers ITI-38 and ITI-39; an adapter for something else (a national platform) implements the
same ``Community``. The gateway asks all of them side by side, each in a thread of its own, and merges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from lxml import etree

from msim_xds.findings import Finding
from msim_xds.ihe.names import ResponseStatus
from msim_xds.wire.exchange import Request

if TYPE_CHECKING:
    from lxml.etree import _Element


class FoundObject(NamedTuple):
    """A member of rim:RegistryObjectList: what a gateway looks at, and its octets, which it passes on."""

    tag: str
    id: str
    home: str
    octets: bytes


def found_objects(elements: Iterable[_Element]) -> list[FoundObject]:
    """Members as they came; written in the thread that asks, where communities do not wait for each other."""
    return [
        FoundObject(
            str(element.tag),
            element.get("id", ""),
            element.get("home", "").strip(),
            etree.tostring(element, encoding="UTF-8", xml_declaration=False, with_tail=False),
        )
        for element in elements
    ]


class Wanted(NamedTuple):
    """A document to retrieve (ITI TF-2 3.39.4.1.2)."""

    home: str
    repository_unique_id: str
    document_unique_id: str


@dataclass(frozen=True, slots=True)
class Errand:
    """On whose behalf a community is asked, and until when.

    Attributes:
        request: the ITI-18 or ITI-43 that came to us: caller (proven), system, remote address. Its body is
            the whole request; what this community is asked for is handed over beside it.
        assertion: the caller's SAML 2.0 assertion as its issuer signed it, to be passed on or exchanged;
            empty where none came, or none that was verified.
        deadline: ``time.monotonic()`` at which the gateway goes on without this community. Of a retrieval
            it holds for all that comes before the documents' octets.
    """

    request: Request
    assertion: bytes
    deadline: float


@dataclass(frozen=True, slots=True)
class FoundObjects:
    """What a community answers to a query.

    Attributes:
        status: as it came.
        findings: its errors and warnings as they came: code, codeContext, severity, location.
        objects: entries, sets, folders, associations or references, with their homeCommunityId.
    """

    status: ResponseStatus
    findings: Sequence[Finding] = ()
    objects: Sequence[FoundObject] = ()


@dataclass(frozen=True, slots=True)
class StreamedDocument:
    """A document whose octets are still with the community.

    Attributes:
        wanted: whose answer it is.
        mime_type: as the community says.
        chunks: its octets; iterated once, in the order of the answer's documents. Raises RemoteUnavailable
            where they break off, take too long or are too many; then nothing of it counts.
        size: their number where it is known beforehand.
        new_repository_unique_id, new_document_unique_id: of a document made on demand
            (ITI TF-2 3.43.4.2.2).
    """

    wanted: Wanted
    mime_type: str
    chunks: Iterable[bytes]
    size: int | None = None
    new_repository_unique_id: str | None = None
    new_document_unique_id: str | None = None


def _nothing() -> None:
    """What there is to close where nothing is open."""


@dataclass(frozen=True, slots=True)
class FoundDocuments:
    """What a community answers to a retrieval.

    Attributes:
        status: as it came.
        findings: its errors and warnings as they came.
        documents: those that it delivers, in the order in which their octets come.
        room: octets that all its documents have at most; None where that is not known.
        close: lets go of the connection, whether the documents were read or not; harmless a second time, and
            from another thread.
    """

    status: ResponseStatus
    findings: Sequence[Finding] = ()
    documents: Sequence[StreamedDocument] = ()
    room: int | None = None
    close: Callable[[], None] = _nothing


class Community(Protocol):
    """A community that a gateway may ask. Its methods are called from several threads at a time.

    Both methods return or raise by the errand's deadline, as far as they can see to it; the gateway stops
    waiting then in any case. They never ask a gateway of ours in turn: no request goes in a circle.
    """

    @property
    def name(self) -> str:
        """Its name in the configuration, for errors, logs and audit."""

    @property
    def homes(self) -> frozenset[str]:
        """Its homeCommunityIds (``urn:oid:…``); objects and documents of others are not taken from it."""

    def query(self, query: _Element, errand: Errand) -> FoundObjects:
        """Carry out a query:AdhocQueryRequest (ITI TF-2 3.38.4.1).

        Args:
            query: as it came to us, with our own patient ids: it is for the community to know its own. It
                must not be changed; a copy may be. A query by ids has one of its homes in it.
            errand: on whose behalf.

        Raises:
            RemoteError: it gives no answer (becomes XDSUnavailableCommunity).
        """

    def retrieve(self, wanted: Sequence[Wanted], errand: Errand) -> FoundDocuments:
        """Ask for documents (ITI TF-2 3.39.4.1), and return as soon as it is known which of them come.

        Args:
            wanted: the documents, each of one of its ``homes``.
            errand: on whose behalf.

        Raises:
            RemoteError: it gives no answer (becomes XDSUnavailableCommunity).
        """


class Correlation(NamedTuple):
    """A patient in another community (ITI TF-2 3.55): the homeCommunityId and the CX there."""

    home: str
    patient: str


class PatientMapping(Protocol):
    """Which ids a patient of ours has in one community: a shared domain, a table, or XCPD (ITI-55)."""

    def close(self) -> None:
        """Let go of what is open."""

    def find(self, patient: str, errand: Errand) -> Sequence[Correlation]:
        """The patient's ids there; none where the community does not know the patient.

        Args:
            patient: CX of our domain.
            errand: on whose behalf; a discovery over the network keeps its deadline.

        Raises:
            RemoteError: the discovery got no answer.
        """
