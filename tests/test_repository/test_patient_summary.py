"""The index of a patient's documents: what is in it, and what changes its octets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from lxml.etree import _Element

from msim_xds.metadata import cda
from msim_xds.metadata.model import Author, Code, DocumentEntry, LocalizedString, SubmissionSet
from msim_xds.repository.on_demand import Order, Product
from msim_xds.repository.patient_summary import FORMAT, TYPE, PatientSummary
from msim_xds.settings import Settings
from msim_xds.wire import safexml
from tests.support.strategies import texts

CONFIDENTIALITY, P1_CLASSES = "2.16.840.1.113883.5.25", "2.16.840.1.113883.3.4424.11.1.32"
PESEL = "58831404726^^^&2.16.840.1.113883.3.4424.1.1.616&ISO"
LOCAL = "104233^^^&2.16.840.1.113883.3.4424.2.7.99999.17.1&ISO"
DOCTOR = "2999999^Wzorcowy^Adam^Jan^^dr^^^&2.16.840.1.113883.3.4424.1.6.2&ISO"
HOSPITAL = "Szpital Przykładowy w Krakowie^^^^^&2.16.840.1.113883.3.4424.2.3.1&ISO^^^^000000999901"
PERSON = ("PID-5|Żółcińska^Łucja^Maria^^^", "PID-7|18580314", "PID-8|F", "PID-11|^^Kraków")


def code(value: str, scheme: str, *display: str) -> Code:
    return Code(value, scheme, tuple(LocalizedString(each) for each in display))


def confidential(*values: str, scheme: str = CONFIDENTIALITY) -> tuple[Code, ...]:
    return tuple(code(each, scheme, each) for each in values)


ENTRY = DocumentEntry(
    entry_uuid="urn:uuid:index",
    unique_id="1.2.3",
    title=(LocalizedString("Spis", "pl-PL"),),
    class_code=code("08.90", "KLAS_DOK_P1", "Informacja dla lekarza"),
    type_code=TYPE,
    format_code=FORMAT,
    confidentiality_codes=confidential("N"),
    patient_id=PESEL,
    source_patient_id=LOCAL,
    authors=(Author(DOCTOR, (HOSPITAL,)),),
)
DOCUMENT = DocumentEntry(
    entry_uuid="urn:uuid:document",
    title=(LocalizedString("Discharge", "en-US"), LocalizedString("Karta", "pl-PL")),
    class_code=code("00.20", P1_CLASSES, "Karta informacyjna leczenia szpitalnego"),
    type_code=code("18842-5", "2.16.840.1.113883.6.1", "Discharge summary"),
    confidentiality_codes=confidential("N"),
    creation_time="20260914113000",
    service_start_time="20260908",
    service_stop_time="20260914110000",
    authors=(Author(institutions=("Przychodnia",)), Author(DOCTOR, (HOSPITAL,))),
    repository_unique_id="1.9.1",
    unique_id="1.9.2^A",
)


@dataclass(frozen=True)
class Records:
    held: tuple[DocumentEntry, ...]

    def documents(self) -> Iterator[DocumentEntry]:
        yield from self.held


def product(*documents: DocumentEntry, entry: DocumentEntry = ENTRY, **options: Any) -> Product:
    submission = SubmissionSet(entry_uuid="set", submission_time=options.pop("registered", "20260101"))
    source = PatientSummary(Settings(**options))
    return source.produce(Order(entry, submission, Records(documents), "1.9.9"))


def octets(*documents: DocumentEntry, **options: Any) -> bytes:
    return b"".join(product(*documents, **options).chunks)


def tree(*documents: DocumentEntry, **options: Any) -> _Element:
    return safexml.parse(octets(*documents, **options))


def rows(root: _Element) -> list[list[str]]:
    """The texts of the table's rows."""
    return [[cell.text or "" for cell in row] for row in root.iter("{*}tr") if row[0].tag.endswith("}td")]


def column(root: _Element, number: int) -> list[str]:
    return [row[number] for row in rows(root)]


