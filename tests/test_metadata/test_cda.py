"""metadata.cda: header facts, and harmlessness whatever the header holds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from msim_xds.metadata.cda import PIK_FORMAT, CdaHeader, NotCda, dtm, read

PL = "2.16.840.1.113883.3.4424"


def header(inner: str) -> CdaHeader:
    """The header read from a document with these children."""
    return read(etree.fromstring(f'<ClinicalDocument xmlns="urn:hl7-org:v3">{inner}</ClinicalDocument>'))


@pytest.mark.parametrize(
    ("ts", "expected"),
    [
        ("20260914133000+0200", "20260914113000"),
        ("201308151030-0800", "201308151830"),
        ("2015072223-0500", "2015072304"),
        ("20260101003000+0100", "20251231233000"),
        ("20130815103000.1234-0800", "20130815183000"),
        ("20130815103000", "20130815103000"),
        ("20130815", "20130815"),
        ("201308", "201308"),
        ("2013", "2013"),
        ("20131301", None),
        ("20130230", None),
        ("00010101000000+0200", None),
        ("2013081", None),
        ("٢٠١٣", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_times_become_utc_with_their_precision(ts: str | None, expected: str | None) -> None:
    assert dtm(ts) == expected


def test_nothing_is_guaranteed() -> None:
    empty = header("")
    assert {getattr(empty, name) for name in CdaHeader.__slots__} == {None, ()}


def test_another_document_is_no_cda() -> None:
    for xml in ("<ClinicalDocument/>", '<Patient xmlns="urn:hl7-org:v3"/>'):
        with pytest.raises(NotCda):
            read(etree.fromstring(xml))


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('root="1.2.3" extension="A 1"', "1.2.3^A 1"),
        ('root="1.2.3"', "1.2.3"),
        ('root="00000000-0000-0000-0000-000000000010"', "2.25.16"),
        ('root="00000000-0000-0000-0000-000000000010" extension="x"', "2.25.16^x"),
        ('extension="x"', None),
        ('root="hospital" extension="x"', None),
        ('nullFlavor="NI" root="1.2.3"', None),
    ],
)
def test_unique_id(attributes: str, expected: str | None) -> None:
    assert header(f"<id {attributes}/>").unique_id == expected


def test_class_code_is_the_national_translation() -> None:
    found = header(
        '<code code="18842-5" codeSystem="2.16.840.1.113883.6.1" displayName="Discharge summary">'
        '<translation code="X" codeSystem="1.2.3"/>'
        f'<translation code="00.20" codeSystem="{PL}.11.1.32" displayName="Karta"/></code>'
    )
    assert found.type_code is not None
    assert found.class_code is not None
    assert (found.type_code.code, found.type_code.scheme) == ("18842-5", "2.16.840.1.113883.6.1")
    assert (found.class_code.code, found.class_code.display[0].value) == ("00.20", "Karta")


def test_format_code_only_for_polish_templates() -> None:
    assert header(f'<templateId root="{PL}.13.10.1.2"/>').format_code == PIK_FORMAT
    assert header(f'<templateId root="{PL}.13.10.2.3"/>').format_code is None


def test_patient_with_the_national_number_first() -> None:
    found = header(
        "<recordTarget><patientRole>"
        f'<id root="{PL}.2.7.99999.17.1" extension="104233"/><id nullFlavor="UNK"/>'
        f'<id root="{PL}.1.1.616" extension="58831404726"/><id root="1.2.3"/>'
        "<addr><city>Kraków</city></addr><patient><name><given>Łucja</given><given>Ewa</given>"
        "<family>Żół|ć^ska</family></name>"
        '<administrativeGenderCode code="F"/><birthTime value="18580314+0100"/></patient>'
        "</patientRole></recordTarget>"
    )
    assert found.patient_ids == (
        f"58831404726^^^&{PL}.1.1.616&ISO",
        f"104233^^^&{PL}.2.7.99999.17.1&ISO",
    )
    assert found.patient_info == (
        "PID-5|Żół\\F\\ć\\S\\ska^Łucja^Ewa^^^^^",
        "PID-7|18580314",
        "PID-8|F",
        "PID-11|^^Kraków",
    )


ASSIGNED = (
    f'<id root="{PL}.1.6.2" extension="2999999"/><assignedPerson><name><prefix>dr</prefix>'
    '<given>Adam</given><given qualifier="CL">Adaś</given><family>Wzorcowy</family></name></assignedPerson>'
)
XCN = f"2999999^Wzorcowy^Adam^^^dr^^^&{PL}.1.6.2&ISO"


def test_author_with_his_provider() -> None:
    found = header(
        '<author><functionCode code="LEK" displayName="Lekarz"/><assignedAuthor>'
        f'{ASSIGNED}<representedOrganization><id root="{PL}.2.3.3" extension="9-001"/><name>Oddział</name>'
        f'<asOrganizationPartOf><wholeOrganization><id root="{PL}.2.2.2" extension="1"/>'
        f'<id root="{PL}.2.3.1" extension="000000999901"/><name>Szpital</name>'
        "</wholeOrganization></asOrganizationPartOf></representedOrganization></assignedAuthor></author>"
    )
    (author,) = found.authors
    assert author.person == XCN
    assert author.institutions == (f"Szpital^^^^^&{PL}.2.3.1&ISO^^^^000000999901",)
    assert author.roles == ("Lekarz",)


@pytest.mark.parametrize(
    ("organization", "expected"),
    [
        ('<id root="1.2.3"/><name>Good Health</name>', ("Good Health^^^^^^^^^1.2.3",)),
        ("<name>Good &amp; Health</name>", ("Good \\T\\ Health",)),
        ('<id root="1.2.3" extension="4"/>', ()),
    ],
)
def test_author_organization_forms(organization: str, expected: tuple[str, ...]) -> None:
    found = header(
        f"<author><assignedAuthor>{ASSIGNED}<representedOrganization>{organization}"
        "</representedOrganization></assignedAuthor></author>"
    )
    assert found.authors[0].institutions == expected


def test_authors_without_identity_are_left_out() -> None:
    found = header(
        '<author/><author><assignedAuthor><id nullFlavor="NI"/></assignedAuthor></author>'
        "<author><assignedAuthor><assignedPerson><name>Adam Wzorcowy</name></assignedPerson>"
        "</assignedAuthor></author>"
    )
    assert [author.person for author in found.authors] == ["^Adam Wzorcowy"]


def test_legal_authenticator_without_name_is_the_author_of_that_id() -> None:
    entity = f'<assignedEntity><id root="{PL}.1.6.2" extension="2999999"/></assignedEntity>'
    found = header(
        f"<author><assignedAuthor>{ASSIGNED}</assignedAuthor></author>"
        f"<legalAuthenticator>{entity}</legalAuthenticator>"
    )
    assert found.legal_authenticator == XCN


def test_service_times_from_event_else_encounter() -> None:
    encounter = (
        '<componentOf><encompassingEncounter><effectiveTime value="20260102"/>'
        "</encompassingEncounter></componentOf>"
    )
    event = (
        "<documentationOf><serviceEvent><effectiveTime>{}</effectiveTime></serviceEvent></documentationOf>"
    )
    low, high = '<low value="20260101"/>', '<high value="2026010210+0200"/>'
    found = header(event.format(low + high) + encounter)
    assert (found.service_start_time, found.service_stop_time) == ("20260101", "2026010208")
    open_ended = header(event.format(low) + encounter)
    assert (open_ended.service_start_time, open_ended.service_stop_time) == ("20260101", None)
    contradiction = header(event.format('<low value="20270101"/>' + high) + encounter)
    assert (contradiction.service_start_time, contradiction.service_stop_time) == ("20260102", "20260102")


def test_replaced_documents() -> None:
    parent = '<parentDocument><id root="1.2.3" extension="{}"/></parentDocument>'
    found = header(
        f'<relatedDocument typeCode="RPLC">{parent.format("a")}</relatedDocument>'
        f'<relatedDocument typeCode="APND">{parent.format("b")}</relatedDocument>'
    )
    assert found.replaces == ("1.2.3^a",)


NAMES = [
    "id",
    "code",
    "title",
    "effectiveTime",
    "confidentialityCode",
    "languageCode",
    "setId",
    "recordTarget",
    "patientRole",
    "patient",
    "name",
    "given",
    "family",
    "author",
    "assignedAuthor",
    "assignedPerson",
    "representedOrganization",
    "legalAuthenticator",
    "assignedEntity",
    "componentOf",
    "encompassingEncounter",
    "low",
    "high",
    "birthTime",
    "relatedDocument",
    "parentDocument",
    "translation",
    "addr",
    "city",
]
VALUES = st.sampled_from(
    ["", " ", "1.2.3", "1.2.03", "x^y", "2026", "20260230", "99991231235959-1400", "00", "N", "RPLC"]
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        ["root", "extension", "value", "code", "codeSystem", "nullFlavor", "typeCode", "qualifier"]
    ),
    VALUES,
    max_size=4,
)


def _element(
    name: str, attributes: dict[str, str], text: str, children: list[etree._Element]
) -> etree._Element:
    element = etree.Element(f"{{urn:hl7-org:v3}}{name}", attributes)
    element.text = text
    element.extend(children)
    return element


TREES = st.recursive(
    st.builds(_element, st.sampled_from(NAMES), ATTRIBUTES, VALUES, st.just([])),
    lambda inner: st.builds(
        _element, st.sampled_from(NAMES), ATTRIBUTES, VALUES, st.lists(inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(TREES, max_size=6))
def test_no_header_makes_the_reader_fail(children: list[etree._Element]) -> None:
    found = read(_element("ClinicalDocument", {}, "", children))
    assert all(cx.endswith("&ISO") for cx in found.patient_ids)
    assert all(author.person for author in found.authors)
