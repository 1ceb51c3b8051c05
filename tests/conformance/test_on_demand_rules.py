"""ITI-61: what it takes and what it refuses, row by row (ITI TF-2 3.61); what queries show of it (3.18)."""

# ruff: noqa: E501 - a table: one row, one line

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.node import FAILURE, SUCCESS, Node, Outcome
from tests.conformance.world import RPLC, World, held, member
from tests.support.metadata import (
    APND,
    APPROVED,
    ON_DEMAND,
    OTHER_PATIENT,
    PATIENT,
    SNAPSHOT,
    STABLE,
    association,
    document_entry,
    folder,
    new_oid,
    new_uuid,
    on_demand_entry,
    original,
    submission_set,
    submit_objects,
)
from tests.support.queries import many, one

SET = "SubmissionSet01"
METADATA = (FAILURE, "XDSRegistryMetadataError")
DONE = (SUCCESS,)


def of(*objects: str, patient: str = PATIENT) -> bytes:
    return submit_objects(submission_set(patient_id=patient), *objects)


def odde(*more: str, **options: object) -> bytes:
    return of(on_demand_entry(**options), original(), *more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> World:
    return World(Node(tmp_path_factory.mktemp("node"), module_database_url))


Row = tuple[str, Callable[[World], bytes], tuple[str, ...]]

ROWS: list[Row] = [
    ("an on-demand entry", lambda w: odde(), DONE),
    ("two of them", lambda w: of(on_demand_entry("a"), on_demand_entry("b"), original("a"), original("b")), DONE),
    ("in a new folder", lambda w: odde(folder(), held(), member("Folder01", "Document01")), DONE),
    ("in a registered folder", lambda w: odde(member(w.folder, "Document01")), DONE),
    ("with legalAuthenticator", lambda w: odde(slots={"legalAuthenticator": "^Nowak^Jan"}), DONE),
    ("with creationTime", lambda w: odde(slots={"creationTime": "2026"}), METADATA),
    ("with hash", lambda w: odde(slots={"hash": "da39a3ee5e6b4b0d3255bfef95601890afd80709"}), METADATA),
    ("with size", lambda w: odde(slots={"size": "0"}), METADATA),
    ("without repositoryUniqueId", lambda w: odde(repository=None), METADATA),
    ("without mimeType", lambda w: odde(mime_type=None), METADATA),
    ("without typeCode", lambda w: odde(codes={"typeCode": None}), METADATA),
    ("a stable entry", lambda w: of(document_entry(), original()), METADATA),
    ("a stable entry beside it", lambda w: odde(document_entry("b"), original("b")), METADATA),
    ("the uniqueId of a stable entry", lambda w: odde(unique_id=w.unique_id), METADATA),
    ("the uniqueId of a folder", lambda w: odde(unique_id=w.folder_unique_id), METADATA),
    ("replacing a stable entry of another patient", lambda w: odde(association("Document01", w.foreign, RPLC)), (FAILURE, "XDSPatientIdDoesNotMatch")),
    ("replacing an outdated entry", lambda w: odde(association("Document01", w.outdated, RPLC)), (FAILURE, "XDSRegistryDeprecatedDocumentError")),
    ("replacing nothing", lambda w: odde(association("Document01", new_uuid(), RPLC)), (FAILURE, "UnresolvedReferenceException")),
    ("appending to a stable entry", lambda w: odde(association("Document01", w.approved, APND)), DONE),
    ("as a snapshot", lambda w: odde(association("Document01", w.approved, SNAPSHOT)), METADATA),
    ("another patient in the SubmissionSet", lambda w: of(on_demand_entry(), original(), patient=OTHER_PATIENT), (FAILURE, "XDSPatientIdDoesNotMatch")),
    ("the SubmissionSet's uniqueId in use", lambda w: submit_objects(submission_set(unique_id=w.set_unique_id), on_demand_entry(), original()), (FAILURE, "XDSDuplicateUniqueIdInRegistry")),
]  # fmt: skip


@pytest.mark.parametrize(("build", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_registration(world: World, build: Callable[[World], bytes], expected: tuple[str, ...]) -> None:
    before = len(world.node.everything().objects)
    outcome = world.node.register_on_demand(build(world))
    assert outcome.short == expected, outcome.texts
    assert outcome.root.find(".//{*}Action").text == "urn:ihe:iti:2010:RegisterOnDemandDocumentResponse"  # type: ignore[union-attr]
    if expected != DONE:
        assert len(world.node.everything().objects) == before


def test_refusals_say_what_is_wrong(world: World) -> None:
    texts = world.node.register_on_demand(odde(slots={"hash": "0" * 40}, unique_id=world.unique_id)).texts
    assert "hash: is not for an on-demand entry" in texts
    texts = world.node.register_on_demand(odde(unique_id=world.unique_id)).texts
    assert "already used by a stable DocumentEntry" in texts


def test_a_unique_id_is_of_on_demand_entries_or_of_a_stable_one(world: World) -> None:
    unique_id = new_oid()
    assert world.node.register_on_demand(odde(unique_id=unique_id)).short == DONE
    assert world.node.register_on_demand(odde(unique_id=unique_id)).short == DONE
    stable = of(document_entry(unique_id=unique_id), original())
    assert world.node.register(stable).short == METADATA


def test_a_retry_changes_nothing(world: World) -> None:
    message = odde()
    assert world.node.register_on_demand(message).short == DONE
    before = world.node.everything().ids
    assert world.node.register_on_demand(message).short == DONE
    assert world.node.everything().ids == before


def test_iti_42_does_not_take_it(world: World) -> None:
    assert world.node.register(odde()).short == METADATA


@pytest.mark.parametrize("by_on_demand", [True, False])
@pytest.mark.parametrize("of_on_demand", [True, False])
def test_replacement_of_either_by_either(world: World, by_on_demand: bool, of_on_demand: bool) -> None:
    old, new = new_uuid(), new_uuid()
    for on_demand, id, more in ((of_on_demand, old, ()), (by_on_demand, new, (association(new, old, RPLC),))):
        entry = (on_demand_entry if on_demand else document_entry)(id)
        register = world.node.register_on_demand if on_demand else world.node.register
        outcome = register(of(entry, original(id), *more))
        assert outcome.short == DONE, outcome.texts
    assert world.node.statuses(old, new) == ["Deprecated", "Approved"]


def test_a_snapshot_of_it(world: World) -> None:
    target, snapshot = new_uuid(), new_uuid()
    assert world.node.register_on_demand(of(on_demand_entry(target), original(target))).short == DONE
    link = association(snapshot, target, SNAPSHOT)
    assert world.node.register(of(document_entry(snapshot), original(snapshot), link)).short == DONE
    related = world.node.get(
        "GetRelatedDocuments",
        ("$XDSDocumentEntryEntryUUID", one(target)),
        ("$AssociationTypes", many(SNAPSHOT)),
        ("$XDSDocumentEntryType", many(STABLE, ON_DEMAND)),
    )
    assert related.kinds == {"Association": 1, "ExtrinsicObject": 2}
    assert world.node.statuses(target, snapshot) == ["Approved", "Approved"]


class TestQueries:
    @pytest.fixture
    def found(self, world: World, tmp_path: Path) -> Callable[..., list[str]]:
        node = Node(tmp_path)
        stable, on_demand = "urn:uuid:" + "0" * 8 + "-0000-4000-8000-" + "1" * 12, new_uuid()
        assert node.register(of(document_entry(stable), original(stable))).short == DONE
        assert node.register_on_demand(of(on_demand_entry(on_demand), original(on_demand))).short == DONE
        names = {stable: "stable", on_demand: "on-demand"}

        def ask(*types: str, **more: str) -> list[str]:
            parameters = [
                ("$XDSDocumentEntryPatientId", one(PATIENT)),
                ("$XDSDocumentEntryStatus", many(APPROVED)),
            ]
            if types:
                parameters.append(("$XDSDocumentEntryType", many(*types)))
            parameters += [(f"$XDSDocumentEntry{name}", value) for name, value in more.items()]
            return sorted(names[each] for each in node.get("FindDocuments", *parameters).ids)

        return ask

    def test_only_where_they_are_named(self, found: Callable[..., list[str]]) -> None:
        assert found() == ["stable"]
        assert found(STABLE) == ["stable"]
        assert found(ON_DEMAND) == ["on-demand"]
        assert found(ON_DEMAND, STABLE) == ["on-demand", "stable"]

    def test_creation_time_does_not_restrict_them(self, found: Callable[..., list[str]]) -> None:
        assert found(ON_DEMAND, STABLE, CreationTimeFrom="20400101") == ["on-demand"]

    def test_answers_have_no_content_attributes(self, world: World) -> None:
        uuid = new_uuid()
        assert world.node.register_on_demand(of(on_demand_entry(uuid), original(uuid))).short == DONE
        (entry,) = world.node.get("GetDocuments", ("$XDSDocumentEntryEntryUUID", many(uuid))).objects
        slots = {each.get("name") for each in entry.iterchildren("{*}Slot")}
        assert not slots & {"creationTime", "hash", "size"}
        assert (entry.get("objectType"), entry.get("lid")) == (ON_DEMAND, uuid)


@pytest.mark.parametrize(
    ("update", "slots"),
    [(Node.update_restricted, {}), (Node.update, {}), (Node.update, {"AssociationPropagation": "no"})],
)
def test_its_metadata_may_be_updated(
    tmp_path: Path, update: Callable[[Node, bytes], Outcome], slots: dict[str, str], database_url: str
) -> None:
    """The new version has no hash either, and the snapshot of the old one keeps none from being made."""
    node = Node(tmp_path, database_url, on_demand={"persist": True})
    first, second, unique_id = new_uuid(), new_uuid(), new_oid()

    def entry(id: str, **options: Any) -> str:
        summary = ("60591-5", "2.16.840.1.113883.6.1", "Patient summary Document")
        return on_demand_entry(id, unique_id=unique_id, codes={"typeCode": summary}, **options)

    assert node.register_on_demand(of(entry(first), original(first))).short == DONE
    before = node.retrieve(unique_id)
    annotated = association(SET, second, status="Original", slots={"PreviousVersion": "1", **slots})
    version = entry(second, comments="poprawka", attributes=f' lid="{first}"')
    outcome = update(node, of(version, annotated))
    assert outcome.short == DONE, outcome.texts
    for _ in range(2):
        after = node.retrieve(unique_id)
        assert after.short == DONE, after.texts
        assert after.documents == before.documents