class TestContents:
    def test_a_line(self) -> None:
        (line,) = rows(tree(DOCUMENT))
        assert line == [
            "14.09.2026 13:30",
            "Karta",
            "Karta informacyjna leczenia szpitalnego",
            "Discharge summary",
            "dr Adam Jan Wzorcowy",
            "Przychodnia",
            "08.09.2026 – 14.09.2026 13:00",
            "1.9.1",
            "1.9.2^A",
        ]

    def test_an_entry_that_says_nothing(self) -> None:
        (line,) = rows(tree(DocumentEntry(entry_uuid="x")))
        assert line == ["", "(bez tytułu)", *[""] * 7]

    def test_no_documents(self) -> None:
        root = tree()
        assert rows(root) == []
        assert "nie ma takich dokumentów" in str(root.xpath("string()"))

    def test_the_newest_comes_first(self) -> None:
        times = ["2024", "20260914", "20260914113000", "202501", ""]
        found = column(tree(*(replace(DOCUMENT, creation_time=each or None) for each in times)), 0)
        assert found == ["14.09.2026 13:30", "14.09.2026", "01.2025", "2024", ""]

    @pytest.mark.parametrize(
        ("time", "shown"),
        [
            ("20260114113000", "14.01.2026 12:30"),
            ("202607142330", "15.07.2026 01:30"),
            ("2026071423", "14.07.2026"),
            ("yesterday", "yesterday"),
        ],
    )
    def test_times_as_people_read_them(self, time: str, shown: str) -> None:
        assert column(tree(replace(DOCUMENT, creation_time=time)), 0) == [shown]

    @pytest.mark.parametrize(
        ("start", "stop", "shown"),
        [("2026", "2026", "2026"), ("2025", None, "2025"), (None, None, ""), ("2025", "2026", "2025 – 2026")],
    )
    def test_the_time_of_the_service(self, start: str | None, stop: str | None, shown: str) -> None:
        document = replace(DOCUMENT, service_start_time=start, service_stop_time=stop)
        assert column(tree(document), 6) == [shown]

    @pytest.mark.parametrize(
        ("xcn", "shown"),
        [
            ("7", "7"),
            ("^Nowak", "Nowak"),
            (r"^O\T\K^Jan\S\na", "Jan^na O&K"),
            ("^De Luca&De&Luca", "De Luca"),
        ],
    )
    def test_authors(self, xcn: str, shown: str) -> None:
        assert column(tree(replace(DOCUMENT, authors=(Author(xcn),))), 4) == [shown]

    def test_titles_by_rule(self) -> None:
        assert product(DOCUMENT).title == "Spis"
        assert product(DOCUMENT, entry=replace(ENTRY, title=())).title == "Spis dokumentów pacjenta"


class TestConfidentiality:
    @pytest.mark.parametrize(
        ("index", "document", "listed"),
        [
            (("N",), ("N",), True),
            (("N",), ("L",), True),
            (("N",), ("R",), False),
            (("N",), ("N", "V"), False),
            (("R",), ("N", "R"), True),
            (("V",), ("R",), True),
            (("R",), ("V",), False),
            ((), ("N",), True),
            ((), ("R",), False),
            (("N",), (), True),
            (("N",), ("X",), False),
        ],
    )
    def test_nothing_that_is_more_confidential(
        self, index: tuple[str, ...], document: tuple[str, ...], listed: bool
    ) -> None:
        entry = replace(ENTRY, confidentiality_codes=confidential(*index))
        root = tree(replace(DOCUMENT, confidentiality_codes=confidential(*document)), entry=entry)
        assert bool(rows(root)) is listed

    def test_other_codes_only_where_both_have_them(self) -> None:
        local = confidential("VIP", scheme="1.2.3")
        document = replace(DOCUMENT, confidentiality_codes=local)
        assert not rows(tree(document))
        both = replace(ENTRY, confidentiality_codes=(*local, *confidential("N")))
        assert rows(tree(document, entry=both))
        secret = replace(DOCUMENT, confidentiality_codes=confidential("V"))
        assert not rows(tree(secret, entry=both)), "a code of the domain's own ranks nothing"


class TestOctets:
    def test_are_the_same_for_the_same_documents(self) -> None:
        others = [replace(DOCUMENT, unique_id=f"1.{n}", entry_uuid=f"urn:uuid:{n}") for n in range(5)]
        assert octets(*others) == octets(*reversed(others))
        assert product(*others).digest == product(*reversed(others)).digest

    @pytest.mark.parametrize(
        "change",
        [
            {"title": (LocalizedString("Inna"),)},
            {"creation_time": "20260915"},
            {"unique_id": "1.9.3"},
            {"authors": ()},
            {"service_stop_time": "20260915"},
        ],
    )
    def test_change_with_every_attribute_shown(self, change: dict[str, Any]) -> None:
        before, after = product(DOCUMENT), product(replace(DOCUMENT, **change))
        assert before.digest != after.digest
        assert list(before.chunks) != list(after.chunks)

    def test_do_not_change_with_what_is_not_shown(self) -> None:
        assert octets(DOCUMENT) == octets(replace(DOCUMENT, comments=(LocalizedString("x"),), size="7"))

    @settings(max_examples=50)
    @given(texts, texts, texts)
    def test_any_text_reads_back(self, title: str, institution: str, unique_id: str) -> None:
        document = replace(
            DOCUMENT,
            title=(LocalizedString(title),),
            authors=(Author(institutions=(institution,)),),
            unique_id=unique_id,
        )
        (line,) = rows(tree(document))
        assert line[1] == (title or "(bez tytułu)")
        assert line[8] == unique_id


