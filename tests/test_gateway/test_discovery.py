"""Patient discovery at the Responding Gateway, and by our own client (ITI TF-2 3.55)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from cheroot import wsgi
from lxml import etree

from msim_xds.app import open_identity
from msim_xds.federation.answers import NotAsked, RemoteFault, RemoteUnavailable, Unusable
from msim_xds.federation.community import Correlation, Errand
from msim_xds.federation.discovery import Discovery
from msim_xds.federation.partners import LoadedPartner, PartnerTable, PatientTable
from msim_xds.ihe.transactions import ITI_18, Endpoint
from msim_xds.metadata.identity import Announcement, Demographics, Given, identifier
from msim_xds.registry.correlations import Correlations
from msim_xds.registry.discovery import PatientDirectory
from msim_xds.server.front import WsgiApplication
from msim_xds.settings import PatientSettings
from msim_xds.wire.exchange import Addressing, Request
from tests.support import queries, xcpd
from tests.support.hl7v3 import HL7
from tests.support.metadata import OTHER_PATIENT, PATIENT
from tests.test_federation.peer import Peer, Reply, envelope, serving
from tests.test_gateway.conftest import HOME, CommunityNode, open_community
from tests.test_server.soap import Response, post
from tests.test_server.soap import envelope as soap_envelope

PERSON = {"family_name": "Żółcińska", "given_name": "Łucja", "birth_date": "18580314", "sex": "F"}
BY_NAME = xcpd.subject_name("Zolcinska", "Łucja") + xcpd.born("18580314")
NORTH = "urn:oid:1.2.616.2"


def announce(community: CommunityNode, *ids: str, **person: str) -> None:
    with open_identity(community.node.settings) as identity:
        for cx in ids:
            identity.announce(Announcement(Given("PID-3", (identifier(cx),)), Demographics(**person)))


def discover(community: CommunityNode, *parameters: str) -> Response:
    message = soap_envelope(xcpd.query(*parameters), xcpd.ACTION)
    return post(community.app, str(Endpoint.RESPONDING_GATEWAY), message)


def values(root: etree._Element, path: str) -> list[str]:
    found = root.xpath(path, namespaces={"h": HL7, "x": "urn:ihe:iti:xcpd:2009"})
    assert isinstance(found, list)
    return [str(each) for each in found]


OUTCOME = "//h:acknowledgement/h:typeCode/@code | //h:queryResponseCode/@code"


class TestGateway:
    def test_one_patient(self, community: CommunityNode) -> None:
        announce(community, PATIENT, **PERSON)
        answer = discover(community, xcpd.subject_id((xcpd.PESEL, "58831404726")))
        root = answer.xml()
        assert values(root, OUTCOME) == ["AA", "OK"]
        assert values(root, "//h:subject1/h:patient/h:id/@extension") == ["58831404726"]
        assert values(root, "//h:custodian//h:id/@root") == [HOME.removeprefix("urn:oid:")]
        assert values(root, "//h:queryMatchObservation/h:value/@value") == ["100"]
        assert values(root, "//h:patientPerson//h:family/text()") == ["Żółcińska"]
        assert values(root, "//x:CorrelationTimeToLive/text()") == []

    def test_several_and_nobody(self, community: CommunityNode) -> None:
        assert values(discover(community, BY_NAME).xml(), OUTCOME) == ["AA", "NF"]
        announce(community, PATIENT, OTHER_PATIENT, **PERSON)
        root = discover(community, BY_NAME).xml()
        assert values(root, OUTCOME) == ["AA", "OK"]
        assert len(values(root, "//h:subject1/h:patient/h:id/@extension")) == 2

    def test_too_many(self, community: CommunityNode) -> None:
        announce(community, *(f"{number}^^^&{xcpd.PESEL}&ISO" for number in range(12)), **PERSON)
        root = discover(community, BY_NAME).xml()
        assert values(root, OUTCOME) == ["AA", "OK"]
        assert values(root, "//h:actOrderRequired/h:code/@code") == [
            "LivingSubjectAdministrativeGenderRequested"
        ]
        root = discover(community, BY_NAME, xcpd.gender("F")).xml()
        assert values(root, OUTCOME) == ["AE", "AE"]
        assert values(root, "//h:detectedIssueManagement/h:code/@code") == ["AnswerNotAvailable"]

    def test_nobody_is_meant(self, community: CommunityNode) -> None:
        root = discover(community, xcpd.gender("F")).xml()
        assert values(root, OUTCOME) == ["AE", "AE"]
        assert "does not say whom" in values(root, "//h:acknowledgementDetail/h:text/text()")[0]


@contextmanager
def served(app: WsgiApplication) -> Iterator[str]:
    """An application on loopback; its URL."""
    server = wsgi.Server(("127.0.0.1", 0), app, numthreads=2)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.bind_addr[1]}"
    finally:
        server.stop()
        thread.join()


def errand(seconds: float = 20, assertion: bytes = b"") -> Errand:
    request = Request(ITI_18, etree.Element("x"), Addressing(""))
    return Errand(request, assertion, time.monotonic() + seconds)


class World:
    """Our side: a directory, what is remembered, and a clock that a test turns."""

    def __init__(self, community: CommunityNode) -> None:
        self.database = community.node.database
        self.now = datetime(2026, 9, 14, 12, tzinfo=UTC)
        self.opened: list[Discovery] = []

    def discovery(
        self,
        url: str,
        home: str = NORTH,
        remember_days: int = 30,
        assertion: Literal["never", "pass", "require"] = "pass",
    ) -> Discovery:
        endpoint = url + Endpoint.RESPONDING_GATEWAY
        table = PartnerTable(
            name="north",
            homes=(home,),
            query_url=endpoint,
            plain_http=True,
            silence_s=5,
            assertion=assertion,
            patients=PatientTable(discovery_url=endpoint, remember_days=remember_days),
        )
        made = Discovery(
            LoadedPartner(table, None, {}),
            HOME,
            PatientDirectory(self.database, PatientSettings()),
            Correlations(self.database),
            lambda: self.now,
        )
        self.opened.append(made)
        return made

    def close(self) -> None:
        for each in self.opened:
            each.close()


@pytest.fixture
def world(community: CommunityNode) -> Iterator[World]:
    made = World(community)
    yield made
    made.close()


class TestClient:
    @pytest.fixture
    def north(self, tmp_path: Path) -> Iterator[CommunityNode]:
        opened = open_community(tmp_path / "north", "", NORTH, gateway={"correlation_days": 2})
        yield opened
        opened.close()

    def test_a_patient_is_found_and_remembered(
        self, community: CommunityNode, world: World, north: CommunityNode
    ) -> None:
        announce(community, PATIENT, **PERSON)
        there = Correlation(NORTH, "N1^^^&1.2.616.2.17&ISO")
        announce(north, there.patient, **PERSON)
        announce(north, PATIENT, **PERSON | {"family_name": "Inna"})
        with served(north.app) as url:
            discovery = world.discovery(url)
            assert discovery.find(PATIENT, errand()) == [Correlation(NORTH, PATIENT)]
            assert discovery.find(OTHER_PATIENT, errand()) == []
        world.now += timedelta(days=1)
        assert discovery.find(PATIENT, errand()) == [Correlation(NORTH, PATIENT)]
        assert discovery.find(OTHER_PATIENT, errand()) == []
        world.now += timedelta(days=1)
        with pytest.raises(RemoteUnavailable):
            discovery.find(PATIENT, errand())

    def test_the_partner_lets_us_remember_less(self, world: World, north: CommunityNode) -> None:
        announce(north, PATIENT)
        with served(north.app) as url:
            discovery = world.discovery(url, remember_days=1)
            assert discovery.find(PATIENT, errand())
        world.now += timedelta(days=1)
        with pytest.raises(RemoteUnavailable):
            discovery.find(PATIENT, errand())

    def test_another_community_is_not_taken_from_it(self, world: World, north: CommunityNode) -> None:
        announce(north, PATIENT)
        with served(north.app) as url:
            assert world.discovery(url, "urn:oid:1.2.616.3").find(PATIENT, errand()) == []

    def test_a_fault(self, world: World, community: CommunityNode) -> None:
        def refusing(environ: dict[str, Any], start_response: Any) -> Any:
            return community.app(environ | {"PATH_INFO": str(Endpoint.REGISTRY)}, start_response)

        with served(refusing) as url, pytest.raises(RemoteFault, match="ActionNotSupported"):
            world.discovery(url).find(PATIENT, errand())


def test_a_query_reaches_a_patient_of_another_id(tmp_path: Path, database_url: str) -> None:
    """Neither a shared authority nor a table: who the patient is there is discovered by name and birth."""
    here, there = "L1^^^&1.2.616.1.17&ISO", "N1^^^&1.2.616.2.17&ISO"
    authorities = {"authorities": ["1.2.616.2.17"]}
    north = open_community(tmp_path / "north", "", NORTH, patients=authorities)
    announce(north, there, **PERSON)
    unique_id = north.publish(b"<a/>", patient_id=there)
    with served(north.app) as url:
        endpoint = url + Endpoint.RESPONDING_GATEWAY
        (tmp_path / "partners.toml").write_text(
            f'[[community]]\nname = "north"\nhomes = ["{NORTH}"]\nquery_url = "{endpoint}"\n'
            f'plain_http = true\npatients.discovery_url = "{endpoint}"\n'
        )
        partners = {"partners": tmp_path / "partners.toml"}
        ours = open_community(tmp_path / "ours", database_url, gateway=partners)
        announce(ours, here, **PERSON)
        message = queries.find_documents(patient=here).decode()
        answer = post(
            ours.app,
            str(Endpoint.INITIATING_GATEWAY),
            soap_envelope(message, "urn:ihe:iti:2007:RegistryStoredQuery"),
        )
        ours.close()
    north.close()
    assert unique_id.encode() in answer.body
    assert b"ResponseStatusType:Success" in answer.body


def subject(extension: str) -> str:
    return (
        '<subject typeCode="SUBJ"><registrationEvent><subject1><patient><id root="1.2.616.2.17" '
        f'extension="{extension}"/></patient></subject1><custodian><assignedEntity><id root="1.2.616.2"/>'
        "</assignedEntity></custodian></registrationEvent></subject>"
    )


def answering(*subjects: str, ack: str = "AA", time_to_live: str | None = None) -> Reply:
    payload = (
        f'<{xcpd.ANSWER} xmlns="{HL7}"><acknowledgement><typeCode code="{ack}"/></acknowledgement>'
        f'<controlActProcess>{"".join(subjects)}<queryAck><queryResponseCode code="OK"/></queryAck>'
        f"</controlActProcess></{xcpd.ANSWER}>"
    )
    body = envelope(payload)
    if time_to_live is not None:
        name = "CorrelationTimeToLive"
        header = f'<t:{name} xmlns:t="urn:ihe:iti:xcpd:2009">{time_to_live}</t:{name}>'
        body = body.replace(b"<s:Header/>", f"<s:Header>{header}</s:Header>".encode())
    return Reply(body)


class TestOddAnswers:
    @pytest.fixture
    def peer(self) -> Iterator[Peer]:
        with serving() as peer:
            yield peer

    def test_several_patients_are_none(self, world: World, peer: Peer) -> None:
        peer.reply = answering(subject("1"), subject("2"))
        with pytest.raises(Unusable, match="offers several patients for this one"):
            world.discovery(peer.url).find(PATIENT, errand())

    def test_more_is_wanted(self, world: World, peer: Peer) -> None:
        peer.reply = answering(
            '<reasonOf typeCode="RSON"><detectedIssueEvent><triggerFor><actOrderRequired>'
            '<code code="PatientAddressRequested"/></actOrderRequired></triggerFor></detectedIssueEvent>'
            "</reasonOf>",
            time_to_live="P1D",
        )
        discovery = world.discovery(peer.url)
        for _ in range(2):
            with pytest.raises(Unusable, match="wants to know more of the patient: PatientAddressRequested"):
                discovery.find(PATIENT, errand())
        assert len(peer.received) == 2  # nothing of it is remembered

    def test_the_assertion_that_it_wants(self, world: World, peer: Peer) -> None:
        peer.reply = answering(subject("1"))
        discovery = world.discovery(peer.url, assertion="require")
        with pytest.raises(NotAsked, match="caller's assertion"):
            discovery.find(PATIENT, errand())
        assert peer.received == []
        discovery.find(
            PATIENT, errand(assertion=b"<a:Assertion xmlns:a='urn:oasis:names:tc:SAML:2.0:assertion'/>")
        )
        assert b"<a:Assertion" in peer.received[0].body

    def test_one_patient_who_is_not_clear_keeps_nobody_else_from_being_asked_for(
        self, tmp_path: Path, peer: Peer
    ) -> None:
        peer.reply = answering(subject("1"), subject("2"))
        (tmp_path / "partners.toml").write_text(
            f'[[community]]\nname = "north"\nhomes = ["{NORTH}"]\nquery_url = "{peer.url}"\n'
            f'plain_http = true\npatients.discovery_url = "{peer.url}"\n'
        )
        settings = {"partners": tmp_path / "partners.toml", "breaker_failures": 1}
        ours = open_community(tmp_path / "ours", "", gateway=settings)
        for _ in range(3):
            answer = ours.ask(Endpoint.INITIATING_GATEWAY, "RegistryStoredQuery", queries.find_documents())
            assert b"offers several patients for this one" in answer.body
        ours.close()
        assert len(peer.received) == 3

    def test_the_same_patient_twice_is_one(self, world: World, peer: Peer) -> None:
        peer.reply = answering(subject("1"), subject("1"))
        found = world.discovery(peer.url).find(PATIENT, errand())
        assert found == [Correlation(NORTH, "1^^^&1.2.616.2.17&ISO")]

    def test_an_error(self, world: World, peer: Peer) -> None:
        peer.reply = answering(ack="AE")
        with pytest.raises(Unusable, match="finds no patients: AE OK"):
            world.discovery(peer.url).find(PATIENT, errand())

    @pytest.mark.parametrize(
        ("time_to_live", "seconds"),
        [
            (None, 0),
            ("", 0),
            ("tomorrow", 0),
            ("-P1D", 0),
            ("PT1M", 60),
            ("P0Y0M7D", 7 * 86400),
            ("P1Y", 30 * 86400),
            ("P99999999999Y", 0),
            ("P9000Y", 0),
        ],
    )
    def test_how_long_it_is_remembered(
        self, world: World, peer: Peer, time_to_live: str | None, seconds: int
    ) -> None:
        peer.reply = answering(subject("1"), time_to_live=time_to_live)
        discovery = world.discovery(peer.url)
        start = world.now
        for moment, asked in (
            (0, 1),
            (max(seconds - 1, 0), 1 if seconds else 2),
            (seconds, 3 - bool(seconds)),
        ):
            world.now = start + timedelta(seconds=moment)
            discovery.find(PATIENT, errand())
            assert len(peer.received) == asked

    def test_its_silence_ends_with_the_errand(self, world: World, peer: Peer) -> None:
        peer.reply.before = lambda: time.sleep(1.5)
        started = time.monotonic()
        with pytest.raises(RemoteUnavailable, match="in time"):
            world.discovery(peer.url).find(PATIENT, errand(0.3))
        assert time.monotonic() - started < 1.2
