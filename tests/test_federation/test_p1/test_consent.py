"""ITI-43 under P1's rules: SOZ decides, and each refusal says which it is."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cheroot.wsgi import Server

from msim_xds.app import Node, now, open_node
from msim_xds.audit.trail import Trail
from msim_xds.federation.answers import RemoteFault, RetrieveAnswer
from msim_xds.federation.client import DocumentConsumer, DocumentRequest, DocumentSource, Options
from msim_xds.federation.p1 import setup
from msim_xds.federation.p1.decisions import Decision
from msim_xds.federation.p1.providers import UnusableP1, read_providers
from msim_xds.federation.p1.tokens import Tokens
from msim_xds.ihe.names import ResponseStatus
from msim_xds.metadata import ebrim
from msim_xds.security.xua.setup import guards
from msim_xds.server.front import build_front
from msim_xds.settings import LimitSettings, Settings
from msim_xds.testing.p1 import Double
from msim_xds.wire import safexml
from msim_xds.xua_settings import Demand
from tests.support.atna import Read, details, trail
from tests.support.metadata import PATIENT, REPOSITORY, new_oid, single_document
from tests.test_federation.test_p1.conftest import WANTED


@dataclass
class Hospital:
    """A repository that asks P1, with two documents."""

    node: Node
    url: str
    settings: Settings
    documents: tuple[str, str]

    def token(self, purpose: str = "TREAT") -> bytes:
        p1 = self.settings.p1
        return Tokens(p1, now).get(WANTED._replace(purpose=purpose), read_providers(p1, now).general)

    def retrieve(self, directory: Path, *unique_ids: str, assertion: bytes = b"") -> RetrieveAnswer:
        requests = [DocumentRequest(REPOSITORY, each) for each in unique_ids or self.documents[:1]]
        with DocumentConsumer("", self.url, Options(assertion=assertion)) as consumer:
            return consumer.retrieve(requests, directory)


@contextmanager
def hospital(
    double: Double, directory: Path, more: dict[str, Any] | None = None, **changes: Any
) -> Iterator[Hospital]:
    section = double.section(**{"decisions": "p1", "deadline_s": 5.0, "providers": _quiet(double), **changes})
    settings = Settings(data=directory / "hospital", p1=section, xua=double.xua(), **(more or {}))
    node = open_node(settings)
    checks = guards(settings.xua, settings.data, now, setup.signed_messages(settings, now))
    front = build_front(settings, node.handlers(), node.store, node.ready, guards=checks, trail=node.trail)
    server = Server(("127.0.0.1", 0), front, numthreads=4)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    url = f"http://127.0.0.1:{server.bind_addr[1]}/xds/repository"
    try:
        yield Hospital(node, url, settings, (_submitted(url, directory), _submitted(url, directory)))
    finally:
        server.stop()
        thread.join()
        node.close()


def _quiet(double: Double) -> dict[str, Any]:
    """The double's provider, which publishes nothing."""
    providers = double.section()["providers"]
    assert isinstance(providers, dict)
    return {key: {**each, "publish": False} for key, each in providers.items()}


def _submitted(url: str, directory: Path) -> str:
    file, unique_id = directory / "document.xml", new_oid()
    file.write_bytes(b"hello")
    element = safexml.parse(single_document(unique_id=unique_id))
    submission = ebrim.read(element, LimitSettings()).submission
    with DocumentSource(url) as source:
        answer = source.provide_and_register(submission, {submission.entries[0].entry_uuid: file})
    assert answer.succeeded, answer
    return unique_id


