"""Document Source and Document Consumer: the client side of ITI-41, ITI-42, ITI-18 and ITI-43.

zeep reads our own WSDL files, builds the messages from our schemas and addresses them. What it cannot do is
done beside it: ebRIM (substitution groups) comes ready from ``metadata.fragments``, documents stream from and
to files through ``transport``, answers are read by ``answers``.

    with DocumentSource("http://127.0.0.1:8080/xds/repository") as source:
        answer = source.provide_and_register(submission, {entry.entry_uuid: Path("letter.xml")})
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Self

import zeep
from lxml import etree
from zeep.plugins import Plugin

from msim_xds.federation.answers import (
    QueryAnswer,
    RegistryAnswer,
    RemoteUnavailable,
    RetrieveAnswer,
    RetrievedDocument,
    document_responses,
    payload,
    query_answer,
    registry_answer,
)
from msim_xds.federation.transport import Channel, Options, file_document
from msim_xds.ihe.descriptions import BY_TRANSACTION
from msim_xds.ihe.names import SOAP, WSA, WSA_ANONYMOUS, WSSE, XDS, Status
from msim_xds.ihe.queries import QUERIES, TIMES
from msim_xds.ihe.transactions import ITI_18, ITI_41, ITI_42, ITI_43, Transaction
from msim_xds.metadata import fragments
from msim_xds.metadata.model import Submission
from msim_xds.repository.spool import Spool
from msim_xds.wire import mtom, safexml, xop
from msim_xds.wire.exchange import OutgoingDocument
from msim_xds.wire.inline import document_part
from msim_xds.wire.staging import BadPackage

if TYPE_CHECKING:
    from lxml.etree import _Element

__all__ = ["DocumentConsumer", "DocumentRequest", "DocumentSource", "Options", "QueryValue", "ReturnType"]

_SETTINGS: Final = {"raw_response": True, "forbid_dtd": True, "forbid_external": True}
_DOCUMENT: Final = f"{{{XDS}}}Document"
_UNUSED: Final = frozenset({"federated", "federation", "startIndex", "maxResults"})  # by IHE (ITI TF-2 3.18)
_VALUE_CHARS: Final = 256  # of one rim:Value (ebRIM 3.0, LongName)
_FIND_DOCUMENTS: Final = next(row for row in QUERIES.values() if row.name == "FindDocuments")

QueryValue = str | int | Sequence[str]
"""A parameter's value: text, a number, or alternatives (OR)."""


class ReturnType(StrEnum):
    """What a stored query returns (ITI TF-2 3.18.4.1.2.6)."""

    LEAF_CLASS = "LeafClass"
    OBJECT_REF = "ObjectRef"


@dataclass(frozen=True, slots=True)
class DocumentRequest:
    """Which document to retrieve (ITI TF-2 3.43.4.1.2)."""

    repository_unique_id: str
    document_unique_id: str
    home: str | None = None


class DocumentSource:
    """Publishes documents: ITI-41 to a repository, or ITI-42 to a registry."""

    def __init__(self, url: str, options: Options | None = None) -> None:
        """A source for the server at ``url``. One thread at a time may use it."""
        self._channel = Channel(url, options or Options())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._channel.close()

    def provide_and_register(self, submission: Submission, documents: Mapping[str, Path]) -> RegistryAnswer:
        """Provide and Register Document Set-b (ITI TF-2 3.41).

        Args:
            submission: the metadata; ids may be symbolic.
            documents: the file of each DocumentEntry, by its ``entry_uuid``.

        Raises:
            RemoteFault: answered by a SOAP fault.
            RemoteUnavailable: no usable answer. The server may have registered all the same: send again.
            UnreadableDocument: a file cannot be read.
        """
        mime_types = {entry.entry_uuid: entry.mime_type or "" for entry in submission.entries}
        parts = [
            file_document(f"document-{number}@msim-xds", mime_types.get(entry_id, ""), path)
            for number, (entry_id, path) in enumerate(documents.items(), 1)
        ]
        element = safexml.parse(fragments.submit_objects(submission))
        arguments = {
            "SubmitObjectsRequest": {"RegistryObjectList": {"_value_1": []}},
            "Document": [{"_value_1": b"", "id": entry_id} for entry_id in documents],
        }
        return self._registered(ITI_41, arguments, element, parts)

    def register(self, submit_objects: _Element, transaction: Transaction = ITI_42) -> RegistryAnswer:
        """Register Document Set-b (ITI TF-2 3.42), or update metadata by ITI-57 (ITI TF-2 3.57).

        Args:
            submit_objects: a ready lcm:SubmitObjectsRequest.
            transaction: ITI-42 or ITI-57.

        Raises:
            As above.
        """
        return self._registered(
            transaction, {"RegistryObjectList": {"_value_1": []}}, copy.deepcopy(submit_objects), ()
        )

    def _registered(
        self,
        transaction: Transaction,
        arguments: Mapping[str, Any],
        element: _Element,
        parts: Sequence[OutgoingDocument],
    ) -> RegistryAnswer:
        with TemporaryDirectory(prefix="msim-xds-") as directory:
            message = call(self._channel, transaction, arguments, Spool(Path(directory)), element, parts)
            return registry_answer(payload(message.root, transaction, self._channel.url), self._channel.url)


