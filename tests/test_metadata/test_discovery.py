"""Patient discovery: what a query asks for, what an answer tells, and that both survive their own reading."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from msim_xds.findings import Refused
from msim_xds.metadata import discovery
from msim_xds.metadata.discovery import Candidate, PersonName, Sought
from msim_xds.metadata.identity import Demographics, Identifier, cx
from msim_xds.wire import safexml
from tests.support import xcpd
from tests.support.hl7v3 import HL7
from tests.support.xcpd import PESEL, born, gender, subject_id, subject_name

NOW = datetime(2026, 9, 14, 12, tzinfo=UTC)
HOME = "urn:oid:1.2.616.1"
ID = Identifier("58831404726", "", PESEL, "ISO")


def read(*parameters: str) -> Sought:
    return discovery.read_query(safexml.parse(xcpd.query(*parameters).encode()))


class TestReadQuery:
    def test_everything(self) -> None:
        sought = read(
            gender("F"),
            born("18580314120000"),
            subject_id((PESEL, "58831404726")),
            subject_name("Żak", "Ewa Maria"),
        )
        assert sought == Sought((ID,), (PersonName("Żak", "Ewa Maria"),), "18580314", "F")

    def test_alternatives(self) -> None:
        sought = read(subject_id((PESEL, "1"), ("1.2.3", "2")), subject_name("A", ""), subject_name("B", ""))
        assert [each.value for each in sought.identifiers] == ["1", "2"]
        assert [name.family for name in sought.names] == ["A", "B"]

    @pytest.mark.parametrize(
        "parameters",
        [
            (),
            (gender("F"),),
            (born("18580314"),),
            (subject_name("A", "B"),),
            (subject_name("A", "B"), born("1858")),
            (subject_name("", "B"), born("18580314")),
            (subject_name("A", "B"), born("18581414")),
            (subject_id((PESEL, "")),),
            (subject_id(("", "1")),),
        ],
    )
    def test_nobody_is_meant(self, parameters: tuple[str, ...]) -> None:
        with pytest.raises(Refused) as refused:
            read(*parameters)
        (finding,) = refused.value.findings
        assert finding.attribute == "controlActProcess/queryByParameter/parameterList"
        assert "livingSubjectId, or livingSubjectName" in finding.text()

    def test_an_answer_that_shall_come_later(self) -> None:
        with pytest.raises(Refused) as refused:
            discovery.read_query(safexml.parse(xcpd.query(subject_id((PESEL, "1")), priority="D").encode()))
        assert "seen 'D'" in refused.value.findings[0].text()

    def test_ids_and_names_are_bounded(self) -> None:
        many = subject_id(*((PESEL, str(number)) for number in range(500)))
        assert len(read(many).identifiers) <= 50


_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=30)


@given(
    value=_TEXTS,
    family=st.none() | _TEXTS,
    given_name=st.none() | _TEXTS,
    date=st.none() | st.dates().map(lambda day: f"{day:%Y%m%d}".zfill(8)),
    sex=st.sampled_from([None, "F", "M", "O"]),
)
def test_our_own_query_asks_for_what_we_know(
    value: str, family: str | None, given_name: str | None, date: str | None, sex: str | None
) -> None:
    identifier = Identifier(value, "", PESEL, "ISO")
    person = Demographics(family, given_name, date, sex)
    message = discovery.query(cx(identifier), person, HOME, "urn:oid:1.2.616.2", NOW)
    sought = discovery.read_query(safexml.parse(etree.tostring(message)))
    assert sought.identifiers == (identifier,)
    assert sought.names == ((PersonName(family, given_name or ""),) if family else ())
    assert (sought.birth_date, sought.sex) == (date, sex)


def test_our_own_query_says_who_asks() -> None:
    message = discovery.query(cx(ID), Demographics(), HOME, "urn:oid:1.2.616.2", NOW)
    roots = message.xpath("//h:representedOrganization/h:id/@root", namespaces={"h": HL7})
    assert roots == ["1.2.616.2", "1.2.616.1"]
    authority = message.xpath("//h:authorOrPerformer/h:assignedDevice/h:id/@root", namespaces={"h": HL7})
    assert authority == [PESEL]


def test_what_xml_cannot_carry_is_left_out() -> None:
    message = discovery.query(cx(ID), Demographics("Ż\x01ak"), HOME, HOME, NOW)
    assert discovery.read_query(message).names == (PersonName("Żak", ""),)


def answer(*subjects: bytes, accepted: str = "AA", outcome: str = "OK", more: str = "") -> etree._Element:
    return safexml.parse(
        f'<{xcpd.ANSWER} xmlns="{HL7}"><acknowledgement><typeCode code="{accepted}"/>{more}</acknowledgement>'
        f"<controlActProcess>{b''.join(subjects).decode()}<queryAck>"
        f'<queryResponseCode code="{outcome}"/></queryAck></controlActProcess></{xcpd.ANSWER}>'.encode()
    )


class TestReadAnswer:
    def test_what_we_tell_is_read(self) -> None:
        subjects = [
            discovery.registration(
                cx(ID._replace(value=value)), Demographics("Żak", None, None, "F"), HOME, 90
            )
            for value in ("1", "2^&")
        ]
        assert discovery.read_answer(answer(*subjects)) == (
            Candidate(HOME, ID._replace(value="1")),
            Candidate(HOME, ID._replace(value="2^&")),
        )

    def test_nobody(self) -> None:
        assert discovery.read_answer(answer(outcome="NF")) == ()

    @pytest.mark.parametrize(
        ("accepted", "outcome", "more", "told"),
        [
            ("AE", "AE", "<acknowledgementDetail><text>no</text></acknowledgementDetail>", "AE AE no"),
            ("AE", "NF", "", "AE NF"),
            ("AA", "QE", "", "AA QE"),
            ("", "", "", "- -"),
        ],
    )
    def test_no_answer(self, accepted: str, outcome: str, more: str, told: str) -> None:
        with pytest.raises(ValueError, match=f"it finds no patients: {told}$"):
            discovery.read_answer(answer(accepted=accepted, outcome=outcome, more=more))

    @pytest.mark.parametrize("missing", [b' extension="58831404726"', b' root="1.2.616.1"'])
    def test_a_patient_without_id_or_community(self, missing: bytes) -> None:
        subject = discovery.registration(cx(ID), Demographics(), HOME, 90)
        assert missing in subject
        with pytest.raises(ValueError, match="has no id, or no community"):
            discovery.read_answer(answer(subject.replace(missing, b"")))