@pytest.fixture(scope="module")
def shared(shared_double: Double, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with hospital(shared_double, tmp_path_factory.mktemp("hospital")) as running:
        yield running


def test_what_is_permitted_is_handed_out(double: Double, shared: Hospital, tmp_path: Path) -> None:
    answer = shared.retrieve(tmp_path, assertion=shared.token())
    assert answer.succeeded
    assert answer.documents[0].path.read_bytes() == b"hello"
    assert double.calls[-1] == shared.settings.p1.soz


@pytest.mark.parametrize(
    ("decision", "told"),
    [
        (Decision.DENY, "P1 denies access to this document (SOZ: Deny)"),
        (Decision.INDETERMINATE, "P1 could not decide on access to this document (SOZ: Indeterminate)"),
        (Decision.NOT_APPLICABLE, "P1 has no rule that permits access to this document (SOZ: NotApplicable)"),
    ],
)
def test_anything_but_permit_refuses_in_words_of_its_own(
    double: Double, shared: Hospital, tmp_path: Path, decision: Decision, told: str
) -> None:
    double.consents[shared.documents[0]] = decision
    answer = shared.retrieve(tmp_path, assertion=shared.token())
    assert answer.status is ResponseStatus.FAILURE
    assert answer.documents == ()
    (finding,) = answer.findings
    assert (finding.code, finding.location) == ("XDSDocumentUniqueIdError", shared.documents[0])
    assert told in finding.code_context


def test_silence_is_an_error_and_no_denial(double: Double, tmp_path: Path) -> None:
    with hospital(double, tmp_path, deadline_s=1.0) as impatient:
        assertion = impatient.token()
        double.consents[impatient.documents[0]] = None
        answer = impatient.retrieve(tmp_path, assertion=assertion)
    assert answer.status is ResponseStatus.FAILURE
    (finding,) = answer.findings
    assert finding.code == "XDSRepositoryError"
    assert "P1 was asked whether access is permitted and did not answer" in finding.code_context


def test_of_two_documents_the_one_that_is_permitted_is_handed_out(
    double: Double, shared: Hospital, tmp_path: Path
) -> None:
    double.consents[shared.documents[1]] = Decision.DENY
    answer = shared.retrieve(tmp_path, *shared.documents, assertion=shared.token())
    assert answer.status is ResponseStatus.PARTIAL_SUCCESS
    assert [each.document_unique_id for each in answer.documents] == [shared.documents[0]]
    assert [each.location for each in answer.findings] == [shared.documents[1]]


def test_requests_without_p1s_assertion_are_others_business(
    double: Double, shared: Hospital, tmp_path: Path
) -> None:
    assert shared.retrieve(tmp_path).succeeded
    assert double.calls == []


def test_where_p1_always_decides_they_are_refused(double: Double, tmp_path: Path) -> None:
    with hospital(double, tmp_path, decisions="always") as strict:
        answer = strict.retrieve(tmp_path)
    assert answer.status is ResponseStatus.FAILURE
    assert "only with an assertion of P1" in answer.findings[0].code_context


def test_a_forged_assertion_is_refused_before_anything_is_asked(
    double: Double, shared: Hospital, tmp_path: Path
) -> None:
    forged = shared.token().replace(b"2999999", b"2999998")
    double.calls.clear()
    with pytest.raises(RemoteFault):
        shared.retrieve(tmp_path, assertion=forged)
    assert double.calls == []


def test_an_emergency_asks_p1_too(double: Double, shared: Hospital, tmp_path: Path) -> None:
    double.consents[shared.documents[0]] = Decision.DENY
    assert not shared.retrieve(tmp_path, assertion=shared.token("BTG")).succeeded


def test_an_emergency_passes_without_p1_where_that_is_set(double: Double, tmp_path: Path) -> None:
    with hospital(double, tmp_path, emergency_without_soz=True) as trusting:
        double.consents[trusting.documents[0]] = Decision.DENY
        assert trusting.retrieve(tmp_path, assertion=trusting.token("BTG")).succeeded
        assert not trusting.retrieve(tmp_path, assertion=trusting.token()).succeeded


def test_an_emergency_without_p1_is_an_alert(double: Double, tmp_path: Path, database_url: str) -> None:
    audited = {"database": {"url": database_url}, "audit": {"enabled": True}}
    with hospital(double, tmp_path, audited, emergency_without_soz=True) as trusting:
        assert trusting.retrieve(tmp_path, assertion=trusting.token()).succeeded
        assert not alerts(trusting)
        assert trusting.retrieve(tmp_path, assertion=trusting.token("BTG")).succeeded
        (alert,) = alerts(trusting)
        assert alert.patients == [PATIENT]
        (thing,) = alert.objects("2")
        assert details(thing) == {
            "Alert Description": "emergency by its purpose of use, without a decision of P1"
        }


def test_without_its_alert_an_emergency_opens_nothing(
    double: Double, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Trail, entries: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    audited = {"database": {"url": database_url}, "audit": {"enabled": True}}
    with hospital(double, tmp_path, audited, emergency_without_soz=True) as trusting:
        assertion = trusting.token("BTG")
        monkeypatch.setattr(Trail, "keep", full)
        answer = trusting.retrieve(tmp_path, assertion=assertion)
        assert (answer.status, answer.documents) == (ResponseStatus.FAILURE, ())


def alerts(of: Hospital) -> list[Read]:
    return [each for each in trail(of.node.database) if each.short[0] == "110113"]


def test_documents_of_other_repositories_are_not_asked_about(
    double: Double, shared: Hospital, tmp_path: Path
) -> None:
    assertion = shared.token()
    double.calls.clear()
    with DocumentConsumer("", shared.url, Options(assertion=assertion)) as consumer:
        answer = consumer.retrieve([DocumentRequest("1.2.3", "4.5.6")], tmp_path)
    assert [each.code for each in answer.findings] == ["XDSUnknownRepositoryId"]
    assert double.calls == []


def test_without_checked_assertions_the_server_does_not_start(double: Double, tmp_path: Path) -> None:
    section = double.section(decisions="p1", providers=_quiet(double))
    settings = Settings(data=tmp_path, p1=section, xua={**double.xua(), "repository": Demand.OFF})
    with pytest.raises(UnusableP1, match=r"p1\.decisions: needs xua\.repository"):
        open_node(settings)


def test_messages_with_p1s_assertion_must_be_signed_where_that_is_demanded(
    double: Double, tmp_path: Path
) -> None:
    demanded = {"message_signatures": "required", "signers": [str(double.provider.certificate)]}
    with hospital(double, tmp_path, {"audit": {"enabled": True}}, **demanded) as strict:
        token = strict.token()
        double.calls.clear()
        with pytest.raises(RemoteFault) as refused:
            strict.retrieve(tmp_path, assertion=token)
        assert (refused.value.code, refused.value.subcode) == ("Sender", "FailedAuthentication")
        assert double.calls == []  # nobody was asked, nothing was handed out
        assert trail(strict.node.database)[-1].short[:2] == ("110114", "110122")
        provider = read_providers(strict.settings.p1, now).general
        requests = [DocumentRequest(REPOSITORY, strict.documents[0])]
        with DocumentConsumer("", strict.url, provider.with_assertion(token)) as consumer:
            assert consumer.retrieve(requests, tmp_path).succeeded
        assert strict.retrieve(tmp_path).succeeded  # without an assertion of P1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"signers": []}, "signers: must not be empty"),
        ({"issuers": []}, "issuers: must not be empty"),
    ],
)
def test_signatures_of_messages_need_to_know_whose(
    double: Double, changes: dict[str, Any], reason: str
) -> None:
    usual = {"message_signatures": "optional", "signers": [str(double.provider.certificate)]}
    with pytest.raises(ValueError, match=reason):
        Settings(p1=double.section(**{**usual, **changes}))


def test_signers_that_cannot_be_read_stop_the_start(double: Double, tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("x")
    for file, reason in (("x.pem", "not a certificate"), ("none.pem", "No such file")):
        section = double.section(message_signatures="optional", signers=[str(tmp_path / file)])
        settings = Settings(data=tmp_path, p1=section, xua=double.xua())
        with pytest.raises(UnusableP1, match=rf"p1\.signers: .*{reason}"):
            setup.check(settings)


def test_signatures_of_messages_need_assertions(double: Double, tmp_path: Path) -> None:
    section = double.section(message_signatures="optional", signers=[str(double.provider.certificate)])
    with pytest.raises(UnusableP1, match=r"needs xua\.repository"):
        setup.check(Settings(data=tmp_path, p1=section))
