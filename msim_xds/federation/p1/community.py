"""P1 as a community that a gateway asks; a ``federation.community.Community``.

P1 has no XCA: a query becomes ITI-18 at its index, a retrieval ITI-43 at the providers' repositories, each
with an assertion that P1 issues for the worker who asks. The homeCommunityId is of our own choice.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

from msim_xds.federation.answers import (
    NotAsked,
    QueryAnswer,
    RemoteError,
    RemoteUnavailable,
    RetrievedDocument,
    payload,
    query_answer,
)
from msim_xds.federation.client import DocumentConsumer, DocumentRequest, ReturnType, call
from msim_xds.federation.community import (
    Errand,
    FoundDocuments,
    FoundObjects,
    StreamedDocument,
    Wanted,
    found_objects,
)
from msim_xds.federation.onward import Onward, delivered, undelivered
from msim_xds.federation.p1 import tokens
from msim_xds.federation.p1.addresses import AddressBook, AddressUnknown
from msim_xds.federation.p1.hand_over import of_receiver
from msim_xds.federation.p1.identifiers import as_written
from msim_xds.federation.p1.providers import Provider, Providers
from msim_xds.federation.p1.scratch import Folder, Scratch
from msim_xds.federation.p1.tokens import Tokens
from msim_xds.federation.transport import Channel, Options
from msim_xds.findings import Finding
from msim_xds.ihe.names import RIM, ResponseStatus
from msim_xds.ihe.queries import QUERIES
from msim_xds.ihe.transactions import ITI_18, ITI_43
from msim_xds.p1_settings import P1Settings
from msim_xds.repository.spool import Spool
from msim_xds.security.xua import attributes
from msim_xds.security.xua.attributes import Meaning
from msim_xds.wire import safexml

if TYPE_CHECKING:
    from lxml.etree import _Element

_CHUNK: Final = 256 * 1024
_SIDE_BY_SIDE: Final = 8  # repositories asked at a time for one retrieval
_LATE: Final = "it does not answer in time"
_AHEAD_S: Final = 0.5  # at most; to be done before the gateway gives up and takes nothing of what has come
_ADHOC_QUERY: Final = f"{{{RIM}}}AdhocQuery"
_SLOT: Final = f"{{{RIM}}}Slot"
#: What zeep makes an envelope of; the query itself takes its place.
_SKELETON: Final = {
    "ResponseOption": {"returnType": ReturnType.LEAF_CLASS.value},
    "AdhocQuery": {"id": ""},
}
_PATIENTS: Final = frozenset(
    {
        "$XDSDocumentEntryPatientId",
        "$XDSFolderPatientId",
        "$XDSSubmissionSetPatientId",
        "$patientId",
    }
)


class _Acting(NamedTuple):
    """Who asks P1: the provider, its worker, and how, with an assertion for both."""

    provider: Provider
    worker: str
    options: Options


class _Part(NamedTuple):
    """What comes of one repository; its documents lie in a folder of their own."""

    documents: Sequence[StreamedDocument]
    findings: Sequence[Finding]
    folder: Folder


class P1Community:
    """P1 for a gateway; its methods may be called from several threads at a time.

    Patients are asked for by the ids of our domain: P1 knows those with the PESEL's root.

    Args:
        settings: section ``p1``, with a homeCommunityId.
        providers: in whose name; that of the caller's organization, else the general one.
        issued: P1's assertions.
        addresses: where repositories are.
        scratch: for documents on their way.
    """

    name = "P1"

    def __init__(
        self,
        settings: P1Settings,
        providers: Providers,
        issued: Tokens,
        addresses: AddressBook,
        scratch: Scratch,
    ) -> None:
        self._settings = settings
        self._providers = providers
        self._tokens = issued
        self._addresses = addresses
        self._scratch = scratch
        self._home = settings.home_community_id
        self._queries = frozenset(row.id for row in QUERIES.values() if row.name in settings.queries)
        self.homes: Final = frozenset({self._home})

    def query(self, query: _Element, errand: Errand) -> FoundObjects:
        """ITI-18 at P1's index; everything found gets P1's homeCommunityId.

        By a query that is not among ``p1.queries`` nothing is found, and P1 is not asked.

        Raises:
            RemoteError: the caller cannot be named to P1, or P1 gives no answer.
        """
        adhoc = query.find(_ADHOC_QUERY)
        if adhoc is None or adhoc.get("id", "") not in self._queries:
            return FoundObjects(ResponseStatus.SUCCESS)
        asked = copy.deepcopy(query)
        for element in asked.iter(_ADHOC_QUERY):
            element.attrib.pop("home", "")
        patient = as_written(_patient(asked))
        answer = self._found(asked, self._options(errand, patient), errand)
        for element in answer.elements:
            element.set("home", self._home)
        return FoundObjects(answer.status, answer.findings, found_objects(answer.elements))

    def retrieve(self, wanted: Sequence[Wanted], errand: Errand) -> FoundDocuments:
        """ITI-43 at all repositories side by side; the documents are spooled before this returns.

        What a repository does not deliver in time, or not at all, hides nothing of the others.

        Raises:
            RemoteError: the caller cannot be named to P1, or P1 issues no assertion.
        """
        errand = _earlier(errand)
        caller = errand.request.caller
        acting = self._acting(errand, as_written(caller.patient) if caller is not None else "")
        parts: dict[str, list[Wanted]] = {}
        for each in wanted:
            parts.setdefault(each.repository_unique_id, []).append(each)
        pool = ThreadPoolExecutor(min(len(parts), _SIDE_BY_SIDE), "p1-repository")
        asked = {pool.submit(self._from, part, acting, errand): part for part in parts.values()}
        pool.shutdown(wait=False)
        done, late = wait(asked, errand.deadline - time.monotonic())
        for future in late:
            if not future.cancel():
                future.add_done_callback(_let_go)
        try:
            answers = [future.result() for future in asked if future in done]
        except BaseException:
            for future in done:
                _let_go(future)
            raise
        unanswered = [
            _undelivered(each, _LATE) for future in asked if future in late for each in asked[future]
        ]
        return _together(answers, unanswered)

    def _found(self, query: _Element, options: Options, errand: Errand) -> QueryAnswer:
        url = self._settings.base + self._settings.iti18
        sent = Onward(errand.request, ITI_18, url, errand.request.concerns, query)
        with (
            sent.failing(),
            Channel(url, options) as channel,
            TemporaryDirectory(prefix="msim-xds-") as directory,
        ):
            message = call(channel, ITI_18, _SKELETON, Spool(Path(directory)), query)
            answer = query_answer(payload(message.root, ITI_18, url), url, options.limits)
            if len(answer.elements) > options.limits.objects:
                raise RemoteUnavailable(url, f"its answer has over {options.limits.objects} objects")
        sent.answered(answer.status, answer.findings)
        return answer

    def _from(self, part: Sequence[Wanted], acting: _Acting, errand: Errand) -> _Part:
        """The documents of one repository. What goes wrong there is said of these documents alone."""
        folder = self._scratch.new()
        try:
            return _Part(*self._retrieved(part, acting, folder.path, errand), folder)
        except BaseException:
            folder.remove()
            raise

    def _retrieved(
        self, part: Sequence[Wanted], acting: _Acting, directory: Path, errand: Errand
    ) -> tuple[Sequence[StreamedDocument], Sequence[Finding]]:
        requests = [DocumentRequest(each.repository_unique_id, each.document_unique_id) for each in part]
        try:
            asking = replace(acting.provider, options=self._in_time(acting.provider.options, errand))
            url = self._addresses.find(part[0].repository_unique_id, asking)
            in_time = self._in_time(acting.options, errand)
            copy = of_receiver(acting.provider, acting.worker) if self._settings.audit else None
            sent = Onward(errand.request, ITI_43, url, undelivered(part), None, copy)
            with sent.failing(), DocumentConsumer("", url, in_time) as consumer:
                answer = consumer.retrieve(requests, directory)
        except AddressUnknown as error:
            return [], [_undelivered(each, str(error), "XDSUnknownRepositoryId") for each in part]
        except RemoteError as error:
            return [], [_undelivered(each, str(error)) for each in part]
        by_id = {each.document_unique_id: each for each in part}
        found = [
            _streamed(by_id[document.document_unique_id], document)
            for document in answer.documents
            if document.document_unique_id in by_id
        ]
        sent.answered(answer.status, answer.findings, delivered(part, [each.wanted for each in found]))
        return found, list(answer.findings)

    def _options(self, errand: Errand, patient: str) -> Options:
        return self._acting(errand, patient).options

    def _acting(self, errand: Errand, patient: str) -> _Acting:
        """Who asks P1, with an assertion for the worker behind the request."""
        caller = errand.request.caller
        provider = self._providers.of_organization(caller)
        wanted = self._wanted(errand, provider, patient)
        in_time = self._in_time(provider.options, errand)
        assertion = self._tokens.get(wanted, replace(provider, options=in_time))
        return _Acting(provider, wanted.worker, replace(in_time, assertion=assertion))

    def _wanted(self, errand: Errand, provider: Provider, patient: str) -> tokens.Wanted:
        """Whom P1 is to attest.

        Raises:
            NotAsked: the caller's assertion names no worker: nobody asks in another's name.
        """
        caller = errand.request.caller
        said = attributes.Attributes()
        if errand.assertion:
            said = attributes.read(safexml.parse(errand.assertion))
        worker = as_written(said.first(Meaning.PROVIDER))
        if caller is None or not worker:
            reason = "P1 is asked only for a worker whom an assertion names, by a licence with its root"
            raise NotAsked(self._settings.base, reason)
        roles, purposes = self._settings.roles, self._settings.purposes
        role = next((roles[code] for code, _, _ in caller.roles if code in roles), provider.facts.role)
        purpose = next(
            (purposes[code] for code, _, _ in caller.purposes if code in purposes), self._settings.purpose
        )
        own = tokens.own_token(provider, purpose, patient)
        return own._replace(worker=worker, role=role)

    def _in_time(self, options: Options, errand: Errand) -> Options:
        """The same, for no longer than there is. Raises RemoteUnavailable when the time has passed."""
        left = min(self._settings.deadline_s, errand.deadline - time.monotonic())
        if left <= 0:
            raise RemoteUnavailable(self._settings.base, "there is no time left to ask it", sent=False)
        connect = min(options.connect_timeout_s, left)
        return replace(options, connect_timeout_s=connect, read_timeout_s=left, deadline_s=left)


def _patient(query: _Element) -> str:
    """CX of the patient whom a query names; empty where it names none."""
    for slot in query.iter(_SLOT):
        if slot.get("name", "").strip() in _PATIENTS:
            return (slot.findtext(f"{{{RIM}}}ValueList/{{{RIM}}}Value") or "").strip().strip("'")
    return ""


def _streamed(wanted: Wanted, document: RetrievedDocument) -> StreamedDocument:
    return StreamedDocument(wanted, document.mime_type, _chunks(document.path), document.size)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _earlier(errand: Errand) -> Errand:
    """The same, to be done a little before the gateway gives up: it would take nothing of what has come."""
    left = errand.deadline - time.monotonic()
    return replace(errand, deadline=errand.deadline - min(_AHEAD_S, left / 10))


def _let_go(future: Future[_Part]) -> None:
    """Remove the documents of a repository for which nobody waits any more."""
    if future.exception() is None:
        future.result().folder.remove()


def _together(parts: Sequence[_Part], unanswered: Sequence[Finding]) -> FoundDocuments:
    documents = [document for part in parts for document in part.documents]
    findings = [*(finding for part in parts for finding in part.findings), *unanswered]
    status = ResponseStatus.SUCCESS
    if findings:
        status = ResponseStatus.PARTIAL_SUCCESS if documents else ResponseStatus.FAILURE
    room = sum(each.size or 0 for each in documents)

    def close() -> None:
        for part in parts:
            part.folder.remove()

    return FoundDocuments(status, findings, documents, room, close)


def _undelivered(wanted: Wanted, problem: str, code: str = "XDSRepositoryError") -> Finding:
    return Finding(
        code,
        problem,
        place=f"repository {wanted.repository_unique_id}",
        attribute="DocumentUniqueId",
        seen=wanted.document_unique_id,
        location=wanted.document_unique_id,
    )