class DocumentConsumer:
    """Finds documents by ITI-18 and retrieves them by ITI-43."""

    def __init__(self, registry_url: str, repository_url: str = "", options: Options | None = None) -> None:
        """A consumer of a registry and, for ``retrieve``, a repository. One thread at a time may use it."""
        self._options = options or Options()
        self._registry = Channel(registry_url, self._options)
        self._repository = Channel(repository_url, self._options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._registry.close()
        self._repository.close()

    def find_documents(
        self,
        patient_id: str,
        parameters: Mapping[str, QueryValue] | None = None,
        *,
        statuses: Sequence[Status] = (Status.APPROVED,),
        return_type: ReturnType = ReturnType.LEAF_CLASS,
    ) -> QueryAnswer:
        """FindDocuments for a patient (CX), with further ``parameters`` by name. Raises as ``query``."""
        required: dict[str, QueryValue] = {
            "$XDSDocumentEntryPatientId": patient_id,
            "$XDSDocumentEntryStatus": statuses,
        }
        return self.query(_FIND_DOCUMENTS.id, {**required, **(parameters or {})}, return_type)

    def query(
        self,
        query_id: str,
        parameters: Mapping[str, QueryValue],
        return_type: ReturnType = ReturnType.LEAF_CLASS,
        home: str | None = None,
    ) -> QueryAnswer:
        """Registry Stored Query (ITI TF-2 3.18).

        Args:
            query_id: UUID URN of the query.
            parameters: values by parameter name; quotes and lists are added here.
            return_type: whole objects or references.
            home: homeCommunityId, for queries without a patient id to a gateway.

        Raises:
            RemoteFault: answered by a SOAP fault.
            RemoteUnavailable: no usable answer.
        """
        times = _times(query_id)
        slots = [
            {"name": name, "ValueList": {"Value": _literals(value, bare=name in times)}}
            for name, value in parameters.items()
        ]
        arguments = {
            "ResponseOption": {"returnType": return_type.value, "returnComposedObjects": True},
            "AdhocQuery": {"id": query_id, "Slot": slots, **({"home": home} if home else {})},
        }
        url = self._registry.url
        with TemporaryDirectory(prefix="msim-xds-") as directory:
            message = call(self._registry, ITI_18, arguments, Spool(Path(directory)))
            return query_answer(payload(message.root, ITI_18, url), url, self._options.limits)

    def retrieve(self, requests: Sequence[DocumentRequest], directory: Path) -> RetrieveAnswer:
        """Retrieve Document Set (ITI TF-2 3.43); documents become files in ``directory``.

        Raises:
            RemoteFault: answered by a SOAP fault.
            RemoteUnavailable: no usable answer.
            OSError: ``directory`` cannot take the documents.
        """
        arguments = document_requests(requests)
        spool = Spool(directory)
        message = call(self._repository, ITI_43, arguments, spool)
        try:
            element = payload(message.root, ITI_43, self._repository.url)
            answer = registry_answer(element, self._repository.url)
            documents = tuple(self._documents(element, message, spool))
        except BaseException:
            for part in message.parts.values():
                spool.discard(part)
            raise
        return RetrieveAnswer(answer.status, answer.findings, documents)

    def _documents(
        self, element: _Element, message: mtom.Message, spool: Spool
    ) -> Iterator[RetrievedDocument]:
        for document, texts in document_responses(element):
            try:
                part = document_part(document, message.parts, spool, self._options.limits)
            except BadPackage as error:
                raise RemoteUnavailable(self._repository.url, f"its answer is broken: {error}") from None
            yield RetrievedDocument(
                home=texts.get("HomeCommunityId"),
                repository_unique_id=texts.get("RepositoryUniqueId", ""),
                document_unique_id=texts.get("DocumentUniqueId", ""),
                mime_type=texts.get("mimeType", ""),
                path=Path(spool.path(part)),
                size=part.size,
                sha1=part.sha1,
            )


def document_requests(requests: Sequence[DocumentRequest]) -> Mapping[str, Any]:
    """The arguments of an operation that names documents."""
    return {
        "DocumentRequest": [
            {
                "RepositoryUniqueId": request.repository_unique_id,
                "DocumentUniqueId": request.document_unique_id,
                **({"HomeCommunityId": request.home} if request.home else {}),
            }
            for request in requests
        ]
    }


def _times(query_id: str) -> frozenset[str]:
    """Names of the query's time parameters, whose values go without quotes (ITI TF-2 3.18.4.1.2.3.5)."""
    row = QUERIES.get(query_id)
    return frozenset(param.name for param in row.params if param.match in TIMES) if row else frozenset()


def _literals(value: QueryValue, *, bare: bool) -> list[str]:
    """A value in the notation of stored queries, cut into several rim:Value where one would be too long."""
    if isinstance(value, int) or (bare and isinstance(value, str)):
        return [str(value)]
    if isinstance(value, str):
        return [_quoted(value)]
    lists: list[str] = []
    for literal in map(_quoted, value):
        if lists and len(lists[-1]) + len(literal) + 3 <= _VALUE_CHARS:
            lists[-1] += f",{literal}"
        else:
            lists.append(f"({literal}")
    return [f"{each})" for each in lists]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@cache
def _wsdl(name: str) -> Any:  # noqa: ANN401  # zeep is barely typed
    """One of our WSDL files, read once; its schemas lie beside it and zeep gets no way to the network."""
    file = files("msim_xds.wsdl").joinpath(name)
    return zeep.wsdl.Document(str(file), _new(zeep.Transport), settings=zeep.Settings(**_SETTINGS))


@cache
def _operation(transaction: Transaction) -> tuple[Any, str, str]:
    """WSDL, binding and operation of a transaction, found by its action."""
    name = BY_TRANSACTION[transaction.name].file
    document = _wsdl(name)
    for binding in document.bindings.values():
        for operation_name, operation in binding.all().items():
            if operation.abstract.wsa_action == transaction.action:
                return document, str(binding.name), operation_name
    raise LookupError(f"no operation for {transaction.name} in {name}")


def call(
    channel: Channel,
    transaction: Transaction,
    arguments: Mapping[str, Any],
    spool: Spool,
    ebrim: _Element | None = None,
    documents: Sequence[OutgoingDocument] = (),
) -> mtom.Message:
    """One request and its answer: zeep builds the envelope, ``channel`` carries it."""
    document, binding, operation = _operation(transaction)
    client = _new(
        zeep.Client,
        document,
        transport=_Carrier(channel, transaction, documents, spool),
        plugins=[_Completion(ebrim, documents, channel.options)],
        settings=zeep.Settings(**_SETTINGS),
    )
    message: mtom.Message = client.create_service(binding, channel.url)[operation](**arguments)
    return message


def _new(make: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401  # zeep's
    """An object of zeep's, whose classes are partly typed and partly not."""
    return make(*args, **options)


class _Carrier:
    """What zeep takes for its transport: once the WSDL is loaded it asks nothing but ``post_xml``."""

    def __init__(
        self, channel: Channel, transaction: Transaction, documents: Sequence[OutgoingDocument], spool: Spool
    ) -> None:
        self._channel = channel
        self._transaction = transaction
        self._documents = documents
        self._spool = spool

    def post_xml(self, _address: str, envelope: _Element, _headers: Mapping[str, str]) -> mtom.Message:
        """Send the envelope; ``raw_response`` makes zeep hand the answer on as it is."""
        return self._channel.post(self._transaction, etree.tostring(envelope), self._documents, self._spool)


class _Completion(Plugin):
    """Adds what zeep leaves out: ebRIM, xop:Include, mustUnderstand on Action, ReplyTo, what secures it."""

    def __init__(
        self, ebrim: _Element | None, documents: Sequence[OutgoingDocument], options: Options
    ) -> None:
        self._ebrim = ebrim
        self._documents = documents
        self._assertion = options.assertion
        self._sign = options.sign

    def egress(
        self, envelope: _Element, http_headers: dict[str, str], _operation: object, _options: object
    ) -> tuple[_Element, dict[str, str]]:
        """Complete the envelope on its way out (ITI TF-2 Appendix V.3.2, V.3.6)."""
        if self._ebrim is not None:
            for skeleton in envelope.iter(self._ebrim.tag):
                parent = skeleton.getparent()
                if parent is not None:
                    parent.replace(skeleton, self._ebrim)
                break
        for element, document in zip(envelope.iter(_DOCUMENT), self._documents, strict=True):
            element.text = None
            element.append(safexml.parse(xop.include(document.cid).encode()))
        for query in envelope.iter(ITI_18.body):
            for name in _UNUSED.intersection(query.keys()):
                del query.attrib[name]
        self._address(envelope)
        if self._sign is not None:
            self._sign(envelope)
        return envelope, http_headers

    def _address(self, envelope: _Element) -> None:
        action = envelope.find(f"{{{SOAP}}}Header/{{{WSA}}}Action")
        header = action.getparent() if action is not None else None
        if action is None or header is None:
            raise LookupError("the WSDL gives no wsa:Action for this operation")
        action.set(f"{{{SOAP}}}mustUnderstand", "1")
        reply_to = etree.SubElement(header, f"{{{WSA}}}ReplyTo")
        etree.SubElement(reply_to, f"{{{WSA}}}Address").text = WSA_ANONYMOUS
        if self._assertion:
            security = etree.SubElement(header, f"{{{WSSE}}}Security", {f"{{{SOAP}}}mustUnderstand": "1"})
            security.append(safexml.parse_signed(self._assertion))
