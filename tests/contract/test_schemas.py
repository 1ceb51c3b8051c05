"""Every kind of message that the server sends, held against the schemas that it serves itself."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import unquote
from urllib.request import urlopen

import pytest
from lxml import etree

from msim_xds.ihe.descriptions import BY_TRANSACTION, DESCRIPTIONS
from msim_xds.ihe.transactions import ITI_18, ITI_41, ITI_55, Transaction
from tests.contract.messages import MESSAGES, STATUS, Message, get_all, holdings, simple
from tests.support import xcpd
from tests.support.metadata import APPROVED, DEPRECATED, PATIENT
from tests.support.server import ServerProcess
from tests.test_repository.messages import XOP
from tests.test_server.soap import NS, SIMPLE, Response, envelope

XSD = "http://www.w3.org/2001/XMLSchema"


class Served(etree.Resolver):
    """Fetches imported schemas from where their importers say that they are."""

    def resolve(self, system_url: str, _public_id: Any, context: Any) -> Any:  # type: ignore[override]
        with urlopen(system_url) as answer:
            return self.resolve_string(answer.read(), context, base_url=system_url)


@pytest.fixture(scope="module")
def schemas(server: ServerProcess) -> dict[str, etree.XMLSchema]:
    """By WSDL file, what its types import."""
    parser = etree.XMLParser()
    parser.resolvers.add(Served())
    found = {}
    for each in DESCRIPTIONS:
        wsdl = server.request("GET", each.endpoint + each.query).body
        types = etree.fromstring(wsdl).find(f".//{{{XSD}}}schema")
        assert types is not None
        found[each.file] = etree.XMLSchema(etree.fromstring(etree.tostring(types), parser))
    return found


@pytest.fixture(scope="module", autouse=True)
def _holdings(server: ServerProcess) -> None:
    """What the messages are answered from."""
    for message in holdings():
        answer = send(server, ITI_41, message)
        assert payload(answer).get("status") == f"{STATUS}Success", answer.root.decode()


def send(server: ServerProcess, row: Transaction, message: Message) -> Response:
    content_type, body = message
    return server.request("POST", row.endpoint, body, content_type)


def payload(answer: Response) -> etree._Element:
    """What soap:Body holds, as a document of its own, with the octets where XOP took them out."""
    body = answer.xml().find("s:Body", NS)
    assert body is not None
    element = etree.fromstring(etree.tostring(body[0]))
    parts = dict(answer.parts()) if answer.is_mtom else {}
    for include in list(element.iter(f"{{{XOP}}}Include")):
        document = include.getparent()
        assert document is not None
        content = parts[f"<{unquote(include.get('href', '').removeprefix('cid:'))}>"]
        document.remove(include)
        document.text = base64.b64encode(content).decode()
    return element


@pytest.mark.parametrize("name", MESSAGES)
def test_answer_is_valid(server: ServerProcess, schemas: dict[str, etree.XMLSchema], name: str) -> None:
    row, message, status, expected = MESSAGES[name]
    answer = send(server, row, message())
    assert answer.status == 200
    assert (answer.is_mtom, answer.header("Action")) == (row.mtom, row.answer_action)
    assert answer.header("RelatesTo") == "urn:uuid:m"
    element = payload(answer)
    schemas[BY_TRANSACTION[row.name].file].assertValid(element)
    assert element.tag == row.answer.value
    (seen,) = {each.get("status") for each in element.iter(row.answer.value, "{*}RegistryResponse")} - {None}
    assert seen == status
    names = {etree.QName(each).localname for each in element.iter()}
    assert expected <= names
    assert ("RegistryError" in names) == ("RegistryError" in expected)


@pytest.mark.parametrize(
    ("parameters", "outcome"),
    [
        (xcpd.subject_id((xcpd.PESEL, PATIENT.partition("^")[0])), "OK"),
        (xcpd.subject_id((xcpd.PESEL, "0")), "NF"),
        (xcpd.gender("F"), "AE"),
    ],
)
def test_discovery_is_valid(
    server: ServerProcess, schemas: dict[str, etree.XMLSchema], parameters: str, outcome: str
) -> None:
    element = payload(send(server, ITI_55, simple(ITI_55, xcpd.query(parameters).encode())))
    schemas[BY_TRANSACTION[ITI_55.name].file].assertValid(element)
    code = element.find(".//{*}queryResponseCode")
    assert code is not None
    assert code.get("code") == outcome


def test_answer_holds_both_statuses(server: ServerProcess) -> None:
    """So that the objects of test_answer_is_valid are all that there can be."""
    objects = list(payload(send(server, ITI_18, get_all("LeafClass"))).iterfind("{*}RegistryObjectList/*"))
    assert {each.get("status") for each in objects} == {APPROVED, DEPRECATED}


@pytest.mark.parametrize(
    ("message", "code", "subcode"),
    [
        (envelope(action="urn:none"), "Sender", "ActionNotSupported"),
        (envelope(action=None), "Sender", "MessageAddressingHeaderRequired"),
        (envelope().replace(NS["s"].encode(), b"http://schemas.xmlsoap.org/soap/envelope/"),
         "VersionMismatch", None),
        (envelope(headers='<n:X xmlns:n="urn:n" s:mustUnderstand="1"/>'), "MustUnderstand", None),
        (b"<", "Sender", None),
    ],
)  # fmt: skip
def test_faults_are_faults_of_soap(
    server: ServerProcess, message: bytes, code: str, subcode: str | None
) -> None:
    answer = send(server, ITI_18, (SIMPLE, message))
    seen_code, seen_subcode, reason = answer.fault()
    assert seen_code == f"{{{NS['s']}}}{code}"
    assert seen_subcode == (f"{{{NS['a']}}}{subcode}" if subcode else None)
    assert reason
