"""federation.client: the messages that it sends, held against our schemas, and the answers that it reads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest
from lxml import etree

from msim_xds.federation.answers import RemoteFault, RemoteUnavailable
from msim_xds.federation.client import DocumentConsumer, DocumentRequest, DocumentSource, Options, ReturnType
from msim_xds.ihe.names import ResponseStatus, Severity, Status
from msim_xds.ihe.queries import QUERIES
from msim_xds.ihe.transactions import ITI_18, ITI_41, ITI_42, ITI_43, Transaction
from msim_xds.metadata import ebrim
from msim_xds.metadata.model import Submission
from msim_xds.repository.spool import Spool
from msim_xds.settings import LimitSettings
from msim_xds.wire import mtom
from tests.support import metadata
from tests.support.saml import sign
from tests.test_federation.peer import (
    FAILURE,
    SOAP,
    SUCCESS,
    WSA,
    Peer,
    Reply,
    envelope,
    header,
    multipart,
    registry_response,
)
from tests.test_security.test_xua.conftest import Door

NS = {
    "s": SOAP,
    "rim": metadata.RIM,
    "lcm": metadata.LCM,
    "xds": metadata.XDS,
    "query": "urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0",
    "xop": "http://www.w3.org/2004/08/xop/include",
}
GET_DOCUMENTS = next(row.id for row in QUERIES.values() if row.name == "GetDocuments")


def submission(*ids: str) -> Submission:
    """A valid submission of several documents."""
    objects = [metadata.submission_set()]
    for id in ids:
        objects += [metadata.document_entry(id), metadata.original(id)]
    return ebrim.read(etree.fromstring(metadata.submit_objects(*objects)), LimitSettings()).submission


def body_of(peer: Peer, transaction: Transaction, tmp_path: Path) -> etree._Element:
    """The payload of the only request, after the checks that hold for all."""
    (request,) = peer.received
    message = mtom.read(request.content_type, [request.body], Spool(tmp_path / "received"), LimitSettings())
    assert message.mtom == transaction.mtom
    (action,) = header(message.root, "Action")
    assert action.text == transaction.action
    assert action.get(f"{{{SOAP}}}mustUnderstand") == "1"
    (to,) = header(message.root, "To")
    assert to.text == peer.url
    (message_id,) = header(message.root, "MessageID")
    assert (message_id.text or "").startswith("urn:uuid:")
    (reply_to,) = header(message.root, "ReplyTo")
    assert reply_to.findtext(f"{{{WSA}}}Address") == f"{WSA}/anonymous"
    body = etree.fromstring(message.root).find("s:Body", NS)
    assert body is not None
    (payload,) = body
    assert payload.tag == transaction.body
    return payload


def assert_valid(payload: etree._Element, schema: str) -> None:
    """The payload follows our schema; XOP references count as base64."""
    copy = etree.fromstring(etree.tostring(payload))
    for include in copy.iterfind(".//xop:Include", NS):
        parent = include.getparent()
        assert parent is not None
        parent.remove(include)
    path = str(files("msim_xds.schemas") / schema)
    etree.XMLSchema(etree.parse(path)).assertValid(copy)


def test_provide_and_register(peer: Peer, tmp_path: Path) -> None:
    peer.reply = multipart(envelope(registry_response()), {})
    paths = {name: tmp_path / name for name in ("Document01", "Document02")}
    for path in paths.values():
        path.write_bytes(b"\r\n" + path.name.encode() + b"\r\n")
    sent = submission("Document01", "Document02")
    with DocumentSource(peer.url) as source:
        answer = source.provide_and_register(sent, paths)
    assert answer.succeeded
    assert answer.findings == ()
    payload = body_of(peer, ITI_41, tmp_path)
    assert_valid(payload, "XDS.b_DocumentRepository.xsd")
    submit = payload.find("lcm:SubmitObjectsRequest", NS)
    assert submit is not None
    assert ebrim.read(submit, LimitSettings()).submission == sent
    request = peer.received[0]
    message = mtom.read(request.content_type, [request.body], Spool(tmp_path / "again"), LimitSettings())
    for document in payload.iterfind("xds:Document", NS):
        name = document.get("id", "")
        (include,) = document
        part = message.parts[include.get("href", "").removeprefix("cid:")]
        assert part.sha1 == hashlib.sha1(paths[name].read_bytes()).hexdigest()


def test_register(peer: Peer, tmp_path: Path) -> None:
    peer.reply = Reply(envelope(registry_response()))
    element = etree.fromstring(metadata.single_document())
    before = etree.tostring(element)
    with DocumentSource(peer.url) as source:
        assert source.register(element).succeeded
        assert etree.tostring(element) == before
    payload = body_of(peer, ITI_42, tmp_path)
    assert etree.tostring(payload, method="c14n", exclusive=True) == etree.tostring(
        element, method="c14n", exclusive=True
    )


@pytest.mark.parametrize("status", [SUCCESS, FAILURE])
def test_errors_and_warnings_are_what_the_server_sent(peer: Peer, tmp_path: Path, status: str) -> None:
    errors = (
        '<rs:RegistryError errorCode="XDSRegistryMetadataError" codeContext="rule: REG.WER.6860 &lt;x&gt;" '
        'severity="urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error" location="line 7"/>'
        '<rs:RegistryError errorCode="XDSExtraMetadataNotSaved" codeContext="" '
        'severity="urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Warning"/>'
        '<rs:RegistryError errorCode="Own" codeContext="schema default"/>'
    )
    peer.reply = Reply(envelope(registry_response(status, errors)))
    with DocumentSource(peer.url) as source:
        answer = source.register(etree.fromstring(metadata.single_document()))
    assert answer.status == status
    assert [(f.code, f.code_context, f.error_location, f.severity) for f in answer.findings] == [
        ("XDSRegistryMetadataError", "rule: REG.WER.6860 <x>", "line 7", Severity.ERROR),
        ("XDSExtraMetadataNotSaved", "", "", Severity.WARNING),
        ("Own", "schema default", "", Severity.ERROR),
    ]


def query_response(objects: str, status: str = SUCCESS) -> bytes:
    """query:AdhocQueryResponse."""
    return envelope(
        f'<query:AdhocQueryResponse xmlns:query="{NS["query"]}" xmlns:rim="{NS["rim"]}" status="{status}">'
        f"{objects}</query:AdhocQueryResponse>"
    )


def values_of(payload: etree._Element) -> dict[str, list[str]]:
    """Query parameters as sent."""
    return {
        slot.get("name", ""): [value.text or "" for value in slot.iterfind("rim:ValueList/rim:Value", NS)]
        for slot in payload.iterfind("rim:AdhocQuery/rim:Slot", NS)
    }


def test_find_documents(peer: Peer, tmp_path: Path) -> None:
    entry = metadata.document_entry("urn:uuid:6d0f6c1a-2d5b-4a57-8a0b-1b1f0d6a9e02", title="Żółć")
    reference = '<rim:ObjectRef id="urn:uuid:00000000-0000-0000-0000-000000000001"/>'
    peer.reply = Reply(query_response(f"<rim:RegistryObjectList>{entry}{reference}</rim:RegistryObjectList>"))
    with DocumentConsumer(peer.url) as consumer:
        answer = consumer.find_documents(
            "1'2^^^&1.2.3&ISO",
            {"$XDSDocumentEntryCreationTimeFrom": "2026", "$XDSDocumentEntryClassCode": ["a^^b", "c^^d"]},
        )
    payload = body_of(peer, ITI_18, tmp_path)
    assert_valid(payload, "query.xsd")
    assert payload.keys() == []
    option = payload.find("query:ResponseOption", NS)
    assert option is not None
    assert (option.get("returnType"), option.get("returnComposedObjects")) == ("LeafClass", "true")
    assert values_of(payload) == {
        "$XDSDocumentEntryPatientId": ["'1''2^^^&1.2.3&ISO'"],
        "$XDSDocumentEntryStatus": [f"('{Status.APPROVED}')"],
        "$XDSDocumentEntryCreationTimeFrom": ["2026"],
        "$XDSDocumentEntryClassCode": ["('a^^b','c^^d')"],
    }
    assert answer.succeeded
    (found,) = answer.objects
    assert found.entry_uuid == "urn:uuid:6d0f6c1a-2d5b-4a57-8a0b-1b1f0d6a9e02"
    assert answer.references == ("urn:uuid:00000000-0000-0000-0000-000000000001",)
    assert len(answer.elements) == 2


def test_an_assertion_goes_along_unharmed(peer: Peer, tmp_path: Path) -> None:
    """A guard takes it at the other end: zeep, lxml and the prefixes around it break no signature."""
    peer.reply = Reply(query_response("<rim:RegistryObjectList/>"))
    options = Options(assertion=f'<?xml version="1.0"?>\n{sign()}'.encode())
    with DocumentConsumer(peer.url, options=options) as consumer:
        consumer.find_documents("1^^^&1.2.3&ISO")
    caller = Door(tmp_path).caller(peer.received[0].body)
    assert caller is not None
    assert caller.user.startswith("lz<lucja.zolcinska@")


@pytest.mark.parametrize("count", [1, 5, 6, 100])
def test_long_lists_are_split_between_values(peer: Peer, tmp_path: Path, count: int) -> None:
    peer.reply = Reply(query_response("<rim:RegistryObjectList/>"))
    ids = [metadata.new_uuid() for _ in range(count)]
    with DocumentConsumer(peer.url) as consumer:
        consumer.query(
            GET_DOCUMENTS,
            {"$XDSDocumentEntryEntryUUID": ids, "$MetadataLevel": 1},
            ReturnType.OBJECT_REF,
            home="urn:oid:1.2.3",
        )
    payload = body_of(peer, ITI_18, tmp_path)
    assert_valid(payload, "query.xsd")
    values = values_of(payload)
    assert values["$MetadataLevel"] == ["1"]
    lists = values["$XDSDocumentEntryEntryUUID"]
    assert all(len(text) <= 256 and text[0] == "(" and text[-1] == ")" for text in lists)
    assert [id.strip("'") for text in lists for id in text[1:-1].split(",")] == ids
    query = payload.find("rim:AdhocQuery", NS)
    assert query is not None
    assert query.get("home") == "urn:oid:1.2.3"


def test_a_failure_without_object_list_is_read(peer: Peer) -> None:
    peer.reply = Reply(query_response("", FAILURE))
    with DocumentConsumer(peer.url) as consumer:
        answer = consumer.find_documents("1^^^&1.2.3&ISO")
    assert answer.status is ResponseStatus.FAILURE
    assert answer.objects == ()


def retrieve_response(*documents: str, status: str = SUCCESS) -> bytes:
    """xds:RetrieveDocumentSetResponse."""
    responses = "".join(
        f"<xds:DocumentResponse><xds:RepositoryUniqueId>1.2</xds:RepositoryUniqueId>"
        f"<xds:DocumentUniqueId>1.3.{n}</xds:DocumentUniqueId><xds:mimeType>text/xml</xds:mimeType>"
        f"<xds:Document>{document}</xds:Document></xds:DocumentResponse>"
        for n, document in enumerate(documents)
    )
    return envelope(
        f'<xds:RetrieveDocumentSetResponse xmlns:xds="{NS["xds"]}">{registry_response(status)}{responses}'
        "</xds:RetrieveDocumentSetResponse>"
    )


INCLUDE = f'<xop:Include xmlns:xop="{NS["xop"]}" href="cid:{{}}"/>'


def test_retrieve_takes_parts_and_inline_base64(peer: Peer, tmp_path: Path) -> None:
    octets = b"\r\n\0 exact \xff\r\n"
    peer.reply = multipart(retrieve_response(INCLUDE.format("a%40b"), "aGVs bG8="), {"a@b": octets})
    with DocumentConsumer("", peer.url) as consumer:
        answer = consumer.retrieve(
            [DocumentRequest("1.2", "1.3.0"), DocumentRequest("1.2", "1.3.1", "urn:oid:1.9")],
            tmp_path / "got",
        )
    payload = body_of(peer, ITI_43, tmp_path)
    assert_valid(payload, "XDS.b_DocumentRepository.xsd")
    requests = [[child.text for child in request] for request in payload]
    assert requests == [["1.2", "1.3.0"], ["urn:oid:1.9", "1.2", "1.3.1"]]
    assert answer.succeeded
    assert [document.path.read_bytes() for document in answer.documents] == [octets, b"hello"]
    assert [document.document_unique_id for document in answer.documents] == ["1.3.0", "1.3.1"]
    assert answer.documents[0].sha1 == hashlib.sha1(octets).hexdigest()
    assert answer.documents[0].size == len(octets)
    assert answer.documents[0].mime_type == "text/xml"


@pytest.mark.parametrize("documents", [[INCLUDE.format("other")], ["%%%"], [INCLUDE.format("a"), "x"]])
def test_a_broken_delivery_leaves_nothing_behind(
    peer: Peer, tmp_path: Path, documents: Sequence[str]
) -> None:
    peer.reply = multipart(retrieve_response(*documents), {"a": b"1"})
    with DocumentConsumer("", peer.url) as consumer, pytest.raises(RemoteUnavailable, match="broken"):
        consumer.retrieve([DocumentRequest("1.2", "1.3")], tmp_path / "got")
    assert list((tmp_path / "got").iterdir()) == []


def test_a_soap_fault(peer: Peer) -> None:
    fault = (
        f'<s:Fault xmlns:s="{SOAP}"><s:Code><s:Value>s:Sender</s:Value><s:Subcode>'
        '<s:Value xmlns:wsa="x">wsa:ActionNotSupported</s:Value></s:Subcode></s:Code><s:Reason>'
        '<s:Text xml:lang="pl">Nie znam.</s:Text><s:Text xml:lang="en">Unknown\n action.</s:Text></s:Reason>'
        "</s:Fault>"
    )
    peer.reply = Reply(envelope(fault), 400)
    with DocumentConsumer(peer.url) as consumer, pytest.raises(RemoteFault) as caught:
        consumer.find_documents("1^^^&1.2.3&ISO")
    error = caught.value
    assert (error.code, error.subcode, error.reason) == ("Sender", "ActionNotSupported", "Unknown action.")
    assert str(error) == f"{peer.url}: SOAP fault Sender/ActionNotSupported: Unknown action."


def test_a_fault_of_soap_1_1(peer: Peer) -> None:
    old = "http://schemas.xmlsoap.org/soap/envelope/"
    peer.reply = Reply(
        f'<s:Envelope xmlns:s="{old}"><s:Body><s:Fault><faultcode>s:VersionMismatch</faultcode>'
        "<faultstring>Old.</faultstring></s:Fault></s:Body></s:Envelope>".encode(),
        500,
        "text/xml",
    )
    with DocumentConsumer(peer.url) as consumer, pytest.raises(RemoteFault, match="VersionMismatch: Old"):
        consumer.find_documents("1^^^&1.2.3&ISO")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "broken"),
        (b"<a>", "broken"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "DOCTYPE"),
        (b"<a/>", "not a SOAP 1.2 message"),
        (envelope(""), "not a SOAP 1.2 message"),
        (envelope("<x/>"), "no answer of ITI-18"),
        (query_response("", "urn:fine"), "unknown status 'urn:fine'"),
    ],
)
def test_answers_that_are_none(peer: Peer, body: bytes, words: str) -> None:
    peer.reply = Reply(body)
    with DocumentConsumer(peer.url) as consumer, pytest.raises(RemoteUnavailable, match=words):
        consumer.find_documents("1^^^&1.2.3&ISO")


def test_several_threads_share_the_wsdl(peer: Peer) -> None:
    peer.reply = Reply(query_response("<rim:RegistryObjectList/>"))

    def ask(number: int) -> bool:
        with DocumentConsumer(peer.url) as consumer:
            return consumer.find_documents(f"{number}^^^&1.2.3&ISO").succeeded

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(40)))
    sent = {request.body.partition(b"^^^")[0].rpartition(b"'")[2] for request in peer.received}
    assert sent == {str(number).encode() for number in range(40)}
