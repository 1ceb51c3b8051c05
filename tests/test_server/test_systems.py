"""Registered systems at the door of the server, from certificate to answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from msim_xds.database.engine import Database
from msim_xds.delivery.addresses import ReplyHosts
from msim_xds.delivery.queue import DeliveryQueue
from msim_xds.delivery_settings import DeliverySettings
from msim_xds.ihe.names import ResponseStatus
from msim_xds.ihe.transactions import Endpoint
from msim_xds.security.systems.door import Door
from msim_xds.security.systems.table import NO_LIMITS, UnusableSystems
from msim_xds.server.front import Front, WsgiApplication
from msim_xds.server.later import Later
from msim_xds.server.pipeline import Pipeline
from msim_xds.server.spyne_app import SoapEndpoint
from msim_xds.settings import DatabaseSettings, Settings
from msim_xds.tls import UnusableTls
from msim_xds.wire import answers
from msim_xds.wire.exchange import Answer, Request, SystemKind
from msim_xds.wire.faults import SoapFault
from tests.conformance.node import Node, Outcome
from tests.support.metadata import (
    REPOSITORY,
    SOURCE,
    document_entry,
    original,
    submission_set,
    submit_objects,
)
from tests.support.paths import REGISTRY
from tests.support.paths import REPOSITORY as REPOSITORY_PATH
from tests.support.saml import WSSE
from tests.support.tls import Site
from tests.test_delivery.conftest import clock
from tests.test_server.asking_later import HERE, REGISTER, REGISTER_ACTION, accepted, to
from tests.test_server.conftest import Server
from tests.test_server.soap import PROVIDE, PROVIDE_ACTION, Response, envelope, mtom, post

HEADER = "HTTP_X_SSL_CLIENT_CERT"
INSTITUTION = "000000999901^^^&2.16.840.1.113883.3.4424.2.3.1&ISO"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "systems.toml"


def row(site: Site, more: str = "", name: str = "hospital") -> str:
    fingerprint = site.identities[name].fingerprint
    return f'[systems.{name}]\nkind = "hospital"\ncertificates = [{{ sha256 = "{fingerprint}" }}]\n{more}\n'


def sections(table: Path, **access: Any) -> dict[str, Any]:
    return {
        "server": {"uds": table.parent / "http.sock"},
        "tls": {"client_certificate_header": "X-SSL-Client-Cert"},
        "access": {"systems": table, **access},
    }


def shown(site: Site, name: str = "hospital") -> dict[str, str]:
    return {HEADER: quote(site.identities[name].certificate_pem.decode())}


def test_registered_system_reaches_the_handler(server: Server, site: Site, table: Path) -> None:
    table.write_text(row(site))
    app = server.build(**sections(table))
    assert post(app, REGISTRY, envelope(), environ=shown(site)).status == 200
    (request,) = server.requests
    assert request.system is not None
    assert (request.system.name, request.system.kind) == ("hospital", SystemKind.HOSPITAL)


@pytest.mark.parametrize("who", ["stolen", "nobody", "garbage"])
def test_others_are_refused_before_anything_is_kept(
    server: Server, site: Site, table: Path, who: str
) -> None:
    table.write_text(row(site))
    app = server.build(**sections(table))
    environ = {"stolen": shown(site, "stolen"), "nobody": {}, "garbage": {HEADER: "x"}}[who]
    content_type, body = mtom(envelope(PROVIDE, PROVIDE_ACTION), ("d@x", b"content"))
    with capture_logs() as logs:
        answer = post(app, REPOSITORY_PATH, body, content_type, environ)
    assert answer.status == 400
    code, subcode, reason = answer.fault()
    assert (code.rpartition("}")[2], subcode) == ("Sender", f"{{{WSSE}}}FailedAuthentication")
    assert "certificate" not in reason  # a stranger learns no more
    assert server.requests == []
    assert server.stager.seen == []
    (line,) = logs
    assert line["event"] == "system refused"
    if who == "stolen":
        assert line["sha256"] == site.identities["stolen"].fingerprint
        assert line["subject"] == "CN=stolen"


def test_pages_are_for_everybody(server: Server, site: Site, table: Path) -> None:
    table.write_text(row(site))
    app = server.build(**sections(table))
    assert post(app, "/health", b"").status == 405  # the page's own answer, not a fault


def test_transaction_that_is_not_listed(server: Server, site: Site, table: Path) -> None:
    table.write_text(row(site, 'transactions = ["ITI-41"]'))
    app = server.build(**sections(table))
    outcome = Outcome(answer := post(app, REGISTRY, envelope(), environ=shown(site)), answer.xml())
    assert outcome.short == ("Failure", "XDSRegistryError")
    assert "system hospital: this system may not call this transaction" in outcome.texts
    assert "seen 'ITI-18'; allowed: ITI-41" in outcome.texts
    assert server.requests == []
    content_type, body = mtom(envelope(PROVIDE, PROVIDE_ACTION), ("d@x", b"content"))
    assert post(app, REPOSITORY_PATH, body, content_type, shown(site)).status == 200
    assert len(server.requests) == 1


@pytest.mark.parametrize("access", [{"requests_per_s": 0.1, "burst": 1}, {}], ids=["settings", "table"])
def test_too_many_requests_wait(server: Server, site: Site, table: Path, access: dict[str, Any]) -> None:
    own = "" if access else "limits = { requests_per_s = 0.1, burst = 1 }"
    table.write_text(row(site, own) + row(site, "limits = { requests_per_s = 1000 }", "stolen"))
    app = server.build(**sections(table, **access))
    assert post(app, REGISTRY, envelope(), environ=shown(site)).status == 200
    answer = post(app, REGISTRY, envelope(), environ=shown(site))
    assert answer.status == 503
    assert 8 <= int(answer.headers["retry-after"]) <= 10
    assert answer.fault()[0].endswith("}Receiver")
    assert len(server.requests) == 1
    assert post(app, REGISTRY, envelope(), environ=shown(site, "stolen")).status == 200  # another's account


def test_too_many_at_a_time_wait(server: Server, site: Site, table: Path) -> None:
    table.write_text(row(site, "limits = { concurrent = 1 }"))
    inside, go_on = threading.Event(), threading.Event()

    def slow(request: Request) -> Answer:
        inside.set()
        go_on.wait(10)
        return Answer(answers.adhoc_query_response(ResponseStatus.SUCCESS))

    app = server.build({"ITI-18": slow}, **sections(table))
    statuses: list[int] = []
    first = threading.Thread(
        target=lambda: statuses.append(post(app, REGISTRY, envelope(), environ=shown(site)).status)
    )
    first.start()
    assert inside.wait(10)
    assert post(app, REGISTRY, envelope(), environ=shown(site)).status == 503
    go_on.set()
    first.join()
    assert statuses == [200]
    assert post(app, REGISTRY, envelope(), environ=shown(site)).status == 200


def test_what_is_refused_otherwise_frees_its_place(server: Server, site: Site, table: Path) -> None:
    table.write_text(row(site, "limits = { concurrent = 1 }"))
    app = server.build(**sections(table))
    for _ in range(3):
        assert post(app, REGISTRY, b"no message", environ=shown(site)).status == 400


# --- the table changes ---------------------------------------------------------------------------


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_changed_table_is_read_again(site: Site, table: Path) -> None:
    table.write_text(row(site, "limits = { concurrent = 1 }"))
    now = Time()
    door = Door(table, NO_LIMITS, now)
    certificate = shown(site)[HEADER]
    with door.admitted(certificate) as system:
        assert system.transactions is None
        table.write_text(row(site, 'transactions = ["ITI-18"]\nlimits = { concurrent = 1 }'))
        now.now += 6
        with pytest.raises(SoapFault), door.admitted(certificate):  # the count goes on
            pass
    with door.admitted(certificate) as system:
        assert system.transactions == frozenset(["ITI-18", "ITI-18 gateway"])
    table.write_text(row(site, "", "stolen"))
    with door.admitted(certificate):  # not looked at for a while
        pass
    now.now += 6
    with pytest.raises(SoapFault), door.admitted(certificate):
        pass
    with pytest.raises(SoapFault):
        door.recall("hospital")
    assert door.recall("stolen").name == "stolen"


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("[")])
def test_a_spoilt_table_leaves_the_one_before(
    site: Site, table: Path, spoil: Callable[[Path], object]
) -> None:
    table.write_text(row(site))
    now = Time()
    door = Door(table, NO_LIMITS, now)
    spoil(table)
    now.now += 6
    with capture_logs() as logs, door.admitted(shown(site)[HEADER]) as system:
        assert system.name == "hospital"
    assert [line["log_level"] for line in logs] == ["error"]


# --- wrong settings ------------------------------------------------------------------------------


def test_a_table_without_certificates_stops_the_start(server: Server, site: Site, table: Path) -> None:
    table.write_text(row(site))
    with pytest.raises(UnusableTls, match="no certificates are seen"):
        server.build(access={"systems": table})


def test_a_wrong_table_stops_the_start(server: Server, table: Path) -> None:
    table.write_text("[systems.a]")
    with pytest.raises(UnusableSystems, match="kind: Field required"):
        server.build(**sections(table))


@pytest.mark.parametrize("access", [{"requests_per_s": 1}, {"concurrent": 1}, {"systems": "x", "burst": 1}])
def test_limits_without_effect_stop_the_start(access: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs access"):
        Settings(access=access)


# --- answers elsewhere ---------------------------------------------------------------------------


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[DeliveryQueue]:
    database = Database(f"sqlite:///{tmp_path / 'queue.db'}", DatabaseSettings())
    database.migrate()
    yield DeliveryQueue(database, DeliverySettings(), clock)
    database.close()


class Exchange:
    """The front over a queue that nobody empties."""

    def __init__(self, server: Server, queue: DeliveryQueue, table: Path) -> None:
        self.server, self.queue, self.now = server, queue, Time()
        door = Door(table, NO_LIMITS, self.now)
        run = Pipeline(server.handlers(), 100).run
        self.later = Later(run, queue, ReplyHosts(["127.0.0.1"]), inline=False, door=door)
        endpoints = {each: SoapEndpoint(each, run, self.later) for each in Endpoint}
        self.front: WsgiApplication = Front(Settings(**sections(table)), endpoints, server.stager, dict, door)

    def compose(self) -> bytes:
        claimed = self.queue.claim(())
        assert claimed is not None
        try:
            return b"".join(self.later.compose(claimed).chunks)
        finally:
            self.queue.drop([claimed.id])


def test_a_query_that_waits_keeps_its_system(
    server: Server, site: Site, table: Path, queue: DeliveryQueue
) -> None:
    table.write_text(row(site))
    exchange = Exchange(server, queue, table)
    accepted(post(exchange.front, REGISTRY, envelope(headers=to(HERE)), environ=shown(site)))
    assert [each.system for each in queue.rows()] == ["hospital"]
    exchange.compose()
    (request,) = server.requests
    assert request.system is not None
    assert request.system.name == "hospital"


def test_a_query_of_a_system_that_is_registered_no_longer_is_not_answered(
    server: Server, site: Site, table: Path, queue: DeliveryQueue
) -> None:
    table.write_text(row(site))
    exchange = Exchange(server, queue, table)
    accepted(post(exchange.front, REGISTRY, envelope(headers=to(HERE)), environ=shown(site)))
    table.write_text(row(site, "", "stolen"))
    exchange.now.now += 6
    with pytest.raises(SoapFault):
        exchange.compose()
    assert server.requests == []


def test_a_submission_that_is_answered_later_has_its_system(
    server: Server, site: Site, table: Path, queue: DeliveryQueue
) -> None:
    table.write_text(row(site, 'transactions = ["ITI-18"]'))
    exchange = Exchange(server, queue, table)
    message = envelope(REGISTER, REGISTER_ACTION, to(HERE))
    accepted(post(exchange.front, REGISTRY, message, environ=shown(site)))
    assert server.requests == []
    assert b"may not call this transaction" in exchange.compose()


# --- as whom a system submits --------------------------------------------------------------------


@pytest.fixture
def node(site: Site, table: Path, tmp_path: Path) -> Callable[[str], Node]:
    def build(rights: str) -> Node:
        table.write_text(row(site, rights))
        settings = sections(table)
        node = Node(tmp_path, repository={"unique_id": REPOSITORY}, **settings)
        app, header = node.app, shown(site)
        node.app = lambda environ, start: app({**environ, **header}, start)
        return node

    return build


def submission(repository: str | None = REPOSITORY) -> bytes:
    return submit_objects(submission_set(), document_entry(repository=repository), original())


RIGHTS = {
    "repositories": (REPOSITORY, "repositoryUniqueId"),
    "source_ids": (SOURCE, "sourceId"),
    "institutions": (INSTITUTION, "authorInstitution"),
}


@pytest.mark.parametrize("right", RIGHTS)
def test_submissions_within_and_outside_a_right(node: Callable[[str], Node], right: str) -> None:
    value, attribute = RIGHTS[right]
    within = node(f'{right} = ["9.9", "{value}"]')
    assert within.register(submission()).short == ("Success",)
    assert within.provide(submission(None), {"Document01": b"hello"}).short == ("Success",)
    outside = node(f'{right} = ["9.9", "8.8"]')
    before = len(within.everything().objects)
    for outcome, code in (
        (outside.register(submission()), "XDSRegistryError"),
        (outside.register_on_demand(submission()), "XDSRegistryError"),
        (outside.update(submission()), "XDSRegistryError"),
        (outside.update_restricted(submission()), "LocalPolicyRestrictionError"),
        (outside.provide(submission(None), {"Document01": b"hello"}), "XDSRepositoryError"),
    ):
        assert outcome.status == "Failure"
        assert code in outcome.errors
        assert f"{attribute}: system hospital may not submit with this {attribute}" in outcome.texts
        assert "allowed: 8.8, 9.9" in outcome.texts
    assert len(within.everything().objects) == before


def test_every_institution_must_be_allowed(node: Callable[[str], Node]) -> None:
    outcome = node('institutions = ["other"]').register(submission())
    places = {each.get("codeContext", "").split()[0] for each in outcome.reports("Error")}
    assert places == {"SubmissionSet", "DocumentEntry"}


def test_unlimited_system_submits_anything(node: Callable[[str], Node]) -> None:
    assert node("").register(submission()).short == ("Success",)


def test_response_is_one(server: Server, site: Site, table: Path) -> None:
    """Two requests over one application with different systems do not mix."""
    table.write_text(row(site) + row(site, "", "stolen"))
    app = server.build(**sections(table))
    for name in ("hospital", "stolen", "hospital"):
        answer: Response = post(app, REGISTRY, envelope(), environ=shown(site, name))
        assert answer.status == 200
    assert [request.system and request.system.name for request in server.requests] == [
        "hospital",
        "stolen",
        "hospital",
    ]
