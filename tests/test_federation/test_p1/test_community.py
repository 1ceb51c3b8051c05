"""P1 as a gateway's community: its index is asked by ITI-18, its providers by ITI-43, for the caller."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import requests

from msim_xds.app import now, open_node
from msim_xds.federation.answers import RemoteUnavailable
from msim_xds.federation.community import Community, Errand, Wanted
from msim_xds.federation.p1 import setup
from msim_xds.federation.p1.community import P1Community
from msim_xds.federation.p1.providers import UnusableP1
from msim_xds.gateway.setup import open_neighbours
from msim_xds.gateway_settings import GatewaySettings
from msim_xds.ihe.names import RIM, ResponseStatus
from msim_xds.ihe.transactions import ITI_18
from msim_xds.settings import RegistrySettings, Settings
from msim_xds.testing.p1 import Double
from msim_xds.testing.p1.server import REPOSITORY, SOURCE
from msim_xds.wire import safexml
from msim_xds.wire.exchange import Addressing, Caller, Concerns, Request
from tests.support.atna import trail
from tests.support.saml import attribute, draft, sign, statement
from tests.test_federation.test_p1.world import World, new_patient, put_at_provider

HOME = "urn:oid:2.16.840.1.113883.3.4424.15"
WORKER = "2999999^^^&2.16.840.1.113883.3.4424.1.6.2&ISO"
FIND = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"
FIND_SETS = "urn:uuid:f26abbcb-ac74-4422-8a30-edb644bbc1a9"
QUERY = "urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0"


def settings(double: Double, directory: Path, **changes: Any) -> Settings:
    section = {"home_community_id": HOME, "deadline_s": 10.0, **changes}
    return Settings(data=directory, p1=double.section(**section))


def community(double: Double, directory: Path, **changes: Any) -> P1Community:
    (made,) = setup.communities(settings(double, directory, **changes), now)
    return made


def assertion(worker: str = WORKER) -> bytes:
    name = "urn:oasis:names:tc:SAML:attribute:subject-id"
    return sign(draft(attributes=statement(attribute(name, worker.replace("&", "&amp;"))))).encode()


def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether it holds within the time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def errand(patient: str = "", proof: bytes | None = None, seconds: float = 30.0) -> Errand:
    caller = Caller("<lz@sts>", purposes=(("TREATMENT", "", ""),), patient=patient)
    body = safexml.parse(b"<x/>")
    request = Request(ITI_18, body, Addressing(ITI_18.action), caller=caller)
    return Errand(request, assertion() if proof is None else proof, time.monotonic() + seconds)


def find(patient: str) -> Any:
    slots = {"$XDSDocumentEntryPatientId": f"'{patient}'"}
    slots["$XDSDocumentEntryStatus"] = "('urn:oasis:names:tc:ebxml-regrep:StatusType:Approved')"
    inner = "".join(
        f'<rim:Slot name="{name}"><rim:ValueList><rim:Value>{value.replace("&", "&amp;")}</rim:Value>'
        "</rim:ValueList></rim:Slot>"
        for name, value in slots.items()
    )
    return safexml.parse(
        f'<q:AdhocQueryRequest xmlns:q="{QUERY}" xmlns:rim="{RIM}">'
        '<q:ResponseOption returnType="LeafClass" returnComposedObjects="true"/>'
        f'<rim:AdhocQuery id="{FIND}" home="{HOME}">{inner}</rim:AdhocQuery></q:AdhocQueryRequest>'.encode()
    )


def test_it_is_a_community(double: Double, tmp_path: Path) -> None:
    made: Community = community(double, tmp_path)
    assert (made.name, made.homes) == ("P1", frozenset({HOME}))


def test_without_a_home_there_is_none(double: Double, tmp_path: Path) -> None:
    assert setup.communities(settings(double, tmp_path, home_community_id=""), now) == ()


def test_a_gateway_asks_it_by_its_home(double: Double, tmp_path: Path) -> None:
    made = community(double, tmp_path)
    configured = settings(double, tmp_path)
    with closing(open_node(configured)) as node:
        neighbours = open_neighbours(configured, node.our_patients(), [made])
        assert neighbours.by_home[HOME].community is made
        with pytest.raises(ValueError, match="P1: this community or a partner has its homeCommunityId"):
            open_neighbours(configured, node.our_patients(), [made, made])
        neighbours.close()
        ours = configured.model_copy(update={"gateway": GatewaySettings(further_homes=(HOME,))})
        with pytest.raises(ValueError, match="P1: this community or a partner has its homeCommunityId"):
            open_neighbours(ours, node.our_patients(), [made])


@pytest.mark.parametrize(
    ("sections", "whose"),
    [
        ({"registry": RegistrySettings(home_community_id=HOME)}, r"registry\.home_community_id"),
        ({"gateway": GatewaySettings(further_homes=(HOME,))}, r"one of gateway\.further_homes"),
    ],
)
def test_p1_needs_a_home_of_its_own(
    double: Double, tmp_path: Path, sections: dict[str, Any], whose: str
) -> None:
    own = settings(double, tmp_path).model_copy(update=sections)
    with pytest.raises(UnusableP1, match=f"is {whose}; P1 needs one of its own"):
        setup.communities(own, now)


def test_an_answer_of_the_index_has_bounds(double: Double, tmp_path: Path, sqlite_url: str) -> None:
    with World(double, tmp_path / "world", sqlite_url) as world:
        world.register(slots={f"urn:msim:{number}": "x" * 250 for number in range(300)})
        world.publish()
        with pytest.raises(RemoteUnavailable, match="over 65536 bytes"):
            community(double, tmp_path, answer_bytes=65536).query(find(world.patient), errand())
        world.register()
        world.publish()
        with pytest.raises(RemoteUnavailable, match="over 1 objects"):
            community(double, tmp_path, answer_objects=1).query(find(world.patient), errand())


@pytest.mark.parametrize("limit", [{"document_bytes": 99_999}, {"retrieve_bytes": 99_999}])
def test_documents_of_a_provider_have_bounds(double: Double, tmp_path: Path, limit: dict[str, int]) -> None:
    patient = new_patient()
    wanted = Wanted(HOME, REPOSITORY, put_at_provider(double, patient, bytes(100_000)))
    found = community(double, tmp_path, **limit).retrieve([wanted], errand(patient))
    assert (found.status, found.documents) == (ResponseStatus.FAILURE, [])
    assert "99999 bytes" in found.findings[0].problem
    found.close()


def test_a_query_finds_what_is_at_p1_with_its_home(double: Double, tmp_path: Path, sqlite_url: str) -> None:
    with World(double, tmp_path / "world", sqlite_url) as world:
        uuid = world.register()
        world.publish()
        query = find(world.patient)
        found = community(double, tmp_path).query(query, errand())
    assert found.status is ResponseStatus.SUCCESS
    assert [(each.id, each.home) for each in found.objects] == [(uuid, HOME)]
    assert f'home="{HOME}"'.encode() in found.objects[0].octets
    assert next(query.iter(f"{{{RIM}}}AdhocQuery")).get("home") == HOME  # untouched


def test_a_query_that_p1_is_not_said_to_answer_is_not_sent(double: Double, tmp_path: Path) -> None:
    query = find(new_patient())
    next(query.iter(f"{{{RIM}}}AdhocQuery")).set("id", FIND_SETS)
    found = community(double, tmp_path).query(query, errand())
    assert (found.status, found.findings, found.objects) == (ResponseStatus.SUCCESS, (), ())
    assert double.calls == []
    with pytest.raises(UnusableP1, match=r"p1\.queries: FindAll is no stored query"):
        community(double, tmp_path, queries=["FindDocuments", "FindAll"])
    community(double, tmp_path, queries=["FindSubmissionSets"]).query(query, errand())
    assert double.calls.count(Settings().p1.iti18) == 1


def test_documents_come_from_the_provider_whose_address_p1_knows(double: Double, tmp_path: Path) -> None:
    patient = new_patient()
    unique_id = put_at_provider(double, patient)
    wanted = [Wanted(HOME, REPOSITORY, unique_id), Wanted(HOME, "1.2.3", "4.5.6")]
    found = community(double, tmp_path).retrieve(wanted, errand(patient))
    assert found.status is ResponseStatus.PARTIAL_SUCCESS
    (document,) = found.documents
    assert (document.wanted, document.size, b"".join(document.chunks)) == (wanted[0], 5, b"hello")
    (finding,) = found.findings
    assert (finding.code, finding.location) == ("XDSRepositoryError", "4.5.6")
    assert "unknown repository 1.2.3" in finding.problem
    found.close()
    assert list((tmp_path / "p1-spool").iterdir()) == []


@pytest.mark.parametrize("hanging_first", [True, False])
def test_a_repository_that_hangs_hides_nothing_of_the_others(
    double: Double, tmp_path: Path, *, hanging_first: bool
) -> None:
    patient = new_patient()
    good = Wanted(HOME, REPOSITORY, put_at_provider(double, patient))
    hung = Wanted(HOME, "1.2.3", "4.5.6")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and says nothing
        addresses = {"1.2.3": f"http://127.0.0.1:{silent.getsockname()[1]}/"}
        made = community(double, tmp_path, repositories=addresses)
        wanted = [hung, good] if hanging_first else [good, hung]
        asking = errand(patient, seconds=2)
        found = made.retrieve(wanted, asking)
        assert time.monotonic() < asking.deadline
    assert found.status is ResponseStatus.PARTIAL_SUCCESS
    assert [(each.wanted, b"".join(each.chunks)) for each in found.documents] == [(good, b"hello")]
    (finding,) = found.findings
    assert (finding.code, finding.location) == ("XDSRepositoryError", "4.5.6")
    assert "repository 1.2.3" in finding.code_context
    assert "does not answer in time" in finding.code_context
    found.close()
    assert eventually(lambda: list((tmp_path / "p1-spool").iterdir()) == [])


def test_an_address_book_that_hangs_hides_nothing_of_the_others(double: Double, tmp_path: Path) -> None:
    patient = new_patient()
    good = Wanted(HOME, REPOSITORY, put_at_provider(double, patient))
    made = community(double, tmp_path, repositories={REPOSITORY: double.addresses[REPOSITORY]})
    over = Event()

    def hang(path: str) -> None:
        if path.endswith("DostepowychWS"):
            over.wait(10)

    double.before_answer = hang
    asking = errand(patient, seconds=2)
    found = made.retrieve([Wanted(HOME, "1.2.3", "4.5.6"), good], asking)
    assert time.monotonic() < asking.deadline
    over.set()
    assert [each.wanted for each in found.documents] == [good]
    assert [each.location for each in found.findings] == ["4.5.6"]
    found.close()


def test_what_p1_is_asked_is_recorded(double: Double, tmp_path: Path, database_url: str) -> None:
    patient = new_patient()
    unique_id = put_at_provider(double, patient)
    asking = errand(patient)
    asking.request.concerns = Concerns((patient,))
    audited = Settings(data=tmp_path / "node", database={"url": database_url}, audit={"enabled": True})
    with closing(open_node(audited)) as node:
        assert node.trail is not None
        asking.request.recorder = node.trail.witness(asking.request)
        made = community(double, tmp_path)
        made.query(find(patient), asking)
        missing = Wanted(HOME, REPOSITORY, "4.5.6")
        made.retrieve([Wanted(HOME, REPOSITORY, unique_id), missing], asking).close()
        made.retrieve([Wanted(HOME, "1.2.3", "4.5.6")], asking).close()  # nobody could be asked
        double.before_answer = lambda path: time.sleep(3) if path == audited.p1.iti18 else None
        with pytest.raises(RemoteUnavailable):
            made.query(find(patient), replace(asking, deadline=time.monotonic() + 1))
        records = trail(node.database)
    assert [each.short for each in records] == [
        ("110112", "ITI-18", "E", "0"),
        ("110107", "ITI-43", "C", "0"),
        ("110107", "ITI-43", "C", "8"),
        ("110112", "ITI-18", "E", "8"),
    ]
    asked, got, not_got, silent = records
    assert asked.patients == silent.patients == [patient]
    assert asked.ids("ITI-18") == [FIND]
    assert (got.ids("9"), not_got.ids("9")) == ([unique_id], ["4.5.6"])
    assert asked.participants[-1]["UserID"].startswith(double.url)


def test_a_repository_without_address_is_unknown(double: Double, tmp_path: Path) -> None:
    found = community(double, tmp_path, lookup_template=None).retrieve(
        [Wanted(HOME, "1.2.3", "4.5.6")], errand()
    )
    assert found.status is ResponseStatus.FAILURE
    assert [each.code for each in found.findings] == ["XDSUnknownRepositoryId"]
    found.close()


@pytest.mark.parametrize("proof", [b"", assertion("lucja"), sign().encode()])
def test_nobody_asks_in_anothers_name(double: Double, tmp_path: Path, proof: bytes) -> None:
    with pytest.raises(RemoteUnavailable, match="only for a worker whom an assertion names"):
        community(double, tmp_path).query(find(new_patient()), errand(proof=proof))
    assert double.calls == []


def test_when_the_time_has_passed_p1_is_not_asked(double: Double, tmp_path: Path) -> None:
    with pytest.raises(RemoteUnavailable, match="no time left"):
        community(double, tmp_path).query(find(new_patient()), errand(seconds=-1))
    assert double.calls == []


def test_p1_that_takes_too_long_is_given_up_in_time(double: Double, tmp_path: Path) -> None:
    slow = community(double, tmp_path)
    double.before_answer = lambda path: time.sleep(1.5) if path.endswith("TokenuSamlWS") else None
    with pytest.raises(RemoteUnavailable, match="does not answer in time"):
        slow.query(find(new_patient()), errand(seconds=0.5))


def test_the_double_answers_nothing_at_other_paths(double: Double) -> None:
    assert "no service is here" in requests.post(f"{double.url}/elsewhere", b"", timeout=10).text
    assert SOURCE in str(double.section())
