"""The documents of an ITI-41 request: taken out of the message, and held against their DocumentEntries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from msim_xds.findings import Finding
from msim_xds.ihe.names import LCM, XDS, ObjectKind
from msim_xds.metadata.model import DocumentEntry, MetadataObject, Submission
from msim_xds.settings import LimitSettings
from msim_xds.wire.exchange import Request, StagedPart, Stager
from msim_xds.wire.inline import document_part
from msim_xds.wire.staging import BadPackage
from msim_xds.wire.xop import INCLUDE, cid_of

if TYPE_CHECKING:
    from lxml.etree import _Element

_SUBMIT_OBJECTS: Final = f"{{{LCM}}}SubmitObjectsRequest"
_DOCUMENT: Final = f"{{{XDS}}}Document"
_MESSAGE: Final = "ITI TF-2 3.41.4.1.2"
_PAIRING: Final = "ITI TF-2 3.41.4.1.3"
_INVALID: Final = "XDSRepositoryMetadataError"


@dataclass(slots=True)
class Intake:
    """What an ITI-41 request carries.

    Attributes:
        submit_objects: the lcm:SubmitObjectsRequest; None where there is none, or several.
        documents: the octets by Document/@id; None where they are unusable, which ``findings`` says.
        staged: those that came inline and were staged here, for the caller to commit or discard.
        findings: what is wrong with the Document elements.
    """

    submit_objects: _Element | None = None
    documents: dict[str, StagedPart | None] = field(default_factory=dict)
    staged: list[StagedPart] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def take_in(request: Request, intake: Intake, stager: Stager, limits: LimitSettings) -> None:
    """Fill ``intake`` from the request's body; documents sent as base64 are staged with ``stager``.

    Two Documents may name the same MIME part: they have the same octets, and one blob keeps both.

    Raises:
        OSError: an inline document cannot be staged; ``intake.staged`` has the earlier ones.
    """
    submissions = request.body.findall(_SUBMIT_OBJECTS)
    if len(submissions) == 1:
        intake.submit_objects = submissions[0]
    else:
        intake.findings.append(
            Finding(
                _INVALID,
                "the request needs exactly one lcm:SubmitObjectsRequest",
                seen=str(len(submissions)),
                allowed="1",
                source=_MESSAGE,
            )
        )
    for element in request.body.iterchildren(_DOCUMENT):
        name = element.get("id", "").strip()
        if not name or name in intake.documents:
            intake.findings.append(
                _bad_document(name, "occurs more than once" if name else "is missing", "id")
            )
            continue
        try:
            part = document_part(element, request.parts, stager, limits)
        except BadPackage as error:
            intake.documents[name] = None
            intake.findings.append(_unusable(element, name, request.parts, error))
            continue
        intake.documents[name] = part
        if not len(element):
            intake.staged.append(part)


def _unusable(element: _Element, name: str, parts: Mapping[str, StagedPart], error: BadPackage) -> Finding:
    reference = element.find(INCLUDE)
    if reference is None or cid_of(reference.get("href", "")) in parts:
        return _bad_document(name, str(error))
    return Finding(
        "XDSMissingDocument",
        "the message has no MIME part with this Content-ID",
        place=f"Document {name}",
        attribute="xop:Include/@href",
        seen=reference.get("href", ""),
        allowed="cid: and the Content-ID of a part of this message",
        source=_MESSAGE,
    )


def mismatches(submission: Submission, documents: Mapping[str, StagedPart | None]) -> Iterator[Finding]:
    """What keeps documents and DocumentEntries from being pairs (ITI TF-2 3.41.4.1.3)."""
    stable = {
        entry.entry_uuid: entry
        for entry in submission.entries
        if entry.kind is ObjectKind.STABLE_DOCUMENT_ENTRY
    }
    for name, entry in stable.items():
        if name not in documents:
            yield Finding(
                "XDSMissingDocument",
                "the DocumentEntry has no Document with its id",
                place=entry.place,
                source=_PAIRING,
            )
        elif (part := documents[name]) is not None:
            yield from _differences(entry, part)
    on_demand = {entry.entry_uuid for entry in submission.entries} - stable.keys()
    for name in documents.keys() - stable.keys():
        if name in on_demand:
            yield _bad_document(name, "an on-demand DocumentEntry is submitted without a Document")
        else:
            yield Finding(
                "XDSMissingDocumentMetadata",
                "the Document has no DocumentEntry with its id",
                place=f"Document {name}",
                allowed="the id of an ExtrinsicObject of this message",
                source=_PAIRING,
            )
    yield from _repeated(submission)


def _differences(entry: DocumentEntry, part: StagedPart) -> Iterator[Finding]:
    """Hash and size as supplied against those computed, and what storing needs of the entry."""
    if entry.hash is not None and entry.hash.strip().lower() != part.sha1:
        yield _wrong(entry, "hash", entry.hash, f"{part.sha1}, the SHA-1 of the Document received")
    if entry.size is not None and entry.size.strip().lstrip("0") != str(part.size).lstrip("0"):
        yield _wrong(entry, "size", entry.size, f"{part.size}, the octets of the Document received")
    for attribute, value in (("uniqueId", entry.unique_id), ("mimeType", entry.mime_type)):
        if not value:
            yield Finding(
                _INVALID, "is missing", place=entry.place, attribute=attribute, source="ITI TF-3 4.2.3.2"
            )


def _repeated(submission: Submission) -> Iterator[Finding]:
    owners: tuple[MetadataObject, ...] = (
        *submission.submission_sets,
        *submission.entries,
        *submission.folders,
    )
    for unique_id, times in Counter(owner.unique_id for owner in owners if owner.unique_id).items():
        if times > 1:
            yield Finding(
                "XDSRepositoryDuplicateUniqueIdInMessage",
                "the uniqueId occurs more than once in the message",
                place=", ".join(owner.place for owner in owners if owner.unique_id == unique_id),
                attribute="uniqueId",
                source="ITI TF-3 4.2.4.1",
                context=unique_id,
            )


def _wrong(entry: DocumentEntry, attribute: str, seen: str, allowed: str) -> Finding:
    return Finding(
        _INVALID,
        "differs from the Document",
        place=entry.place,
        attribute=attribute,
        seen=seen,
        allowed=allowed,
        source=_PAIRING,
    )


def _bad_document(name: str, problem: str, attribute: str = "") -> Finding:
    return Finding(_INVALID, problem, place=f"Document {name}".strip(), attribute=attribute, source=_MESSAGE)
