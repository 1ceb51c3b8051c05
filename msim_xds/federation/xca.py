"""An XCA partner as a community: ITI-38 and ITI-39 from the side that asks (ITI TF-2 3.38, 3.39)."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from lxml import etree

from msim_xds.federation.answers import (
    RegistryAnswer,
    RemoteUnavailable,
    Unusable,
    document_responses,
    payload,
    registry_answer,
)
from msim_xds.federation.asking import assertion_of, post, whole
from msim_xds.federation.community import (
    Errand,
    FoundDocuments,
    FoundObjects,
    PatientMapping,
    StreamedDocument,
    Wanted,
    found_objects,
)
from msim_xds.federation.known_answers import KnownAnswers
from msim_xds.federation.line import Line, LineOptions, Reply
from msim_xds.federation.onward import Onward, delivered, undelivered
from msim_xds.federation.partners import LoadedPartner
from msim_xds.federation.patient_mapping import KnownPatients, patient_slot
from msim_xds.findings import shorten
from msim_xds.ihe.names import RIM, XDS, ResponseStatus
from msim_xds.ihe.transactions import ITI_38, ITI_39
from msim_xds.settings import LimitSettings
from msim_xds.wire.base64 import BadBase64, Base64Decoder
from msim_xds.wire.incoming import IncomingAnswer
from msim_xds.wire.safexml import MalformedXml
from msim_xds.wire.staging import BadPackage
from msim_xds.wire.xmltext import escape
from msim_xds.wire.xop import INCLUDE, cid_of

if TYPE_CHECKING:
    from lxml.etree import _Element

_ADHOC_QUERY: Final = f"{{{RIM}}}AdhocQuery"
_SLOT: Final = f"{{{RIM}}}Slot"
_VALUE: Final = f"{{{RIM}}}Value"
_OBJECTS: Final = f"{{{RIM}}}RegistryObjectList"
_NOBODY: Final = FoundObjects(ResponseStatus.SUCCESS)


class XcaCommunity:
    """A ``community.Community`` that speaks XCA.

    Args:
        partner: what is configured.
        discovery: discovers patients whom the partner's table does not tell; None for none.
    """

    def __init__(self, partner: LoadedPartner, discovery: PatientMapping | None = None) -> None:
        table = partner.table
        options = line_options(partner)
        self.table: Final = table
        self.homes: Final = frozenset(table.homes)
        self._query_line = Line(table.query_url, options)
        self._retrieve_line = Line(table.retrieve_url or table.query_url, options)
        self._mapping = KnownPatients(table.homes[0], partner.mapping, table.patients.shared, discovery)
        self._known = KnownAnswers(table.limits.known_bytes)
        self._query_limits = _limits(table.limits.query_bytes, table.limits.query_bytes, 1)
        self._retrieve_limits = _limits(
            min(table.limits.query_bytes, table.limits.retrieve_bytes),
            table.limits.retrieve_bytes,
            table.limits.document_bytes,
        )

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self.table.name

    def close(self) -> None:
        """Close the connections that are kept."""
        self._query_line.close()
        self._retrieve_line.close()
        self._mapping.close()

    def query(self, query: _Element, errand: Errand) -> FoundObjects:
        """ITI-38, once for each id that the patient has there (ITI TF-2 3.38.4.1).

        Raises:
            RemoteError: no answer, or none that can be used.
        """
        answers = [self._ask(each, errand) for each in self._translated(query, errand)]
        if len(answers) == 1:
            return answers[0]
        if not answers:
            return _NOBODY
        same = {answer.status for answer in answers}
        return FoundObjects(
            same.pop() if len(same) == 1 else ResponseStatus.PARTIAL_SUCCESS,
            [finding for answer in answers for finding in answer.findings],
            [thing for answer in answers for thing in answer.objects],
        )

    def retrieve(self, wanted: Sequence[Wanted], errand: Errand) -> FoundDocuments:
        """ITI-39; the documents are read from the connection when they are sent on (ITI TF-2 3.39.4.1).

        Raises:
            RemoteError: no answer, or none that can be used.
        """
        line = self._retrieve_line
        assertion = assertion_of(errand, self.table.assertion, line)
        sent = Onward(errand.request, ITI_39, line.url, undelivered(wanted))
        as_mtom = self.table.retrieve_form == "mtom"
        with sent.failing():
            reply = post(
                line, ITI_39, _document_requests(wanted), errand.deadline, assertion, as_mtom=as_mtom
            )
        try:
            with sent.failing():
                answer, documents = self._delivered(reply, line, wanted)
            found = delivered(wanted, [each.wanted for each in documents])
            sent.answered(answer.status, answer.findings, found)
        except BaseException:
            reply.close()
            raise
        if documents:
            reply.bound(time.monotonic() + self.table.transfer_s)
        else:
            reply.close()
        return FoundDocuments(answer.status, answer.findings, documents, reply.length, reply.close)

    def _ask(self, query: _Element, errand: Errand) -> FoundObjects:
        line = self._query_line
        body = [etree.tostring(query, with_tail=False)]
        assertion = assertion_of(errand, self.table.assertion, line)
        sent = Onward(errand.request, ITI_38, line.url, errand.request.concerns, query)
        with sent.failing():
            root = whole(post(line, ITI_38, body, errand.deadline, assertion), line, self._query_limits)
            found = self._known.read(root, self._found)
        sent.answered(found.status, found.findings)
        return found

    def _found(self, root: bytes) -> FoundObjects:
        url = self._query_line.url
        element = payload(root, ITI_38, url)
        answer = registry_answer(element, url)
        members = element.find(_OBJECTS)
        if members is None:
            return FoundObjects(answer.status, answer.findings)
        if len(members) > self.table.limits.objects:
            raise Unusable(url, f"its answer has over {self.table.limits.objects} objects")
        return FoundObjects(answer.status, answer.findings, found_objects(members))

    def _delivered(
        self, reply: Reply, line: Line, wanted: Sequence[Wanted]
    ) -> tuple[RegistryAnswer, list[StreamedDocument]]:
        """What a retrieval's answer says before its documents. Raises RemoteError."""
        if (reply.length or 0) > self.table.limits.retrieve_bytes:
            raise RemoteUnavailable(line.url, f"its answer is over {self.table.limits.retrieve_bytes} bytes")
        incoming = self._opened(reply, line)
        element = payload(incoming.root, ITI_39, line.url)
        return registry_answer(element, line.url), self._documents(element, incoming, reply, wanted)

    def _translated(self, query: _Element, errand: Errand) -> Iterator[_Element]:
        """The query for each id that the patient has there; the rest of it is unchanged."""
        adhoc = query.find(_ADHOC_QUERY)
        name = patient_slot("" if adhoc is None else adhoc.get("id", ""))
        slot = _slot(query, name)
        if slot is None:
            yield self._homed(query, self.table.homes[0])
            return
        patient = "".join(value.text or "" for value in slot.iter(_VALUE)).strip()
        for home, theirs in self._mapping.find(_unquoted(patient), errand):
            known_here = "'" + theirs.replace("'", "''") + "'"
            yield self._homed(query if known_here == patient else _of_patient(query, name, known_here), home)

    def _homed(self, query: _Element, home: str) -> _Element:
        if not self.table.home_in_every_query:
            return query
        homed = copy.deepcopy(query)
        adhoc = homed.find(_ADHOC_QUERY)
        if adhoc is not None and not adhoc.get("home"):
            adhoc.set("home", home)
        return homed

    def _opened(self, reply: Reply, line: Line) -> IncomingAnswer:
        try:
            return IncomingAnswer(reply.content_type, reply.chunks(), self._retrieve_limits)
        except (BadPackage, MalformedXml) as error:
            raise RemoteUnavailable(line.url, f"its answer is broken: {error}") from None

    def _documents(
        self, element: _Element, incoming: IncomingAnswer, reply: Reply, wanted: Sequence[Wanted]
    ) -> list[StreamedDocument]:
        waiting = list(wanted)
        found = document_responses(element)
        documents = []
        for number, (document, texts) in enumerate(found, 1):
            match = _match(texts, waiting)
            if match is None:
                seen = shorten(texts.get("DocumentUniqueId", ""))
                raise RemoteUnavailable(
                    self._retrieve_line.url, f"its answer holds a document that was not asked for: {seen!r}"
                )
            waiting.remove(match)
            last = number == len(found)
            documents.append(
                StreamedDocument(
                    match,
                    texts.get("mimeType", ""),
                    self._octets(document, incoming, reply, last=last),
                    None,
                    texts.get("NewRepositoryUniqueId"),
                    texts.get("NewDocumentUniqueId"),
                )
            )
        return documents

    def _octets(
        self, document: _Element, incoming: IncomingAnswer, reply: Reply, *, last: bool
    ) -> Iterator[bytes]:
        """A document's octets; with the last one the connection is given back."""
        try:
            cid = cid_of(document[0].get("href", "")) if len(document) == 1 else None
            if cid and document[0].tag == INCLUDE:
                yield from incoming.document(cid)
            elif len(document):
                raise BadPackage("a Document is neither base64 nor an xop:Include")
            else:
                yield _decoded(document.text or "")
            if last:
                incoming.finish()
                reply.close()
        except (BadPackage, MalformedXml, BadBase64) as error:
            raise RemoteUnavailable(self._retrieve_line.url, f"its answer is broken: {error}") from None


