"""Records of refusals, emergencies and changed settings, and of what this server asks of others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from lxml import etree
from sqlalchemy import text

from msim_xds.audit.backlog import Backlog
from msim_xds.audit.language import Language
from msim_xds.audit.message import AuditSource
from msim_xds.audit.outbox import Outbox
from msim_xds.audit.report import _SENTENCES, happenings, sentence
from msim_xds.audit.trail import Place, Trail
from msim_xds.audit_settings import AuditSettings
from msim_xds.ihe.audit import AUDIT_ROWS, EMERGENCY_STARTED
from msim_xds.ihe.names import ResponseStatus
from msim_xds.ihe.transactions import ITI_18, ITI_43
from msim_xds.wire.exchange import (
    Addressing,
    Caller,
    Concerns,
    Named,
    ReplyAddress,
    Request,
    System,
    SystemKind,
)
from tests.support import queries
from tests.support.atna import Read, details
from tests.support.atna import trail as recorded
from tests.support.metadata import PATIENT, new_oid, single_document
from tests.support.saml import AUDIENCE, ISSUER, sts
from tests.support.tls import Site
from tests.test_audit.conftest import Audited
from tests.test_federation.peer import FAILURE, Peer, Reply, envelope, registry_response, serving
from tests.test_server import soap

NOW = datetime(2026, 9, 14, 12, tzinfo=UTC)
ANONYMOUS = "http://www.w3.org/2005/08/addressing/anonymous"
DOCTOR = Caller(
    "<jkowalski@https://sts>",
    roles=(("112247003", "2.16.840.1.113883.6.96", "Medical doctor"),),
    purposes=(("BTG", "1.2.3.4", "Break the glass"),),
    organization="Szpital",
    organization_id="1.2.616.7",
)
HOSPITAL = System("szpital-1", SystemKind.HOSPITAL)


@pytest.fixture
def trail(outbox: Outbox) -> Trail:
    place = Place(AuditSource("rejestr"), "https://reg.example.org", 4711)
    return Trail(outbox.database, outbox, place, lambda: NOW, Backlog(outbox.database, AuditSettings()))


@pytest.fixture
def peer() -> Iterator[Peer]:
    with serving() as other:
        yield other


def request(transaction: object = ITI_18, **values: object) -> Request:
    body = etree.fromstring(queries.find_documents())
    concerns = Concerns(patients=(PATIENT,))
    facts = {"concerns": concerns, "remote_address": "192.0.2.7", **values}
    return Request(transaction, body, Addressing("urn:x"), **facts)  # type: ignore[arg-type]


def only(trail: Trail) -> Read:
    (record,) = recorded(trail.database)
    return record


def test_a_refused_user_is_not_named(trail: Trail) -> None:
    trail.user_refused("/xds/registry", "192.0.2.7", "FailedCheck: the digest is another")
    record = only(trail)
    assert record.short == ("110114", "110122", "E", "8")
    assert record.description == "FailedCheck: the digest is another"
    client, server = record.participants
    assert (client["UserID"], client["NetworkAccessPointID"], client["roles"]) == (
        ANONYMOUS,
        "192.0.2.7",
        "110153",
    )
    assert (server["UserID"], server["AlternativeUserID"]) == ("https://reg.example.org/xds/registry", "4711")


@pytest.mark.parametrize(("subject", "node"), [("CN=his,C=PL", "CN=his,C=PL"), ("", "192.0.2.7")])
def test_a_refused_node(trail: Trail, subject: str, node: str) -> None:
    trail.node_refused("192.0.2.7", "certificate has expired", subject)
    record = only(trail)
    assert record.short == ("110113", "110126", "E", "8")
    assert [each["UserID"] for each in record.participants] == ["rejestr", node]
    (thing,) = record.objects("110182")
    assert (thing.get("ParticipantObjectID"), thing.get("ParticipantObjectTypeCodeRole")) == (node, "13")
    assert details(thing) == {"Alert Description": "certificate has expired"}


def test_a_refusal_is_told_also_where_it_cannot_be_recorded(trail: Trail) -> None:
    class Away(Outbox):
        def write(self, *_: object) -> None:
            raise TimeoutError

    lame = Trail(
        trail.database, Away(trail.database, b"k"), Place(AuditSource("x"), "", 1), lambda: NOW, trail.backlog
    )
    lame.node_refused("192.0.2.7", "certificate has expired")
    assert recorded(trail.database) == []


def test_changed_settings(trail: Trail) -> None:
    trail.settings_changed(["patients.policy", "xua.registry"])
    record = only(trail)
    assert record.short == ("110113", "110129", "E", "0")
    (thing,) = record.objects("12")
    assert details(thing) == {"Alert Description": "changed: patients.policy, xua.registry"}


def test_an_emergency_names_user_purpose_and_patient(trail: Trail) -> None:
    trail.witness(request(caller=DOCTOR, system=HOSPITAL)).emergency("nieprzytomny")
    record = only(trail)
    assert record.short == ("110113", "110127", "E", "0")
    assert record.patients == [PATIENT]
    assert details(record.objects("2")[0]) == {"Alert Description": "nieprzytomny"}
    client, person, _ = record.participants
    assert (client["UserID"], client["AlternativeUserID"]) == ("szpital-1", "1.2.616.7")
    assert (person["UserID"], person["UserName"], person["roles"]) == (DOCTOR.user, DOCTOR.user, "112247003")
    assert [each.get("csd-code") for each in record.root[0].findall("PurposeOfUse")] == ["BTG"]
    (told,) = happenings(trail.outbox.of_patient(PATIENT))
    assert sentence(told, Language.POLISH).endswith("zgłoszenie stanu nagłego, aby zobaczyć dokumenty")


def test_an_emergency_without_a_patient(trail: Trail) -> None:
    trail.witness(request(caller=DOCTOR, concerns=Concerns())).emergency("x")
    assert only(trail).patients == []


def test_who_has_answers_sent_elsewhere_is_named_by_that(trail: Trail) -> None:
    asked = request(system=HOSPITAL)
    asked.addressing = Addressing("urn:x", reply_to=ReplyAddress("https://his/answers"))
    trail.witness(asked).conclude(ResponseStatus.SUCCESS, ())
    assert only(trail).participants[0]["UserID"] == "https://his/answers"


def test_a_query_that_goes_on_to_a_gateway(trail: Trail) -> None:
    sent = etree.fromstring(queries.find_documents().replace(b"14d4debf", b"99999999"))
    witness = trail.witness(request(caller=DOCTOR))
    witness.onward("ITI-38", "https://other.example.org/xca", body=sent).conclude(
        ResponseStatus.PARTIAL_SUCCESS, ()
    )
    done, failed = recorded(trail.database)
    assert (done.short, failed.short) == (("110112", "ITI-38", "E", "0"), ("110112", "ITI-38", "E", "8"))
    assert done.patients == [PATIENT]
    us, person, them = done.participants
    assert (us["UserID"], us["AlternativeUserID"], us["roles"]) == (
        "https://reg.example.org",
        "4711",
        "110153",
    )
    assert person["UserName"] == DOCTOR.user
    assert (them["UserID"], them["NetworkAccessPointID"]) == (
        "https://other.example.org/xca",
        "other.example.org",
    )
    assert "AlternativeUserID" not in them
    assert done.ids("ITI-38") == ["urn:uuid:99999999-8f97-4251-9a74-a90016b0af0d"]


def test_documents_that_a_gateway_fetches_are_imported(trail: Trail) -> None:
    fetched = Concerns(done=(Named("1.2.3", PATIENT, "1.9", "urn:oid:1.7"),))
    witness = trail.witness(request(ITI_43))
    witness.onward("ITI-39", "https://other/xca", fetched).conclude(ResponseStatus.SUCCESS, ())
    record = only(trail)
    assert record.short == ("110107", "ITI-39", "C", "0")
    source, destination = record.participants
    assert (source["UserID"], source["roles"]) == ("https://other/xca", "110153")
    assert (destination["UserID"], destination["roles"]) == ("https://reg.example.org", "110152")
    (thing,) = record.objects("9")
    assert details(thing) == {"Repository Unique Id": "1.9", "ihe:homeCommunityID": "urn:oid:1.7"}


def test_the_other_side_of_each_transaction() -> None:
    sides = {name: row.of_client() for name, row in AUDIT_ROWS.items()}
    assert {name: (row.event.code, row.action.value) for name, row in sides.items() if "-4" not in name} == {
        "ITI-18": ("110112", "E"),
        "ITI-18 gateway": ("110112", "E"),
        "ITI-38": ("110112", "E"),
        "ITI-39": ("110107", "C"),
        "ITI-51": ("110112", "E"),
        "ITI-55": ("110112", "E"),
        "ITI-57": ("110106", "U"),
        "ITI-61": ("110106", "R"),
        "ITI-62": ("110110", "D"),
        "ITI-64 A43": ("110110", "U"),
        "ITI-8 A01": ("110110", "C"),
        "ITI-8 A04": ("110110", "C"),
        "ITI-8 A05": ("110110", "C"),
        "ITI-8 A08": ("110110", "U"),
        "ITI-8 A40": ("110110", "U"),
        "ITI-86": ("110110", "D"),
        "ITI-92": ("110106", "U"),
    }


@pytest.mark.parametrize("language", list(Language))
def test_whatever_is_recorded_of_a_patient_can_be_told(language: Language) -> None:
    kinds = {row.type.code for row in AUDIT_ROWS.values()} | {EMERGENCY_STARTED.code}
    told = _SENTENCES[language]
    assert kinds - set(told) == {"ITI-8", "ITI-44"}  # told by action
    assert {"feed C", "feed U", "feed D"} <= set(told)


def test_a_repository_records_both_what_it_was_sent_and_what_it_sent(
    tmp_path: Path, database_url: str, peer: Peer
) -> None:
    audited = Audited(tmp_path / "data", database_url, registry={"url": peer.url, "timeout_s": 5})
    peer.reply = Reply(envelope(registry_response()))
    audited.provide(single_document(unique_id=new_oid()), {"Document01": b"hello"})
    sent, received = audited.new()
    assert (sent.short, received.short) == (("110106", "ITI-42", "R", "0"), ("110107", "ITI-41", "C", "0"))
    assert sent.patients == received.patients == [PATIENT]
    assert sent.participants[1]["UserID"] == peer.url
    peer.reply = Reply(envelope(registry_response(FAILURE)))
    audited.provide(single_document(unique_id=new_oid()), {"Document01": b"hello"})
    sent, received = audited.new()
    assert (sent.short, received.short) == (("110106", "ITI-42", "R", "8"), ("110107", "ITI-41", "C", "8"))
    audited.close()


def test_a_request_without_its_assertion_is_recorded_and_refused(tmp_path: Path, database_url: str) -> None:
    certificate = tmp_path / "sts.pem"
    certificate.write_bytes(sts().pem)
    xua = {"registry": "required", "issuers": {ISSUER: [str(certificate)]}, "audiences": [AUDIENCE]}
    audited = Audited(tmp_path / "data", database_url, xua=xua)
    with pytest.raises(AssertionError):
        audited.ask(queries.find_documents())
    (record,) = audited.new()
    assert record.short == ("110114", "110122", "E", "8")
    assert record.description == "SecurityTokenUnavailable: there is no assertion"
    assert record.participants[0]["NetworkAccessPointID"] == "192.0.2.7"
    with audited.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM audit_record")).scalar_one() == 1
    audited.close()


def test_a_system_that_is_not_registered_is_recorded_and_one_that_is_is_named(
    tmp_path: Path, database_url: str
) -> None:
    site = Site(tmp_path)
    table = tmp_path / "systems.toml"
    fingerprint = site.identities["hospital"].fingerprint
    table.write_text(
        f'[systems.szpital-1]\nkind = "hospital"\ncertificates = [{{ sha256 = "{fingerprint}" }}]\n'
    )
    audited = Audited(
        tmp_path / "data",
        database_url,
        server={"uds": tmp_path / "http.sock"},
        tls={"client_certificate_header": "X-SSL-Client-Cert"},
        access={"systems": table},
    )
    for name, status in (("stolen", 400), ("hospital", 200)):
        shown = {"HTTP_X_SSL_CLIENT_CERT": quote(site.identities[name].certificate_pem.decode())}
        message = soap.envelope(queries.find_documents().decode(), soap.QUERY_ACTION)
        assert soap.post(audited.app, "/xds/registry", message, environ=shown).status == status
    refused, answered = audited.new()
    assert refused.short == ("110113", "110126", "E", "8")
    assert refused.participants[1]["UserID"] == "CN=stolen"
    assert details(refused.objects("110182")[0]) == {"Alert Description": "not registered"}
    assert answered.participants[0]["UserID"] == "szpital-1"
    audited.close()
