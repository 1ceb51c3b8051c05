"""ITI-86: documents go all together or not at all, and their octets with the last of them (ITI TF-2 3.86)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import delete

from msim_xds.database.schema import stored_document
from msim_xds.findings import Refused
from msim_xds.registry.erasure import Remover
from msim_xds.registry.removal import everything
from msim_xds.repository.scrub import ProblemKind
from tests.support.metadata import OTHER_PATIENT, REPOSITORY, new_oid
from tests.test_repository.messages import wanted
from tests.test_repository.removing import Removing, remove_documents, removing

CATEGORY = "urn:extpl:SlotName:StorageCategory"


@pytest.fixture
def repository(database_url: str, tmp_path: Path) -> Iterator[Removing]:
    with removing(tmp_path, database_url) as opened:
        yield opened


def test_documents_go_and_are_on_record(repository: Removing) -> None:
    first, second, third = (repository.submit(content) for content in (b"1", b"2", b"3"))
    repository.remove(first, second, first)
    assert repository.rows() == {third}
    assert len(repository.files()) == 1
    assert repository.retrieval(first) == (["XDSDocumentUniqueIdError"], [])
    assert repository.retrieval(third) == ([], [b"3"])
    assert sorted(
        (row.transaction, row.unique_id, row.remover, row.kind, row.override_reason)
        for row in repository.removals()
    ) == sorted(("ITI-86", each, "10.0.0.7", None, None) for each in (first, second))


def test_octets_stay_while_another_document_has_them(repository: Removing) -> None:
    one, other = repository.submit(b"same"), repository.submit(b"same")
    repository.remove(one)
    assert repository.retrieval(other) == ([], [b"same"])
    repository.remove(other)
    assert repository.files() == set()


def test_every_entry_loses_the_document_they_share(repository: Removing) -> None:
    unique_id = repository.submit()
    repository.submit(unique_id=unique_id, patient_id=OTHER_PATIENT)
    repository.remove(unique_id)
    assert (repository.rows(), repository.files()) == (set(), set())
    assert repository.fsck().problems == ()


def test_one_that_cannot_go_keeps_all(repository: Removing) -> None:
    here, unknown = repository.submit(), new_oid()
    findings = repository.not_removed(here, unknown)
    assert [(each.code, each.seen, each.location) for each in findings] == [
        ("XDSDocumentUniqueIdError", unknown, unknown)
    ]
    message = remove_documents(wanted(REPOSITORY, here), wanted("1.2.3", here))
    (finding,) = repository.not_removed(message=message)
    assert (finding.code, finding.seen, finding.allowed) == ("XDSUnknownRepositoryId", "1.2.3", REPOSITORY)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (remove_documents(), "DocumentRequest: is missing"),
        (remove_documents(wanted(REPOSITORY, None)), "DocumentRequest 1, DocumentUniqueId: is missing"),
        (remove_documents(wanted(None, "1.2.3")), "RepositoryUniqueId: is missing"),
        (remove_documents(wanted(REPOSITORY, "1" * 5000)), "is too long"),
        (remove_documents(*[wanted(REPOSITORY, "1.2")] * 201), "too many documents"),
        (remove_documents(wanted(REPOSITORY, "1.2"), inside="<rmd:All/>"), "is no part of this request"),
    ],
)
def test_bad_requests(repository: Removing, message: bytes, words: str) -> None:
    (finding,) = repository.not_removed(message=message)
    assert finding.code == "XDSRepositoryError"
    assert words in finding.text()


def test_nothing_goes_before_its_time(database_url: str, tmp_path: Path) -> None:
    with removing(tmp_path, database_url, update={"retention_years": 20}) as repository:
        kept = repository.submit(slots={CATEGORY: "2046"})
        made = repository.submit(b"other", slots={"creationTime": "2006"})
        over = repository.submit(b"another", slots={CATEGORY: "2025"})
        findings = repository.not_removed(kept, made, over)
        assert {each.code for each in findings} == {"XDSRemoveDocumentsError"}
        assert {each.code_context for each in findings} == {kept, made}
        texts = " ".join(each.error_location for each in findings)
        assert "until 2046-12-31, since urn:extpl:SlotName:StorageCategory is 2046" in texts
        assert "until 2026-12-31, since 2006 and update.retention_years = 20" in texts
        repository.remove(over)
        (row,) = repository.removals()
        assert row.keep_until == "2025-12-31"


def test_an_operator_gives_a_reason(repository: Removing) -> None:
    unique_id = repository.submit(slots={CATEGORY: "2046"})
    removal = repository.node.document_removal
    plan = removal.remove(removal.wanted([unique_id]), Remover("jan"), rehearse=True)
    assert (len(plan.documents), len(plan.early), repository.rows()) == (1, 1, {unique_id})
    removal.remove(removal.wanted([unique_id]), Remover("jan", "sent by mistake"))
    (row,) = repository.removals()
    assert (row.keep_until, row.override_reason, row.remover) == ("2046-12-31", "sent by mistake", "jan")


def test_what_the_metadata_no_longer_keeps_goes(repository: Removing) -> None:
    unique_id = repository.submit(slots={CATEGORY: "2046"})
    repository.node.removal.remove(everything([unique_id]), Remover("jan", "a reason"))
    repository.remove(unique_id)
    assert repository.files() == set()


@pytest.mark.parametrize(("years", "refused"), [(0, False), (1, True)])
def test_with_a_registry_elsewhere_the_time_of_storage_counts(
    database_url: str, tmp_path: Path, years: int, refused: bool
) -> None:
    """Its entries are not here, so the slots are not known."""
    with removing(tmp_path, database_url) as node:
        unique_id = node.submit(slots={CATEGORY: "2020"})
        node.node.removal.remove(everything([unique_id]), Remover("the registry moved"))
    settings: dict[str, Any] = {
        "update": {"retention_years": years},
        "registry": {"url": "http://127.0.0.1:9/"},
    }
    with removing(tmp_path, database_url, **settings) as repository:
        if refused:
            (finding,) = repository.not_removed(unique_id)
            assert "until 2027-12-31, since 2026 and update.retention_years = 1" in finding.text()
        else:
            repository.remove(unique_id)


def test_a_removed_document_is_no_damage(repository: Removing) -> None:
    removed, lost = repository.submit(b"1"), repository.submit(b"2")
    repository.remove(removed)
    assert repository.fsck().is_sound
    with repository.node.database.write() as connection:
        connection.execute(delete(stored_document).where(stored_document.c.unique_id == lost))
    assert repository.fsck().counts[ProblemKind.DIFFERENT] == 1
    # A removal explains only entries that were there: one registered later must have its document.
    repository.submit(b"1", unique_id=removed)
    assert repository.retrieval(removed) == ([], [b"1"])
    with repository.node.database.write() as connection:
        connection.execute(delete(stored_document).where(stored_document.c.unique_id == removed))
    assert repository.fsck().counts[ProblemKind.DIFFERENT] == 2


def test_a_store_that_fails_leaves_orphans_only(
    repository: Removing, monkeypatch: pytest.MonkeyPatch
) -> None:
    unique_id = repository.submit()

    def broken(sha256: str) -> None:
        raise OSError("store is away")

    monkeypatch.setattr(repository.node.store, "delete", broken)
    with structlog.testing.capture_logs() as logs:
        repository.remove(unique_id)
    assert [(each["log_level"], each["error"]) for each in logs] == [("error", "store is away")]
    assert repository.retrieval(unique_id) == (["XDSDocumentUniqueIdError"], [])
    assert set(repository.fsck().counts) == {ProblemKind.ORPHAN}


def test_submissions_of_the_same_content_never_lose_it(repository: Removing) -> None:
    """Each finds its octets in place, or is told to come again; a removal in between takes no row's blob."""
    stop = threading.Event()
    outcomes: list[str] = []

    def submit() -> None:
        while not stop.is_set():
            try:
                outcomes.append(repository.submit(b"popular"))
            except Refused as refused:
                outcomes.extend(each.code for each in refused.findings)

    submitters = [threading.Thread(target=submit) for _ in range(3)]
    for thread in submitters:
        thread.start()
    for _ in range(40):
        documents = sorted(repository.rows())
        if documents:
            repository.remove(*documents)
    stop.set()
    for thread in submitters:
        thread.join()
    assert {each for each in outcomes if not each[0].isdigit()} <= {"XDSRepositoryBusy"}
    assert repository.fsck().is_sound
    for unique_id in repository.rows():
        assert repository.retrieval(unique_id) == ([], [b"popular"])
