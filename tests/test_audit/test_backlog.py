"""What waits, and what too much of it does."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from msim_xds.audit import backlog as module
from msim_xds.audit.backlog import Backlog
from msim_xds.audit.outbox import Entry, Outbox
from msim_xds.audit.sealer import seal_all
from msim_xds.audit_settings import AuditSettings
from tests.support import queries
from tests.support.metadata import single_document
from tests.test_audit.conftest import AUDIT, Audited

REPOSITORY = {"name": "arr", "url": "udp://127.0.0.1"}
ENTRY = Entry("2026-09-14T12:00:00.000+00:00", "ITI-18", 0, "", b"<m/>")


def backlog(outbox: Outbox, **settings: Any) -> Backlog:
    return Backlog(outbox.database, AuditSettings(**{"repositories": [REPOSITORY], **settings}))


@pytest.mark.parametrize(("seal", "bound", "full"), [(True, 3, False), (True, 2, True), (False, 2, True)])
def test_more_than_the_bound(outbox: Outbox, seal: bool, bound: int, full: bool) -> None:
    outbox.write([ENTRY] * 3)
    if seal:
        seal_all(outbox)
    waiting = backlog(outbox, backlog=bound).look()
    assert waiting.is_full is full
    assert waiting.facts() == {
        "unsealed": 0 if seal else 3,
        "full": full,
        "repositories": {"arr": {"waiting": 3 if seal else 0, "failures": 0, "sent_at": None}},
    }


def test_without_repositories_only_sealing_counts(outbox: Outbox) -> None:
    outbox.write([ENTRY] * 3)
    assert backlog(outbox, backlog=2, repositories=[]).look().is_full
    seal_all(outbox)
    assert not backlog(outbox, backlog=2, repositories=[]).look().is_full


def test_who_keeps_going_does_not_even_look(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox.write([ENTRY] * 3)
    keeping = backlog(outbox, backlog=1)
    monkeypatch.delattr(outbox, "database")
    keeping.admit()
    assert not keeping.refuses


def test_refusing_begins_and_ends_within_seconds(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = backlog(outbox, backlog=2, when_full="refuse")
    refusing.admit()
    outbox.write([ENTRY] * 3)
    refusing.admit()  # by its last look
    monkeypatch.setattr(module, "_LOOK_S", 0.0)
    with pytest.raises(TimeoutError, match=r"audit\.backlog"):
        refusing.admit()
    with outbox.database.write() as connection:
        connection.execute(text("DELETE FROM audit_record"))
    refusing.admit()


def test_a_server_that_refuses_does_nothing_and_says_so(
    tmp_path_factory: pytest.TempPathFactory, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.0)
    audit = {**AUDIT, "backlog": 2, "when_full": "refuse"}
    audited = Audited(tmp_path_factory.mktemp("data"), database_url, audit=audit)
    for _ in range(3):
        assert audited.ask(queries.find_documents()).status == "Success"
    assert audited.ask(queries.find_documents()).short == ("Failure", "XDSRegistryBusy")
    assert audited.register(single_document()).short == ("Failure", "XDSRegistryBusy")
    assert len(audited.new()) == 3
    with audited.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM registry_object")).scalar_one() == 0
    audited.close()
