"""Validation after registration: what waits, what it comes to, and what gets in its way."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from lxml import etree
from sqlalchemy import func, select, update
from structlog.testing import capture_logs

from msim_xds.app import open_identity
from msim_xds.database.schema import pending_signature, registry_object, signature_result
from msim_xds.ihe.transactions import ITI_57
from msim_xds.metadata.identity import Merge
from msim_xds.registry import pending_signatures
from msim_xds.registry.dependents import named, things
from msim_xds.registry.erasure import erase
from msim_xds.repository import late_validation as module
from msim_xds.repository.late_validation import LateValidation, Step
from msim_xds.repository.revalidation import Revalidation
from msim_xds.server.companion import Companion
from msim_xds.wire.exchange import Addressing, Recorder, Request, RequestRecorder
from tests.support import metadata
from tests.support.authority import NOW
from tests.support.signing import CDA, DS, sign
from tests.support.updates import entry_version
from tests.support.updates import update as updating
from tests.test_registry.identifying import given
from tests.test_repository.killing import POISON
from tests.test_repository.stores import blob_path
from tests.test_repository.test_signing import Site, altered

PENDING = {"indication": "PENDING"}
NEVER = threading.Event()


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Callable[..., Site]]:
    opened: list[Site] = []

    def make(**signatures: Any) -> Site:
        opened.append(Site(tmp_path, database_url, **signatures))
        return opened[-1]

    yield make
    for each in opened:
        each.node.close()


def provide(
    site: Site, content: bytes, unique_id: str = "", entry: str = "Document01", **options: Any
) -> str:
    """Submit one document; returns its uniqueId."""
    unique_id = unique_id or metadata.new_oid()
    body = metadata.submit_objects(
        metadata.submission_set(),
        metadata.document_entry(entry, unique_id=unique_id, content=content, **options),
        metadata.original(entry),
    )
    site.provide(body, {entry: content})
    return unique_id


def rows(site: Site, table: Any) -> int:
    with site.node.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def finish(site: Site) -> int:
    return site.node.late_validation.finish(NEVER)


def make_due(site: Site) -> None:
    with site.node.database.write() as connection:
        connection.execute(update(pending_signature).values(due_at=0))


class TestWaiting:
    def test_it_is_pending_until_it_is_validated(self, site: Any) -> None:
        made = site()
        unique_id = provide(made, altered(sign()))
        assert made.slots_now(unique_id) == PENDING
        assert rows(made, signature_result) == 0
        assert made.node.ready()["pending_signatures"] == {
            "documents": 1,
            "oldest": NOW.isoformat(timespec="seconds"),
        }
        assert finish(made) == 1
        assert made.slots_now(unique_id)["sub-indication"] == "HASH_FAILURE"
        assert made.node.ready()["pending_signatures"] == {"documents": 0, "oldest": None}
        assert (rows(made, pending_signature), rows(made, signature_result)) == (0, 1)

    def test_an_unsigned_document_never_waits(self, site: Any) -> None:
        made = site()
        assert made.slots_now(provide(made, CDA)) == {}
        assert rows(made, pending_signature) == 0

    def test_one_that_only_names_the_namespace_ends_without_a_result(self, site: Any) -> None:
        made = site()
        unique_id = provide(made, CDA.replace(b"<title>", b"<title>" + DS.encode()))
        assert made.slots_now(unique_id) == PENDING
        finish(made)
        assert made.slots_now(unique_id) == {}
        assert (rows(made, pending_signature), rows(made, signature_result)) == (0, 0)

    @pytest.mark.parametrize("policy", ["warn", "reject"])
    def test_what_changes_the_answer_does_not_wait(self, site: Any, policy: str) -> None:
        made = site(policy=policy)
        assert made.slots_now(provide(made, sign()))["indication"] == "TOTAL_PASSED"
        assert rows(made, pending_signature) == 0

    def test_a_retry_queues_nothing(self, site: Any) -> None:
        made, content, unique_id = site(), sign(), metadata.new_oid()
        body = metadata.single_document(unique_id=unique_id, content=content)
        made.provide(body, {"Document01": content})
        made.provide(body, {"Document01": content})
        assert rows(made, pending_signature) == 1
        finish(made)
        made.provide(body, {"Document01": content})
        assert (rows(made, pending_signature), rows(made, signature_result)) == (0, 1)
        assert made.slots_now(unique_id)["indication"] == "TOTAL_PASSED"

    def test_many_are_done_in_several_batches(self, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_BATCH", 2)
        made, content = site(), sign()
        ids = [provide(made, content) for _ in range(5)]
        assert finish(made) == 5
        assert {made.slots_now(unique_id)["indication"] for unique_id in ids} == {"TOTAL_PASSED"}


class TestMeanwhile:
    def test_the_entry_is_removed(self, site: Any) -> None:
        made, entry, content = site(), metadata.new_uuid(), sign()
        unique_id = provide(made, content, entry=entry)
        with made.node.database.write() as connection:
            erase(connection, things(connection, named(connection, [entry])))
        assert finish(made) == 1
        assert (rows(made, pending_signature), rows(made, signature_result)) == (0, 0)
        provide(made, content, unique_id)
        finish(made)
        assert made.slots_now(unique_id)["indication"] == "TOTAL_PASSED"

    def test_the_entry_is_removed_and_comes_again(self, site: Any) -> None:
        made, entry, content = site(), metadata.new_uuid(), sign()
        unique_id = provide(made, content, entry=entry)
        with made.node.database.write() as connection:
            erase(connection, things(connection, named(connection, [entry])))
        provide(made, content, unique_id)
        assert finish(made) == 2
        assert made.slots_now(unique_id)["indication"] == "TOTAL_PASSED"
        assert (rows(made, pending_signature), rows(made, signature_result)) == (0, 1)

    def test_the_document_is_removed(self, site: Any) -> None:
        made = site()
        unique_id = provide(made, sign())
        with made.node.database.write() as connection:
            made.node.index.delete(connection, [unique_id])
        finish(made)
        slots = made.slots_now(unique_id)
        assert (slots["indication"], slots["sub-indication"]) == ("INDETERMINATE", "SIGNED_DATA_NOT_FOUND")

    def test_a_revalidation_is_faster(self, site: Any) -> None:
        made = site()
        unique_id, node = provide(made, sign()), made.node
        own = node.settings.repository.unique_id
        runs = Revalidation(node.signing, node.store, node.index, node.database, own, lambda: NOW)
        run = runs.run(again=False, watch=lambda run, total: None)
        assert (run.signed, run.changed) == (1, 1)
        assert [change.before for change in runs.changes(run)] == [None]
        shown = made.slots_now(unique_id)
        assert finish(made) == 1
        assert made.slots_now(unique_id) == shown
        assert (rows(made, pending_signature), rows(made, signature_result)) == (0, 1)

    def test_every_version_shows_the_result(self, site: Any) -> None:
        made, entry, new = site(), metadata.new_uuid(), metadata.new_uuid()
        content = sign()
        unique_id = provide(made, content, entry=entry)
        make_version(made, entry, unique_id, new, content)
        assert self.shown(made, [entry, new]) == {entry, new}
        finish(made)
        assert self.shown(made, [entry, new]) == set()
        assert rows(made, signature_result) == 1

    def test_a_version_that_is_being_written(self, site: Any) -> None:
        """Whoever copies what is shown holds the patient, and the result waits for that."""
        made, entry, new = site(), metadata.new_uuid(), metadata.new_uuid()
        content = sign()
        unique_id = provide(made, content, entry=entry)
        late = made.node.late_validation
        with made.node.database.write() as connection:
            claimed = pending_signatures.claim(connection, 10, 60_000)
        seen = late._validated(claimed, NEVER)
        done = threading.Thread(target=late._written, args=(seen,))

        def record(*_: object) -> None:  # at the end of the transaction that has copied it
            done.start()
            time.sleep(0.3)
            assert done.is_alive()

        make_version(made, entry, unique_id, new, content, record)
        done.join(30)
        assert self.shown(made, [entry, new]) == set()

    def test_a_merge(self, site: Any) -> None:
        made = site()
        unique_id = provide(made, sign())
        other = metadata.PATIENT.replace(metadata.PATIENT.split("^")[0], "SURVIVOR", 1)
        body = metadata.single_document(unique_id=metadata.new_oid(), content=CDA, patient_id=other)
        made.provide(body, {"Document01": CDA})
        with open_identity(made.node.settings) as identity:
            identity.merge(Merge(given("PID-3", other), given("MRG-1", metadata.PATIENT)))
        finish(made)
        assert made.slots_now(unique_id)["indication"] == "TOTAL_PASSED"

    def shown(self, site: Site, entries: list[str]) -> set[str]:
        """Those of the entries that are still pending."""
        query = select(registry_object.c.entry_uuid, registry_object.c.signature_id)
        with site.node.database.read() as connection:
            found = dict(connection.execute(query).all())
            kept = set(connection.execute(select(signature_result.c.id)).scalars())
        assert all(found[entry] is not None for entry in entries)
        return {entry for entry in entries if found[entry] not in kept}


def make_version(
    site: Site, entry: str, unique_id: str, new: str, content: bytes, record: Recorder | None = None
) -> None:
    message = etree.fromstring(updating(entry_version(entry, unique_id, new, content=content)))
    request = Request(ITI_57, message, Addressing(ITI_57.action))
    request.recorder = cast("RequestRecorder | None", record)
    site.node.updates.update_document_set(request)


class TestFailures:
    def test_a_defect_is_tried_again_and_given_up(self, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        made = site(attempts=2)
        unique_id = provide(made, sign())

        def fail(*_: object) -> None:
            raise RuntimeError("Jan Kowalski")

        monkeypatch.setattr(type(made.node.signing.load()), "validate", fail)
        with capture_logs() as logs:
            assert finish(made) == 0  # and it is not due again for a while
            assert made.slots_now(unique_id) == PENDING
            make_due(made)
            assert finish(made) == 1
        slots = made.slots_now(unique_id)
        assert (slots["indication"], slots["sub-indication"]) == ("INDETERMINATE", "GENERIC")
        events = [line["event"] for line in logs if line["event"] != "signature validation failed"]
        assert events == ["signature not validated; tried again", "signature validation given up"]
        assert "Kowalski" not in str(logs)
        assert rows(made, pending_signature) == 0

    def test_a_damaged_document_may_be_repaired(self, site: Any, tmp_path: Path) -> None:
        made, content = site(), sign()
        unique_id = provide(made, content)
        (blob,) = made.node.store.blobs()
        path = blob_path(tmp_path / "data" / "documents", blob.sha256)
        good = path.read_bytes()
        path.write_bytes(b"damage")
        assert finish(made) == 0
        assert made.slots_now(unique_id) == PENDING
        path.write_bytes(good)
        make_due(made)
        finish(made)
        assert made.slots_now(unique_id)["indication"] == "TOTAL_PASSED"

    def test_a_second_one_takes_what_is_not_held(self, site: Any) -> None:
        made, content = site(), sign()
        for _ in range(3):
            provide(made, content)
        database = made.node.database
        with database.write() as connection:
            first = pending_signatures.claim(connection, 2, 60_000)
            if not database.is_sqlite:  # where another writer would wait
                with database.write() as other:
                    assert len(pending_signatures.claim(other, 10, 60_000)) == 1
        assert len(first) == 2
        with database.write() as connection:
            left = pending_signatures.claim(connection, 10, 60_000)
            assert len(left) == (1 if database.is_sqlite else 0)

    def test_who_has_lost_it_changes_nothing(self, site: Any) -> None:
        made = site()
        unique_id = provide(made, sign())
        database = made.node.database
        with database.write() as connection:
            (lost,) = pending_signatures.claim(connection, 10, 0)
            (mine,) = pending_signatures.claim(connection, 10, 60_000)
            assert (lost.attempts, mine.attempts) == (1, 2)
            pending_signatures.settle(connection, NOW, [(lost, None)])
            pending_signatures.postpone(connection, lost, 0)
            pending_signatures.give_back(connection, lost)
            assert pending_signatures.claim(connection, 10, 0) == []
        assert made.slots_now(unique_id) == PENDING

    def test_one_that_was_tried_is_claimed_alone(self, site: Any) -> None:
        made, content = site(), sign()
        for _ in range(3):
            provide(made, content)
        with made.node.database.write() as connection:
            assert len(pending_signatures.claim(connection, 10, 0)) == 3
            assert [each.attempts for each in pending_signatures.claim(connection, 10, 60_000)] == [2]
            assert len(pending_signatures.claim(connection, 10, 60_000)) == 1

    def test_what_there_is_no_time_for_is_given_back(self, site: Any) -> None:
        made, content = site(), sign()
        for _ in range(2):
            provide(made, content)
        stop = threading.Event()
        stop.set()
        assert made.node.late_validation.step(10, stop) == (2, 0)
        with made.node.database.read() as connection:
            attempts = connection.execute(select(pending_signature.c.attempts)).scalars().all()
        assert attempts == [0, 0]
        assert finish(made) == 2

    def test_a_busy_database_is_asked_again(self, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_PAUSE_S", 0.01)
        made = site()
        unique_id = provide(made, sign())
        settle, busy = pending_signatures.settle, [True, True]

        def sometimes(*arguments: Any) -> None:
            if busy:
                busy.pop()
                raise TimeoutError("busy")
            settle(*arguments)

        monkeypatch.setattr(pending_signatures, "settle", sometimes)
        finish(made)
        assert made.slots_now(unique_id)["indication"] == "TOTAL_PASSED"
        provide(made, sign())
        busy.append(True)
        stop = threading.Event()
        monkeypatch.setattr(module, "_out_of_reach", lambda error: stop.set())
        with pytest.raises(TimeoutError):
            made.node.late_validation.step(10, stop)


def test_it_goes_on_when_the_database_does_not_answer(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made, stop, seen = site(), threading.Event(), []

    def step(self: LateValidation, most: int, stop: threading.Event) -> Step:
        seen.append(most)
        if len(seen) == 3:
            stop.set()
        if len(seen) == 1:
            raise TimeoutError("away")
        return Step()

    monkeypatch.setattr(module, "_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    monkeypatch.setattr(LateValidation, "step", step)
    with capture_logs() as logs:
        made.node.late_validation.work(stop)
    assert [line["event"] for line in logs] == ["signatures wait"]


def test_a_validator_that_hangs_ends_its_process() -> None:
    program = "import time; from msim_xds.repository.late_validation import ended_after\n"
    program += "with ended_after(5): pass\nwith ended_after(0.2): time.sleep(60)\n"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr


def test_a_document_that_kills_its_process_is_given_up_and_others_are_not(site: Any, tmp_path: Path) -> None:
    made = site(attempts=2, retry_s=1, time_s=4)
    content = sign()
    before = provide(made, content)
    poisonous = provide(made, sign(CDA.replace(b"<title>", b"<title>" + POISON)))
    after = provide(made, content)
    settings, failed = made.node.settings, threading.Event()
    with Companion("validation", "tests.test_repository.killing:run", settings, failed.set):
        deadline = time.monotonic() + 120
        while rows(made, pending_signature) and time.monotonic() < deadline:
            time.sleep(0.2)
    assert not failed.is_set()
    for good in (before, after):
        assert made.slots_now(good)["covers-document"] == "true"
    slots = made.slots_now(poisonous)
    assert (slots["indication"], slots["sub-indication"]) == ("INDETERMINATE", "GENERIC")
