"""Audit records of retrievals under P1's rules: P1 is told both ends, in its own form, and nothing else."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from msim_xds.app import Node, now, open_node
from msim_xds.audit.outbox import Outbox
from msim_xds.audit.setup import Caretaker
from msim_xds.cli.main import app
from msim_xds.federation.answers import RemoteFault
from msim_xds.federation.client import DocumentConsumer, DocumentRequest, Options
from msim_xds.federation.community import Wanted
from msim_xds.federation.p1 import setup
from msim_xds.federation.p1.decisions import Decision
from msim_xds.federation.p1.providers import UnusableP1, read_providers
from msim_xds.federation.p1.tokens import Tokens
from msim_xds.p1_settings import P1Settings
from msim_xds.settings import Settings
from msim_xds.testing.p1 import Double, start
from msim_xds.testing.p1.server import REPOSITORY, SOURCE
from msim_xds.testing.p1.sink import HandedOver
from msim_xds.wire.exchange import Concerns
from tests.support.atna import Read, read
from tests.support.metadata import PATIENT, new_oid, single_document
from tests.support.metadata import REPOSITORY as OUR_REPOSITORY
from tests.support.server import ServerProcess, provide_message
from tests.test_federation.test_p1.conftest import WANTED, section
from tests.test_federation.test_p1.test_community import HOME, WORKER, errand
from tests.test_federation.test_p1.test_consent import Hospital, hospital
from tests.test_federation.test_p1.world import new_patient, put_at_provider

OURS = "000000999901^^^&2.16.840.1.113883.3.4424.2.3.1&ISO"
AUDITED: dict[str, Any] = {"audit": {"enabled": True, "source_id": "rejestr"}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    with start(tmp_path_factory.mktemp("p1"), tls=True) as running:
        yield running


@pytest.fixture
def double(shared: Double) -> Double:
    shared.handed_over.clear()
    shared.consents.clear()
    return shared


@contextmanager
def caring(node: Node, settings: Settings) -> Iterator[None]:
    """What looks after the trail in a server."""
    assert node.trail is not None
    outbox = node.trail.outbox
    caretaker = Caretaker(
        settings.audit, "http://reg1", node.database, outbox, now, setup.audit_feeds(settings)
    )
    stop = threading.Event()
    thread = threading.Thread(target=caretaker.work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def told(double: Double, count: int) -> list[Read]:
    """What P1 has been told, as it reads it; by the provider, and each once."""
    until(lambda: len(double.handed_over) >= count)
    assert len(double.handed_over) == count
    assert {each.sender for each in double.handed_over} == {SOURCE}
    return [read(each.record) for each in double.handed_over]


def source_id(record: Read) -> str | None:
    found = record.root.find("AuditSourceIdentification")
    return None if found is None else found.get("AuditSourceID")


def fetched(place: Hospital, folder: Path, double: Double) -> None:
    """A document that P1 permits, one that it denies, and a retrieval with which P1 has nothing to do."""
    double.consents[place.documents[1]] = Decision.DENY
    place.retrieve(folder, *place.documents, assertion=place.token())
    place.retrieve(folder)


def test_a_repository_tells_what_it_hands_out(double: Double, tmp_path: Path) -> None:
    with hospital(double, tmp_path, AUDITED, audit=True) as place:
        fetched(place, tmp_path, double)
        with caring(place.node, place.settings):
            delivered, refused = told(double, 2)
    assert delivered.short == ("110106", "ITI-43", "R", "0")
    assert refused.short == ("110106", "ITI-43", "R", "8")
    assert (delivered.ids("9"), refused.ids("9")) == ([place.documents[0]], [place.documents[1]])
    assert delivered.patients == [PATIENT]
    for record in (delivered, refused):
        assert source_id(record) == OURS
        repository, _, receiver = record.participants
        assert (repository["roles"], receiver["roles"]) == ("110153", "110152")
        assert receiver["AlternativeUserID"] == OURS  # the double's one provider receives, too


def test_a_receiver_tells_what_it_gets(double: Double, tmp_path: Path) -> None:
    patient = new_patient()
    unique_id = put_at_provider(double, patient)
    p1 = double.section(home_community_id=HOME, deadline_s=10.0, audit=True)
    settings = Settings(data=tmp_path, p1=p1, **AUDITED)
    asking = errand(patient)
    asking.request.concerns = Concerns((patient,))
    with closing(open_node(settings)) as node:
        assert node.trail is not None
        asking.request.recorder = node.trail.witness(asking.request)
        (community,) = setup.communities(settings, now)
        missing = Wanted(HOME, REPOSITORY, "4.5.6")
        community.retrieve([Wanted(HOME, REPOSITORY, unique_id), missing], asking).close()
        with caring(node, settings):
            got, failed = told(double, 2)
    assert (got.short, failed.short) == (("110107", "ITI-43", "C", "0"), ("110107", "ITI-43", "C", "8"))
    assert (got.ids("9"), failed.ids("9")) == ([unique_id], ["4.5.6"])
    assert source_id(got) == OURS
    repository, human, _ = got.participants
    assert repository["UserID"] == double.addresses[REPOSITORY]
    assert "AlternativeUserID" not in repository  # the address book does not say whose it is
    assert (human["UserID"], human["UserIsRequestor"]) == (WORKER, "true")


def test_while_p1_is_away_they_wait_and_keep_nobody_out(double: Double, tmp_path: Path) -> None:
    strict: dict[str, Any] = {"audit": {"enabled": True, "backlog": 1, "when_full": "refuse"}}
    with hospital(double, tmp_path, strict, audit=True, audit_url="tls://127.0.0.1:9") as place:
        with caring(place.node, place.settings):
            for _ in range(3):
                assert place.retrieve(tmp_path, assertion=place.token()).succeeded
                until(lambda: outbox(place).counts()[1] == 0)
            until(lambda: waiting(place)["failures"])
        assert waiting(place)["waiting"] >= 3
        assert double.handed_over == []
        back = Settings.model_validate(
            {
                **place.settings.model_dump(),
                "p1": {**place.settings.p1.model_dump(), "audit_url": double.audit_url},
            }
        )
        with caring(place.node, back):
            told(double, 3)
            until(lambda: waiting(place)["waiting"] == 0)


def outbox(place: Hospital) -> Outbox:
    assert place.node.trail is not None
    return place.node.trail.outbox


def waiting(place: Hospital) -> dict[str, Any]:
    """How P1 stands, as /health shows it."""
    assert place.node.trail is not None
    facts: Any = place.node.trail.backlog.look().facts()
    found: dict[str, Any] = facts["repositories"][f"P1 {SOURCE}"]
    return found


def test_the_patient_is_told_of_each_retrieval_once(double: Double, tmp_path: Path) -> None:
    with hospital(double, tmp_path, AUDITED, audit=True) as place:
        fetched(place, tmp_path, double)
        kept = [
            each.entry for each in outbox(place).of_patient(PATIENT) if each.entry.transaction == "ITI-43"
        ]
        assert len(kept) == 3
        assert {each.feed for each in kept} == {None}
        seal(place)
        assert list(outbox(place).verify()) == []


def seal(place: Hospital) -> None:
    while outbox(place).seal():
        pass


def test_without_the_setting_p1_is_told_nothing(double: Double, tmp_path: Path) -> None:
    with hospital(double, tmp_path, AUDITED) as place:
        fetched(place, tmp_path, double)
        assert setup.audit_feeds(place.settings) == ()
        assert {each.entry.feed for each in outbox(place).of_patient(PATIENT)} == {None}


def test_where_p1_listens_unless_the_settings_say_so(double: Double) -> None:
    changed = section(double, audit=True, audit_url="", base="https://p1.example.pl")
    (feed,) = setup.audit_feeds(Settings(p1=changed, **AUDITED))
    assert feed.address == ("tls", "p1.example.pl", 6514)


@pytest.mark.parametrize(
    ("changes", "more", "reason"),
    [
        ({}, {}, "needs audit.enabled"),
        ({"ca_file": None}, AUDITED, r"needs p1\.ca_file"),
        ({"providers": None}, AUDITED, rf"p1\.providers\.{SOURCE}: .*tls_certificate"),
        (
            {},
            {"audit": {"enabled": True, "repositories": [{"name": f"P1 {SOURCE}", "url": "udp://h"}]}},
            "the name 'P1 .* is that of P1's own",
        ),
    ],
)
def test_what_is_missing_stops_the_start(
    double: Double, tmp_path: Path, changes: dict[str, Any], more: dict[str, Any], reason: str
) -> None:
    providers = double.section()["providers"]
    assert isinstance(providers, dict)
    if "providers" in changes:
        plain = {**providers[SOURCE], "tls_certificate": None, "tls_key": None}
        changes = {"providers": {SOURCE: plain}}
    settings = Settings(data=tmp_path, p1=double.section(audit=True, **changes), **more)
    with pytest.raises(UnusableP1, match=reason):
        open_node(settings)


def test_a_stranger_cannot_hand_anything_over(double: Double, tmp_path: Path) -> None:
    from tests.test_federation.test_p1.test_tls import of_another_authority

    providers = double.section()["providers"]
    assert isinstance(providers, dict)
    other = {SOURCE: {**providers[SOURCE], "publish": False, **of_another_authority(tmp_path)}}
    with hospital(double, tmp_path, AUDITED, audit=True) as place:
        place.retrieve(tmp_path, assertion=place.token())
        dumped = place.settings.model_dump()
        wrong = Settings.model_validate({**dumped, "p1": {**dumped["p1"], "providers": other}})
        with caring(place.node, wrong):
            until(lambda: waiting(place)["failures"])
    assert double.handed_over == []


def test_a_server_does_all_of_it(double: Double, tmp_path: Path) -> None:
    """Its processes, as they are started: signatures are demanded, documents handed out, P1 is told."""
    strict = {"message_signatures": "required", "signers": [str(double.provider.certificate)]}
    p1 = double.section(decisions="p1", audit=True, **strict)
    sections = {"p1": p1, "xua": double.xua(), **AUDITED}
    given = {f"MSIM_{name.upper()}": json.dumps(section) for name, section in sections.items()}
    with ServerProcess(tmp_path, f"sqlite:///{tmp_path / 'msim.db'}", environment=given) as server:
        unique_id = new_oid()
        content_type, body = provide_message(single_document(unique_id=unique_id), {"Document01": b"hello"})
        submitted = server.request("POST", "/xds/repository", body, content_type)
        assert b"ResponseStatusType:Success" in submitted.root
        facts = P1Settings.model_validate(p1)
        provider = read_providers(facts, now).general
        token = Tokens(facts, now).get(WANTED, provider)
        request, url = [DocumentRequest(OUR_REPOSITORY, unique_id)], f"{server.url}/xds/repository"
        with (
            DocumentConsumer("", url, Options(assertion=token)) as unsigned,
            pytest.raises(RemoteFault, match="FailedAuthentication"),
        ):
            unsigned.retrieve(request, tmp_path)
        with DocumentConsumer("", url, provider.with_assertion(token)) as consumer:
            assert consumer.retrieve(request, tmp_path).succeeded
        (record,) = told(double, 1)
    assert (record.short, record.ids("9")) == (("110106", "ITI-43", "R", "0"), [unique_id])
    assert source_id(record) == OURS


def test_the_command_shows_what_waits(double: Double, tmp_path: Path) -> None:
    with hospital(double, tmp_path, AUDITED, audit=True) as place:
        place.retrieve(tmp_path, assertion=place.token())
        seal(place)
        file = tmp_path / "msim.toml"
        lines = [f'{key} = "{value}"' for key, value in double.section().items() if isinstance(value, str)]
        provider = place.settings.p1.providers[SOURCE].model_dump(mode="json", exclude={"publish"})
        file.write_text(
            "\n".join(
                [
                    "[audit]\nenabled = true\n[p1]\nenabled = true\naudit = true",
                    *lines,
                    f'[p1.providers."{SOURCE}"]',
                    *(f'{key} = "{value}"' for key, value in provider.items()),
                ]
            )
        )
        result = CliRunner().invoke(
            app, ["audit", "status", "--json", "--config", str(file), "--data", str(place.settings.data)]
        )
        assert result.exit_code == 0, result.output
        assert f"P1 {SOURCE}" in result.stdout


def test_a_message_is_known_by_its_record() -> None:
    assert HandedOver("x", b"<85>1 - - - - - - <?xml?><AuditMessage/>").record == b"<AuditMessage/>"
