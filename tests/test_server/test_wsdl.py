"""The WSDL and XSD files: names of the framework, schemas that load and judge, addresses that work."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import pytest
import zeep
from lxml import etree

from msim_xds.ihe.descriptions import BY_TRANSACTION, DESCRIPTIONS, Description, of_endpoint
from msim_xds.ihe.names import LCM, QUERY, RIM, RMD, RS, XDS
from msim_xds.ihe.transactions import (
    ITI_18,
    ITI_41,
    ITI_42,
    ITI_43,
    ITI_62,
    ITI_86,
    TRANSACTIONS,
    Endpoint,
    Transaction,
)
from msim_xds.server.wsdl import SCHEMAS, Descriptions, public_url
from msim_xds.settings import Settings
from tests.support.metadata import association, folder, single_document

NS = {
    "wsdl": "http://schemas.xmlsoap.org/wsdl/",
    "soap12": "http://schemas.xmlsoap.org/wsdl/soap12/",
    "xsd": "http://www.w3.org/2001/XMLSchema",
}
WSAM_ACTION = "{http://www.w3.org/2007/05/addressing/metadata}Action"
ROWS = [(each, row) for each in DESCRIPTIONS for row in each.transactions]


def schema(name: str) -> etree.XMLSchema:
    with as_file(files("msim_xds.schemas")) as folder_:
        return etree.XMLSchema(etree.parse(Path(folder_) / name))


@pytest.fixture(scope="module")
def descriptions() -> Descriptions:
    return Descriptions("https://edm.example.pl:8443/msim")


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_loads(name: str) -> None:
    schema(name)


def test_every_file_is_published() -> None:
    assert {f.name for f in files("msim_xds.schemas").iterdir() if f.name.endswith(".xsd")} == set(SCHEMAS)
    assert {f.name for f in files("msim_xds.wsdl").iterdir() if f.name.endswith(".wsdl")} == {
        each.file for each in DESCRIPTIONS
    }


def test_every_transaction_is_described_where_it_is_taken() -> None:
    assert {row.name for row in TRANSACTIONS} <= set(BY_TRANSACTION)
    assert len(BY_TRANSACTION) == len(ROWS)
    assert all(row.endpoint is each.endpoint for each, row in ROWS)
    assert [of_endpoint(endpoint)[0].query for endpoint in Endpoint] == ["?wsdl"] * len(Endpoint)
    assert len({(each.endpoint, each.key) for each in DESCRIPTIONS}) == len(DESCRIPTIONS)


def operation_name(described: Description, row: Transaction) -> str:
    """By the action, or by the message where HL7 v3 names it (ITI TF-2 Appendix V.2.4)."""
    hl7 = row.body.startswith("{urn:hl7-org:v3}")
    return f"{described.stem}_{row.body.rpartition('}')[2] if hl7 else row.action.rpartition(':')[2]}"


@pytest.mark.parametrize(("described", "row"), ROWS, ids=[row.name for _, row in ROWS])
def test_wsdl_follows_the_framework(
    described: Description, row: Transaction, descriptions: Descriptions
) -> None:
    text = descriptions.wsdl(row.endpoint, described.key)
    assert text is not None
    document = etree.fromstring(text)
    stem = described.stem
    operation = operation_name(described, row)
    assert document.get("name") == stem
    assert document.get("targetNamespace") == described.namespace
    for direction, action, element in (
        ("input", row.action, row.body),
        ("output", row.answer_action, row.answer.value),
    ):
        node = document.find(
            f"wsdl:portType[@name='{stem}_PortType']/wsdl:operation[@name='{operation}']/wsdl:{direction}", NS
        )
        assert node is not None
        assert node.get(WSAM_ACTION) == action
        message = document.find(f"wsdl:message[@name='{str(node.get('message')).partition(':')[2]}']/*", NS)
        assert message is not None
        assert message.get("name") == "body"
        prefix, _, local = str(message.get("element")).partition(":")
        assert f"{{{message.nsmap[prefix]}}}{local}" == element
    bound = document.find(
        f"wsdl:binding[@name='{stem}_Binding_Soap12']/wsdl:operation[@name='{operation}']", NS
    )
    assert bound is not None
    assert bound.find("soap12:operation[@soapActionRequired='false']", NS) is not None
    assert len(bound.findall(".//soap12:body[@use='literal']", NS)) == 2
    port = document.find(f"wsdl:service[@name='{stem}_Service']/wsdl:port[@name='{stem}_Port_Soap12']/*", NS)
    assert port is not None
    assert port.get("location") == f"https://edm.example.pl:8443/msim{row.endpoint}"


@pytest.mark.parametrize("described", DESCRIPTIONS, ids=lambda described: described.file)
def test_every_import_leads_to_a_file(described: Description, descriptions: Descriptions) -> None:
    endpoint = described.endpoint
    base = f"https://edm.example.pl:8443/msim{endpoint}?xsd="
    waiting, seen = [descriptions.wsdl(endpoint, described.key)], set[str]()
    while waiting:
        importer = waiting.pop()
        assert importer is not None
        for node in etree.fromstring(importer).iter("{http://www.w3.org/2001/XMLSchema}import"):
            location = str(node.get("schemaLocation"))
            assert location.startswith(base)
            name = location.removeprefix(base)
            if name not in seen:
                seen.add(name)
                text = descriptions.schema(endpoint, name)
                assert text is not None
                assert etree.fromstring(text).get("targetNamespace") == node.get("namespace")
                waiting.append(text)
    assert seen


@pytest.mark.parametrize("name", ["", "../setup.cfg", "/etc/passwd", "rim.xsd/", "registry.wsdl", "RIM.XSD"])
def test_no_other_file_is_shown(name: str, descriptions: Descriptions) -> None:
    assert descriptions.schema(Endpoint.REGISTRY, name) is None


def test_there_is_no_other_wsdl(descriptions: Descriptions) -> None:
    assert descriptions.wsdl(Endpoint.REPOSITORY, "2010") is None


@pytest.mark.parametrize("described", DESCRIPTIONS, ids=lambda described: described.file)
def test_files_work_from_disk_too(described: Description) -> None:
    with as_file(files("msim_xds.wsdl").joinpath(described.file)) as path:
        client = zeep.Client(str(path))  # type: ignore[no-untyped-call]
    operations = {operation_name(described, row) for row in described.transactions}
    assert set(client.service._binding._operations) == operations


def test_address_is_escaped() -> None:
    text = Descriptions('http://h/a&b"\\1').wsdl(Endpoint.REGISTRY)
    assert text is not None
    port = etree.fromstring(text).find(".//soap12:address", NS)
    assert port is not None
    assert port.get("location") == 'http://h/a&b"\\1/xds/registry'


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"host": "0.0.0.0", "port": 81}, "http://127.0.0.1:81"),
        ({"host": "::"}, "http://127.0.0.1:8080"),
        ({"host": "fd00::1"}, "http://[fd00::1]:8080"),
        ({"uds": "/run/x.sock"}, "http://localhost"),
        ({"public_url": "https://edm.example.pl/"}, "https://edm.example.pl"),
    ],
)
def test_public_url(settings: dict[str, object], expected: str) -> None:
    assert public_url(Settings(server=settings)) == expected


SUCCESS = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success"
SAMPLES = {
    ITI_41.body: (
        "XDS.b_DocumentRepository.xsd",
        f'<ProvideAndRegisterDocumentSetRequest xmlns="{XDS}">{single_document().decode()}'
        '<Document id="Document01">aGVsbG8=</Document></ProvideAndRegisterDocumentSetRequest>',
    ),
    ITI_42.body: (
        "lcm.xsd",
        f'<l:SubmitObjectsRequest xmlns:l="{LCM}" xmlns:rim="{RIM}"><rim:RegistryObjectList>{folder()}'
        f'{association("a", "b")}<rim:ObjectRef id="x"/></rim:RegistryObjectList></l:SubmitObjectsRequest>',
    ),
    ITI_18.body: (
        "query.xsd",
        f'<q:AdhocQueryRequest xmlns:q="{QUERY}" xmlns:r="{RIM}"><q:ResponseOption returnType="LeafClass"/>'
        '<r:AdhocQuery id="urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"><r:Slot name="$a"><r:ValueList>'
        "<r:Value>'1'</r:Value></r:ValueList></r:Slot></r:AdhocQuery></q:AdhocQueryRequest>",
    ),
    ITI_43.body: (
        "XDS.b_DocumentRepository.xsd",
        f'<RetrieveDocumentSetRequest xmlns="{XDS}"><DocumentRequest>'
        "<RepositoryUniqueId>1.2</RepositoryUniqueId><DocumentUniqueId>1.2.3</DocumentUniqueId></DocumentRequest></RetrieveDocumentSetRequest>",
    ),
    ITI_62.body: (
        "lcm.xsd",
        f'<l:RemoveObjectsRequest xmlns:l="{LCM}" xmlns:r="{RIM}"><r:ObjectRefList><r:ObjectRef id="x"/>'
        "</r:ObjectRefList></l:RemoveObjectsRequest>",
    ),
    ITI_86.body: (
        "rmd.xsd",
        f'<d:RemoveDocumentsRequest xmlns:d="{RMD}" xmlns:x="{XDS}"><x:DocumentRequest>'
        "<x:RepositoryUniqueId>1.2</x:RepositoryUniqueId><x:DocumentUniqueId>1.2.3</x:DocumentUniqueId>"
        "</x:DocumentRequest></d:RemoveDocumentsRequest>",
    ),
    ITI_18.answer.value: (
        "query.xsd",
        f'<q:AdhocQueryResponse xmlns:q="{QUERY}" status="{SUCCESS}"><r:RegistryObjectList xmlns:r="{RIM}"/>'
        "</q:AdhocQueryResponse>",
    ),
    ITI_42.answer.value: (
        "rs.xsd",
        f'<RegistryResponse xmlns="{RS}" status="{SUCCESS}"><RegistryErrorList>'
        '<RegistryError codeContext="" errorCode="XDSRegistryError"/></RegistryErrorList></RegistryResponse>',
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_schema_accepts_good_messages(name: str) -> None:
    file, text = SAMPLES[name]
    document = etree.fromstring(text)
    assert document.tag == name
    schema(file).assertValid(document)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (ITI_18.answer.value, f'<r:RegistryObjectList xmlns:r="{RIM}"/>', ""),
        (ITI_42.answer.value, 'codeContext=""', ""),
        (ITI_18.body, '"LeafClass"', '"Leaf"'),
        (ITI_43.body, "<RepositoryUniqueId>1.2</RepositoryUniqueId>", ""),
        (ITI_62.body, "<r:ObjectRef ", "<r:Association "),
        (ITI_86.body, "<x:RepositoryUniqueId>1.2</x:RepositoryUniqueId>", ""),
        (ITI_41.body, ' id="Document01">aGVs', ">aGVs"),
        (ITI_42.body, 'targetObject="b"', ""),
        (ITI_42.body, '<rim:ObjectRef id="x"/>', "<rim:ObjectRef/>"),
        (ITI_42.body, "<rim:ExternalIdentifier", "<rim:Name/><rim:ExternalIdentifier"),
    ],
)
def test_schema_refuses_bad_messages(name: str, good: str, bad: str) -> None:
    file, text = SAMPLES[name]
    assert good in text
    assert not schema(file).validate(etree.fromstring(text.replace(good, bad, 1)))
