"""Records that need more than one server to come about, and those of every kind against the schema."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msim_xds.audit import message
from msim_xds.audit.message import AuditSource, Network, Participant, write
from msim_xds.audit.records import Asked, Record, Scene, activity, records
from msim_xds.findings import Finding
from msim_xds.ihe.audit import APPLICATION_START, AUDIT_ROWS, Coded
from msim_xds.ihe.names import ResponseStatus, Severity
from msim_xds.wire.exchange import Concerns, Named
from tests.support.atna import Read, details, read

A, B, C, D = (f"{letter}^^^&1.2.3&ISO" for letter in "ABCD")
SUCCESS, FAILURE, PARTIAL = ResponseStatus.SUCCESS, ResponseStatus.FAILURE, ResponseStatus.PARTIAL_SUCCESS
ERROR = Finding("XDSRegistryError", "is wrong")
WARNING = Finding("XDSRegistryError", "is odd", severity=Severity.WARNING)
USER = "JD<John.Doe@https://sts.example.org>"


def scene(user: str = USER) -> Scene:
    return Scene(
        datetime(2026, 1, 15, 10, tzinfo=UTC),
        AuditSource("registry"),
        Participant(user_id="client", is_requestor=False, network=("10.0.0.5", Network.ADDRESS)),
        Participant(
            user_id="https://reg1.example.org/xds/registry",
            is_requestor=False,
            alternative_user_id="4711",
            network=("reg1.example.org", Network.NAME),
        ),
        (Participant(user_id=user, user_name=user, is_requestor=True, roles=(Coded("D", "1.2", "Lekarz"),)),),
        (Coded("TREATMENT", "2.16.840.1.113883.3.18.7.1", "Treatment"),),
        Asked("urn:uuid:q", "urn:oid:1.2.3", b"<q>&amp;</q>"),
    )


FULL = Concerns(
    patients=(A,),
    former=(B,),
    linked=(("newPatientId", A), ("previousPatientId", B), ("localPatientId", C), ("subsumedPatientId", D)),
    submission_set="1.2.3.4",
    done=(Named("1.2.3", A, "1.9", "urn:oid:1.8"),),
    refused=(Named("1.2.4", B, "1.9"), Named("1.2.5", A, "1.9")),
    home="urn:oid:1.2.3",
    message_id="MSG1",
)


def told(name: str, status: ResponseStatus, *findings: Finding, concerns: Concerns = FULL) -> list[Read]:
    found = records(AUDIT_ROWS[name], scene(), concerns, status, findings)
    return [read(write(record.message)) for record in found]


@pytest.mark.parametrize("name", AUDIT_ROWS)
@pytest.mark.parametrize("status", [SUCCESS, FAILURE, PARTIAL])
@pytest.mark.parametrize("concerns", [FULL, Concerns()])
def test_every_record_is_valid(name: str, status: ResponseStatus, concerns: Concerns) -> None:
    found = told(name, status, ERROR, concerns=concerns)
    outcomes = {SUCCESS: {"0"}, FAILURE: {"8"}, PARTIAL: {"0", "8"}}[status]
    assert {each.short[3] for each in found} <= outcomes
    for each in found:
        assert each.short[1] == name.partition(" ")[0]
        assert len(each.patients) <= 1 or name == "ITI-64 A43"


@pytest.mark.parametrize(
    ("findings", "outcome", "description"),
    [
        ((WARNING, ERROR), "8", ERROR.code_context),
        ((WARNING,), "4", WARNING.code_context),
        ((), "8", None),
    ],
)
def test_outcomes_of_failures(findings: tuple[Finding, ...], outcome: str, description: str | None) -> None:
    (record,) = told("ITI-42", FAILURE, *findings)
    assert (record.short[3], record.description) == (outcome, description)


def test_success_with_warnings_is_success() -> None:
    (record,) = told("ITI-42", SUCCESS, WARNING)
    assert (record.short[3], record.description) == ("0", None)


def test_a_partial_query_has_two_records() -> None:
    assert [each.short[3] for each in told("ITI-18", PARTIAL, ERROR)] == ["0", "8"]


def test_refused_documents_of_two_patients_are_in_two_records() -> None:
    found = told("ITI-43", PARTIAL, ERROR)
    assert [(each.short[3], each.patients, each.ids("9")) for each in found] == [
        ("0", [A], ["1.2.3"]),
        ("8", [B], ["1.2.4"]),
        ("8", [A], ["1.2.5"]),
    ]


def test_a_link_change_names_four_ids() -> None:
    (record,) = told("ITI-64 A43", SUCCESS)
    assert record.short == ("110110", "ITI-64", "U", "0")
    kind = "urn:ihe:iti:xpid:2017:patientIdentifierType"
    assert [
        (each.get("ParticipantObjectID"), details(each)[kind], each.get("ParticipantObjectDataLifeCycle"))
        for each in record.objects("2")
    ] == [
        (A, "newPatientId", "1"),
        (B, "previousPatientId", "14"),
        (C, "localPatientId", "1"),
        (D, "subsumedPatientId", "14"),
    ]
    assert {details(each)["MSH-10"] for each in record.objects("2")} == {"MSG1"}


def test_the_home_community_is_told_in_the_row_s_own_spelling() -> None:
    (query,) = told("ITI-18", SUCCESS)
    assert details(query.objects("ITI-18")[0])["urn:ihe:iti:xca:2010:homeCommunityId"] == "urn:oid:1.2.3"
    (retrieval,) = told("ITI-43", SUCCESS)
    assert details(retrieval.objects("9")[0])["ihe:homeCommunityID"] == "urn:oid:1.8"


def test_people_stand_between_source_and_destination() -> None:
    (record,) = told("ITI-43", SUCCESS)
    source, person, destination = record.participants
    assert (source["UserID"], destination["UserID"]) == ("https://reg1.example.org/xds/registry", "client")
    assert (person["UserID"], person["UserName"], person["roles"]) == (USER, USER, "D")
    purposes = record.root.findall("EventIdentification/PurposeOfUse")
    assert [each.get("csd-code") for each in purposes] == ["TREATMENT"]


def test_ampersands_and_brackets_are_escaped_once() -> None:
    (record,) = records(AUDIT_ROWS["ITI-18"], scene(), FULL, SUCCESS, ())
    text = write(record.message)
    assert b'UserName="JD&lt;John.Doe@https://sts.example.org&gt;"' in text
    assert b'ParticipantObjectID="A^^^&amp;1.2.3&amp;ISO"' in text
    assert b'value="VVRGLTg="' in text


@given(st.text(min_size=1).map(str.strip).filter(lambda text: text.isprintable() and bool(text)), st.text())
def test_any_text_reads_back(user: str, problem: str) -> None:
    finding = Finding("XDSRegistryError", problem)
    found = records(AUDIT_ROWS["ITI-18"], scene(user), FULL, FAILURE, [finding])
    (record,) = (read(write(each.message)) for each in found)
    assert record.participants[1]["UserName"] == user


@pytest.mark.parametrize("length", [512, 513])
def test_long_names_are_written_but_not_kept_at_hand(length: int) -> None:
    user = f"{length}".ljust(length, "x")
    (record,) = records(AUDIT_ROWS["ITI-18"], scene(user), Concerns(patients=(A,)), SUCCESS, ())
    assert read(write(record.message)).participants[1]["UserID"] == user
    anew = Participant(user_id=user, is_requestor=True)
    assert anew.is_short == (length == 512)
    message._kept_participant.cache_clear()
    write(record.message)
    assert message._kept_participant.cache_info().currsize == 2 + anew.is_short


def test_a_start() -> None:
    application: Any = Participant(user_id="registry", is_requestor=False, alternative_user_id="4711")
    record: Record = activity(
        APPLICATION_START, datetime(2026, 1, 15, tzinfo=UTC), AuditSource("registry"), application
    )
    message = read(write(record.message))
    assert message.short == ("110100", "110120", "E", "0")
    assert [each["roles"] for each in message.participants] == ["110150"]
    assert record.patient == ""