def line_options(partner: LoadedPartner) -> LineOptions:
    """How a partner is talked to."""
    table = partner.table
    return LineOptions(table.connect_timeout_s, table.silence_s, table.connections, partner.tls)


def _limits(root_bytes: int, message_bytes: int, document_bytes: int) -> LimitSettings:
    return LimitSettings(
        root_part_bytes=root_bytes, request_bytes=message_bytes, document_bytes=document_bytes
    )


def _slot(query: _Element, name: str) -> _Element | None:
    if not name:
        return None
    return next((slot for slot in query.iter(_SLOT) if slot.get("name") == name), None)


def _of_patient(query: _Element, name: str, literal: str) -> _Element:
    """The same query for another patient."""
    translated = copy.deepcopy(query)
    slot = _slot(translated, name)
    if slot is not None:
        for value in slot.iter(_VALUE):
            value.text = literal
    return translated


def _unquoted(literal: str) -> str:
    return literal.removeprefix("'").removesuffix("'").replace("''", "'")


def _match(texts: dict[str, str], waiting: Sequence[Wanted]) -> Wanted | None:
    """Which document of those asked for this is; a home that it does not repeat is no contradiction."""
    for each in waiting:
        if (
            texts.get("DocumentUniqueId") == each.document_unique_id
            and texts.get("RepositoryUniqueId") == each.repository_unique_id
            and texts.get("HomeCommunityId", each.home) == each.home
        ):
            return each
    return None


def _decoded(text: str) -> bytes:
    octets = bytearray()
    decoder = Base64Decoder(octets.extend)
    decoder.write(text.encode("ascii", "replace"))
    decoder.finish()
    return bytes(octets)


def _document_requests(wanted: Iterable[Wanted]) -> list[bytes]:
    requests = "".join(
        f"<xds:DocumentRequest><xds:HomeCommunityId>{escape(each.home)}</xds:HomeCommunityId>"
        f"<xds:RepositoryUniqueId>{escape(each.repository_unique_id)}</xds:RepositoryUniqueId>"
        f"<xds:DocumentUniqueId>{escape(each.document_unique_id)}</xds:DocumentUniqueId></xds:DocumentRequest>"
        for each in wanted
    )
    name = "xds:RetrieveDocumentSetRequest"
    return [f'<{name} xmlns:xds="{XDS}">{requests}</{name}>'.encode()]
