"""ITI-62: a set of objects goes as a whole, or nothing does (ITI TF-2 3.62)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from msim_xds.database.engine import Database
from msim_xds.database.schema import registry_object
from msim_xds.findings import Refused
from msim_xds.ihe.names import ObjectKind
from msim_xds.registry.columns import APPROVED, DEPRECATED, SUPERSEDED
from msim_xds.registry.dependents import named
from msim_xds.registry.erasure import Remover
from tests.support.metadata import (
    APND,
    OTHER_PATIENT,
    PATIENT,
    RPLC,
    XFRM,
    association,
    document_entry,
    folder,
    new_oid,
    new_uuid,
    original,
    submission_set,
    submit_objects,
)
from tests.test_registry.removing import TABLES, Removing, remove_objects

CATEGORY = "urn:extpl:SlotName:StorageCategory"
SCOPE = "urn:oasis:names:tc:ebxml-regrep:DeletionScopeType:"
REFERENCE_LIST = "urn:ihe:iti:xds:2013:referenceIdList"


@pytest.fixture
def registry(database: Database) -> Removing:
    return Removing(database)


def test_a_whole_submission_goes_without_a_trace(registry: Removing) -> None:
    ids = registry.submission(
        "a",
        "b",
        folder_of="f",
        slots={REFERENCE_LIST: "1^^^&1.2.3&ISO^urn:ihe:iti:xds:2013:accession"},
    )
    assert set(registry.left()) == set(TABLES)
    registry.remove(*ids.values())
    assert registry.left() == {}
    rows = registry.removals()
    assert {row.entry_uuid for row in rows} == set(ids.values())
    assert {(row.transaction, row.patient, row.remover, row.removed_at) for row in rows} == {
        ("ITI-62", PATIENT, "10.0.0.7", "2026-09-14T12:00:00+00:00")
    }
    assert {row.override_reason for row in rows} == {None}
    kinds = [row.kind for row in rows]
    assert kinds.count(ObjectKind.STABLE_DOCUMENT_ENTRY) == 2
    assert kinds.count(ObjectKind.ASSOCIATION) == 7
    assert all((row.unique_id is None) == (row.kind == ObjectKind.ASSOCIATION) for row in rows)


def test_ids_may_come_twice_and_in_capitals(registry: Removing) -> None:
    ids = registry.submission("a")
    registry.remove(*ids.values(), *(each.upper().replace("URN:UUID", "urn:uuid") for each in ids.values()))
    assert registry.left() == {}


def test_deprecated_objects_are_removed_like_others(registry: Removing) -> None:
    ids = registry.submission("old")
    heir = registry.related(ids["old"], RPLC)
    assert not registry.is_approved(ids["old"])
    plan = registry.remove_all(heir)
    assert registry.object(ids["old"]).status == DEPRECATED  # stays replaced, though nothing replaces it now
    registry.remove(*ids.values())
    assert registry.left() == {}
    assert len(plan.things) == 4  # entry, set, HasMember, RPLC


def test_unknown_ids_are_unresolved(registry: Removing) -> None:
    ids = registry.submission("a")
    nobody, noid = new_uuid(), "Document01"
    findings = registry.not_removed(*ids.values(), nobody, noid)
    assert [(each.code, each.seen) for each in findings] == [
        ("UnresolvedReferenceException", nobody),
        ("UnresolvedReferenceException", noid),
    ]


def test_what_an_association_refers_to_stays_with_it(registry: Removing) -> None:
    ids = registry.submission("a")
    link = new_uuid()
    other = new_uuid()
    registry.register(
        submit_objects(
            submission_set(),
            document_entry(other),
            original(other),
            association(other, ids["a"], APND, id=link),
        )
    )
    (finding,) = registry.not_removed(*ids.values())
    assert (finding.code, finding.seen) == ("ReferencesExistException", link)
    assert ids["a"] in finding.place
    registry.remove(link)
    registry.remove(*ids.values())


def test_a_set_or_folder_does_not_go_alone(registry: Removing) -> None:
    ids = registry.submission("a", folder_of="f")
    assert set(registry.codes_of(ids["set"])) == {"ReferencesExistException"}
    assert set(registry.codes_of(ids["f"])) == {"ReferencesExistException"}
    # An Association that another one names is an object like others.
    assert registry.codes_of(ids["f_has_a"]) == ["ReferencesExistException"]


def test_an_association_between_removed_ones_is_named_once_for_each_end(registry: Removing) -> None:
    ids = registry.submission("a")
    findings = registry.not_removed(ids["set"], ids["a"])
    assert [each.code for each in findings] == ["ReferencesExistException"] * 2
    assert {each.seen for each in findings} == {ids["in_a"]}


def test_an_empty_set_does_not_stay(registry: Removing) -> None:
    ids = registry.submission("a")
    (finding,) = registry.not_removed(ids["a"], ids["in_a"])
    assert finding.code == "XDSUnreferencedObjectException"
    assert finding.place == f"SubmissionSet {ids['set']}"


def test_nothing_stays_outside_every_set(registry: Removing) -> None:
    ids = registry.submission("a", "b", folder_of="f")
    for kept in ("a", "f", "f_has_a"):
        membership = ids["set_has_f_has_a" if kept == "f_has_a" else f"in_{kept}"]
        (finding,) = registry.not_removed(membership)
        assert finding.code == "XDSUnreferencedObjectException"
        assert ids[kept] in finding.place
    (finding,) = (each for each in registry.not_removed(ids["set"], ids["in_a"]) if ids["a"] in each.place)
    assert finding.code == "XDSUnreferencedObjectException"


def test_one_of_two_sets_is_enough(registry: Removing) -> None:
    """An entry that another submission has by reference stays when its own submission goes."""
    ids = registry.submission("a")
    by_reference, link = new_uuid(), new_uuid()
    registry.register(
        submit_objects(
            submission_set(by_reference), association(by_reference, ids["a"], id=link, status="Reference")
        )
    )
    registry.remove(ids["set"], ids["in_a"])
    assert registry.codes_of(link) == ["XDSUnreferencedObjectException"] * 2  # the set as well
    registry.remove(ids["a"], link, by_reference)
    assert registry.left() == {}


def test_relationships_go_alone(registry: Removing) -> None:
    ids = registry.submission("a")
    links = {kind: new_uuid() for kind in (XFRM, APND, RPLC)}
    for kind, link in links.items():
        registry.register(
            submit_objects(
                submission_set(),
                document_entry(),
                original(),
                association("Document01", ids["a"], kind, id=link),
            )
        )
    registry.remove(*links.values())
    assert registry.left()["association"] == 4


def test_a_folder_that_loses_a_member_is_touched(registry: Removing) -> None:
    ids = registry.submission("a", "b", folder_of="f")
    assert registry.object(ids["f"]).last_update_time == "20260914120000"
    registry.now = datetime(2026, 9, 15, 8, tzinfo=UTC)
    registry.remove(ids["f_has_a"], ids["set_has_f_has_a"])
    row = registry.object(ids["f"])
    assert (row.last_update_time, row.time_low, row.status) == ("20260915080000", 20260915080000, APPROVED)
    registry.remove(ids["f_has_b"], ids["set_has_f_has_b"])  # an empty folder may stay


def test_unique_ids_are_free_when_nothing_has_them(registry: Removing) -> None:
    set_id, entry_id, folder_id = new_oid(), new_oid(), new_oid()

    def message(content: bytes) -> bytes:
        return submit_objects(
            submission_set(unique_id=set_id),
            document_entry(unique_id=entry_id, content=content),
            original(),
            folder(unique_id=folder_id),
            association("SubmissionSet01", "Folder01"),
        )

    first = message(b"hello")
    registry.register(first)
    assert "XDSNonIdenticalHash" in registry.codes(message(b"other"))
    registry.remove_all(entry_id, folder_id)
    assert registry.left() == {}
    # What was removed does not make a retry of what comes again: it is registered anew, and may be different.
    registry.register(first)
    assert registry.left()["registry_object"] == 3
    registry.remove_all(entry_id, folder_id)
    registry.register(message(b"other"))


def test_a_unique_id_stays_taken_while_another_entry_has_it(registry: Removing) -> None:
    unique_id = new_oid()
    mine = registry.submission("a", unique_id=unique_id)
    registry.submission("a", unique_id=unique_id, patient_id=OTHER_PATIENT)
    registry.remove(*mine.values())
    assert registry.codes(
        submit_objects(submission_set(), document_entry(unique_id=unique_id, content=b"other"), original())
    ) == ["XDSNonIdenticalHash"]


def version(registry: Removing, uuid: str, logical_id: str, number: int, status: int) -> None:
    """Make an entry a version of another, as an update does."""
    with registry.database.write() as connection:
        connection.execute(
            update(registry_object)
            .where(registry_object.c.entry_uuid == uuid)
            .values(logical_id=logical_id, version=number, status=status)
        )


def test_an_older_version_stops_being_superseded(registry: Removing) -> None:
    ids = [registry.submission("a") for _ in range(3)]
    first, second, third = (each["a"] for each in ids)
    version(registry, first, first, 1, SUPERSEDED)
    version(registry, second, first, 2, SUPERSEDED)
    version(registry, third, first, 3, APPROVED)
    registry.remove(*ids[0].values())
    assert [registry.object(each).status for each in (second, third)] == [SUPERSEDED, APPROVED]
    registry.remove(*ids[2].values())
    assert registry.object(second).status == DEPRECATED


def test_the_first_version_comes_to_light_again(registry: Removing) -> None:
    ids = [registry.submission("a") for _ in range(2)]
    version(registry, ids[0]["a"], ids[0]["a"], 1, SUPERSEDED)
    version(registry, ids[1]["a"], ids[0]["a"], 2, DEPRECATED)
    registry.remove(*ids[1].values())
    assert registry.object(ids[0]["a"]).status == DEPRECATED


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (remove_objects("x", more="<rim:AdhocQuery id='urn:uuid:1'/>"), "AdhocQuery"),
        (remove_objects("x", inside="<rim:Association id='y'/>"), "Association"),
        (remove_objects("x", inside="<other xmlns='urn:x'/>"), "{urn:x}other"),
        (remove_objects("x", lists=2), "more than once"),
        (remove_objects("x", lists=0), "there is none"),
        (remove_objects(), "there is none"),
        (remove_objects("x", " "), "is no id of an object"),
        (remove_objects("x" * 257), "is no id of an object"),
        (remove_objects(*map(str, range(6))), "too many"),
        (
            remove_objects(
                "x",
                attributes=f' deletionScope="{SCOPE}DeleteRepositoryItemOnly"',
            ),
            "deletionScope",
        ),
    ],
)
def test_other_requests_are_refused(database: Database, message: bytes, words: str) -> None:
    registry = Removing(database, limits={"objects": 5})
    findings = registry.not_removed(message=message)
    assert {each.code for each in findings} == {"XDSRegistryError"}
    assert any(words in each.text() for each in findings)
    assert all(each.place and each.allowed and each.source for each in findings)


def test_request_slots_are_ignored(registry: Removing) -> None:
    ids = registry.submission("a")
    slots = '<rs:RequestSlotList xmlns:rs="urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0"/>'
    scope = f' deletionScope="{SCOPE}DeleteAll"'
    registry.remove(message=remove_objects(*ids.values(), more=slots, attributes=scope))
    assert registry.left() == {}


def test_what_an_operator_names_takes_along_what_must_go(registry: Removing) -> None:
    ids = registry.submission("a", "b", folder_of="f")
    unique_id = registry.object(ids["a"]).unique_id
    rehearsed = registry.remove_all(unique_id, rehearse=True)
    gone = {ids[name] for name in ("a", "in_a", "f_has_a", "set_has_f_has_a")}
    assert {each.entry_uuid for each in rehearsed.things} == gone
    assert registry.object(ids["a"]).status == APPROVED
    assert registry.remove_all(unique_id) == rehearsed
    assert registry.remove_all(unique_id).things == ()
    registry.remove_all(ids["set"])  # and with a set, all that is in no other
    assert registry.left() == {}


def test_a_reason_is_remembered_and_opens_what_is_kept(registry: Removing) -> None:
    ids = registry.submission("a", slots={CATEGORY: "2046"})
    findings = registry.not_removed(*ids.values())
    assert [each.code for each in findings] == ["XDSRegistryError"]
    assert "2046-12-31" in findings[0].text()
    assert f"{CATEGORY} is 2046" in findings[0].text()
    with pytest.raises(Refused):
        registry.remove_all(ids["a"])
    plan = registry.remove_all(ids["a"], rehearse=True)
    assert (len(plan.early), plan.findings) == (1, ())
    registry.remove_all(ids["a"], reason="court order 12/26")
    assert registry.left() == {}
    rows = {row.entry_uuid: row for row in registry.removals()}
    assert rows[ids["a"]].keep_until == "2046-12-31"
    assert {row.override_reason for row in rows.values()} == {"court order 12/26"}
    assert {row.remover for row in rows.values()} == {"operator"}


def test_associations_alone_are_not_kept(registry: Removing) -> None:
    ids = registry.submission("a", folder_of="f", slots={CATEGORY: "2046"})
    registry.remove(ids["f_has_a"], ids["set_has_f_has_a"])


def test_what_comes_to_another_patient_meanwhile_is_left_for_later(registry: Removing) -> None:
    """As by a merge between the look at the patients and their locks; the second look decides."""
    mine, other = (registry.submission("a", patient_id=patient) for patient in (PATIENT, OTHER_PATIENT))
    looks = [[mine["a"]], [other["a"]]]
    with pytest.raises(TimeoutError, match="another patient"):
        registry.removal.remove(
            lambda connection: named(connection, looks.pop(0)), Remover("operator"), rehearse=True
        )
    assert registry.left()["registry_object"] == 4