class TestHeader:
    def test_is_read_as_what_it_says(self) -> None:
        entry = replace(ENTRY, source_patient_info=PERSON, legal_authenticator=DOCTOR)
        made = product(DOCUMENT, entry=entry)
        (document,) = made.chunks
        header = cda.read(safexml.parse(document))
        order = Order(entry, SubmissionSet(entry_uuid="s"), Records(()), "1.9.9")
        assert made.digest is not None
        assert header.unique_id == header.set_id == "^".join(order.identifier(made.digest))
        assert (header.title, header.language_code, header.version_number) == ("Spis", "pl-PL", "1")
        assert header.creation_time == "20260914113000"
        assert header.type_code is not None
        assert (header.type_code.code, header.type_code.scheme) == (TYPE.code, TYPE.scheme)
        assert header.class_code == code("08.90", P1_CLASSES, "Informacja dla lekarza")
        assert header.confidentiality_code == confidential("N")[0]
        assert header.format_code == cda.PIK_FORMAT
        assert header.patient_ids == (PESEL, LOCAL)
        assert header.patient_info == (
            "PID-5|Żółcińska^Łucja^Maria^^^^^",
            "PID-7|18580314",
            "PID-8|F",
            "PID-11|^^Kraków",
        )
        assert header.authors[0].institutions == (HOSPITAL,)
        assert header.authors[0].person == header.legal_authenticator == DOCTOR

    def test_begins_as_pik_wants_it(self) -> None:
        document = octets()
        declaration, stylesheet = document.split(b"\n", 1)
        assert declaration.startswith(b"<?xml version=")
        assert stylesheet.startswith(
            b'<?xml-stylesheet href="CDA_PL_IG_1.3.2.xsl" type="text/xsl"?><ClinicalDocument'
        )
        root = safexml.parse(document)
        templates = [each.get("extension") for each in root.iterchildren("{*}templateId")]
        assert templates == ["1.3.2"]
        times = [
            each.get("value")
            for path in ("{*}effectiveTime", "{*}author/{*}time")
            for each in root.iterfind(path)
        ]
        assert len(times) == 2
        assert len(set(times)) == 1

    def test_the_patient_as_the_newest_document_knows_it(self) -> None:
        older = replace(DOCUMENT, creation_time="2020", source_patient_info=("PID-5|Panieńska^Łucja",))
        newer = replace(DOCUMENT, creation_time="2025", source_patient_info=PERSON)
        newest = replace(DOCUMENT, creation_time="2026", source_patient_info=("PID-8|F",))
        info = cda.read(tree(older, newest, newer)).patient_info
        assert info[0] == "PID-5|Żółcińska^Łucja^Maria^^^^^"

    def test_a_city_alone(self) -> None:
        entry = replace(ENTRY, source_patient_info=("PID-11|Kraków",))
        assert cda.read(tree(entry=entry)).patient_info == ("PID-11|^^Kraków",)

    def test_what_nobody_knows_is_not_made_up(self) -> None:
        bare = DocumentEntry(entry_uuid="x", unique_id="1.2.3", patient_id=PESEL)
        root = tree(entry=bare, registered=None)
        header = cda.read(root)
        assert header.patient_ids == (PESEL,)
        assert (header.patient_info, header.authors, header.legal_authenticator) == ((), (), None)
        assert (header.creation_time, header.type_code, header.class_code) == (None, None, None)
        assert root.findtext(".//{*}softwareName") == "msim-xds"
        assert [
            each.get("root") for each in root.iterfind(".//{*}representedCustodianOrganization/{*}id")
        ] == ["1.9.9"]
        assert root.find("{*}legalAuthenticator") is None

    @pytest.mark.parametrize(
        ("xon", "root", "extension", "template"),
        [
            (
                "Oddział^^^^^&2.16.840.1.113883.3.4424.2.3.3&ISO^^^^1-001",
                "2.16.840.1.113883.3.4424.2.3.3",
                "1-001",
                "2.18",
            ),
            (
                "Zakład^^^^^&2.16.840.1.113883.3.4424.2.3.2&ISO^^^^1-01",
                "2.16.840.1.113883.3.4424.2.3.2",
                "1-01",
                "2.17",
            ),
            ("Szpital^^^^^^^^^1.2.3", "1.2.3", None, None),
            ("Szpital", None, None, None),
        ],
    )
    def test_institutions(
        self, xon: str, root: str | None, extension: str | None, template: str | None
    ) -> None:
        entry = replace(ENTRY, authors=(Author("^Nowak", (xon,)),))
        organization = tree(entry=entry).find(".//{*}representedOrganization")
        assert organization is not None
        assert organization.findtext("{*}name") == xon.partition("^")[0]
        ids = [(each.get("root"), each.get("extension")) for each in organization.iterfind("{*}id")]
        assert ids == ([(root, extension)] if root else [])
        templates = [each.get("root", "") for each in organization.iterfind("{*}templateId")]
        assert templates == ([f"2.16.840.1.113883.3.4424.13.10.{template}"] if template else [])

    def test_a_scheme_that_is_only_a_name(self) -> None:
        entry = replace(ENTRY, type_code=code("1", "Nasze rodzaje", "Spis"))
        element = tree(entry=entry).find("{*}code")
        assert element is not None
        assert (element.get("codeSystem"), element.get("codeSystemName")) == (None, "Nasze rodzaje")
