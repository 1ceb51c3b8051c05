"""Limits, policies and settings of stored queries; plans and errors of their statements."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError

from msim_xds.database.among import given
from msim_xds.database.driver import fetch, run
from msim_xds.database.engine import Database
from msim_xds.database.schema import patient, registry_object
from msim_xds.ihe.queries import QUERIES
from msim_xds.registry.compile import Dialect, Scope, Shape, association_statement, object_statement
from msim_xds.settings import DatabaseSettings
from tests.support.metadata import (
    OTHER_PATIENT,
    PATIENT,
    association,
    document_entry,
    folder,
    new_uuid,
    original,
    submission_set,
)
from tests.support.queries import find_documents, many, one, request
from tests.support.registry import Registry

DE = "$XDSDocumentEntry"
HOME = "urn:oid:1.2.616.1"


def submit(registry: Registry, **options: Any) -> str:
    entry = new_uuid()
    registry.submit(submission_set(), document_entry(entry, **options), original(entry))
    return entry


class TestLimits:
    @pytest.fixture
    def registry(self, database_url: str) -> Iterator[Registry]:
        with Registry(database_url, limits={"query_results": 3, "query_references": 4}) as ready:
            yield ready

    def test_find(self, registry: Registry) -> None:
        for _ in range(3):
            submit(registry)
        assert len(registry.ask(find_documents()).ids) == 3
        submit(registry)
        finding = registry.refusal(find_documents(("$XDSDocumentEntryCreationTimeFrom", "2020")))
        assert finding.code == "XDSTooManyResults"
        assert "$XDSDocumentEntryClassCode" in finding.allowed
        assert "CreationTimeTo" in finding.allowed
        assert "CreationTimeFrom" not in finding.allowed
        assert "ObjectRef" in finding.allowed
        assert len(registry.ask(find_documents(returns="ObjectRef")).ids) == 4
        submit(registry)
        assert registry.refusal(find_documents(returns="ObjectRef")).code == "XDSTooManyResults"

    def test_objects_of_all_kinds_count_together(self, registry: Registry) -> None:
        first, second = new_uuid(), new_uuid()
        registry.submit(submission_set(), document_entry(first), original(first))
        ids = [(f"{DE}EntryUUID", many(first))]
        assert len(registry.ask(request("GetDocumentsAndAssociations", ids)).ids) == 2
        registry.submit(
            submission_set(), document_entry(second), original(second), folder(),
            association("SubmissionSet01", "Folder01"),
            association("Folder01", second, id=(link := new_uuid())),
            association("SubmissionSet01", link),
        )  # fmt: skip
        both = [(f"{DE}EntryUUID", many(first, second))]
        finding = registry.refusal(request("GetDocumentsAndAssociations", both))
        assert finding.code == "XDSTooManyResults"


class TestSettings:
    def test_unknown_patient_as_an_error(self, database_url: str) -> None:
        with Registry(database_url, search={"unknown_patient": "error"}) as registry:
            finding = registry.refusal(find_documents())
            assert (finding.code, finding.code_context) == ("XDSUnknownPatientId", PATIENT)
            submit(registry)
            assert len(registry.ask(find_documents()).ids) == 1
            nothing = find_documents((f"{DE}ClassCode", many("x^^y")))
            assert registry.ask(nothing).ids == []

    def test_home_community_id(self, database_url: str) -> None:
        with Registry(database_url, registry={"home_community_id": HOME}) as registry:
            entry = submit(registry)
            for returns in ("LeafClass", "ObjectRef"):
                message = request(
                    "GetDocumentsAndAssociations", [(f"{DE}EntryUUID", many(entry))], returns=returns
                )
                assert [e.get("home") for e in registry.ask(message).objects] == [HOME, HOME]

    def test_the_objects_own_home_goes_before(self, database_url: str) -> None:
        with Registry(database_url, registry={"home_community_id": HOME}) as registry:
            submit(registry, attributes=' home="urn:oid:1.2.3"')
            for returns in ("LeafClass", "ObjectRef"):
                (found,) = registry.ask(find_documents(returns=returns)).objects
                assert found.get("home") == "urn:oid:1.2.3"

    def test_folded_authors(self, database_url: str) -> None:
        with Registry(database_url, search={"fold_authors": True}) as registry:
            entry = submit(registry, authors=("1^Żółć^Łucja",))
            for pattern in ("%zolc%", "%ŻÓŁĆ^łucja", "%Żo\u0301łć%", "1^____^%"):
                assert registry.ask(find_documents((f"{DE}AuthorPerson", many(pattern)))).ids == [entry]
            assert registry.ask(find_documents((f"{DE}AuthorPerson", many("%zolta%")))).ids == []

    def test_code_spellings(self, database_url: str) -> None:
        def expand(code: str) -> tuple[str, ...]:
            return (code, code.replace("Kody ŁOINC", "1.2.3"))

        with Registry(database_url, expand) as registry:
            entry = submit(
                registry, codes={"classCode": ("a", "1.2.3", "a"), "eventCodeList": ("b", "1.2.3", "b")}
            )
            for name, code in (("ClassCode", "a"), ("EventCodeList", "b")):
                parameter = (DE + name, many(f"{code}^^Kody ŁOINC"))
                assert registry.ask(find_documents(parameter)).ids == [entry]

    def test_times_of_a_source_in_local_time_are_found_in_utc(self, database_url: str) -> None:
        validation = {
            "profile": "pl",
            "local_time_sources": ["2.16.840.1.113883.3.4424.2.7.99999"],
        }
        with Registry(database_url, validation=validation) as registry:
            entry = submit(registry, slots={"creationTime": "20260701010000"})
            hour = [(f"{DE}CreationTimeFrom", "2026063023"), (f"{DE}CreationTimeTo", "2026063023")]
            assert registry.ask(find_documents(*hour)).ids == [entry]


def test_a_composite_answer_is_of_one_moment(database_url: str) -> None:
    """A submission that lands while an answer is collected is in it wholly or not at all."""
    with Registry(database_url) as registry:
        entry = submit(registry)
        base = [("$patientId", one(PATIENT))]
        base += [
            (f"$XDS{name}Status", many("urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"))
            for name in ("DocumentEntry", "SubmissionSet", "Folder")
        ]
        stop = threading.Event()

        def keep_submitting() -> None:
            while not stop.is_set():
                submit(registry)

        thread = threading.Thread(target=keep_submitting)
        thread.start()
        try:
            for _ in range(30):
                found = registry.ask(request("GetAll", base))
                entries, sets = found.of("ExtrinsicObject"), found.of("RegistryPackage")
                assert len(entries) == len(sets) == len(found.of("Association"))
        finally:
            stop.set()
            thread.join()
        assert entry in found.ids


class TestStatements:
    def test_find_documents_uses_the_patients_index(self, sqlite_url: str) -> None:
        row = next(row for row in QUERIES.values() if row.name == "FindDocuments")
        names = ("PatientId", "CreationTimeFrom", "CreationTimeTo", "HealthcareFacilityTypeCode")
        params = tuple((DE + name, 1) for name in names)
        shape = Shape(Scope.CRITERIA, True, kinds=(1,), statuses=(1,), query=row.id, params=params)
        statement = object_statement(Dialect(True, False), shape)
        binds = {"p0_0": 1, "p1_0_low": 0, "p2_0_low": 0, "p2_0_high": 1, "p3_0": "[]", "limit": 9}
        with Registry(sqlite_url) as registry, registry.database.read() as connection:
            (first, *_) = fetch(connection, f"EXPLAIN QUERY PLAN {statement}", binds)
        assert "ix_registry_object_patient (patient_id=? AND kind=? AND status=? AND time_low<?)" in first[3]

    @pytest.mark.parametrize("scope", [s for s in Scope if s.value <= Scope.ENDS.value])
    def test_object_statements_never_scan(self, sqlite_url: str, scope: Scope) -> None:
        params = (f"{DE}EntryUUID", 1)
        row = next(row for row in QUERIES.values() if row.name == "GetDocuments")
        shape = Shape(scope, True, kinds=(1, 2), query=row.id, params=(params,))
        assert_no_scan(sqlite_url, object_statement(Dialect(True, False), shape))

    @pytest.mark.parametrize("latest", [True, False])
    @pytest.mark.parametrize("scope", [s for s in Scope if s.value > Scope.ENDS.value])
    def test_association_statements_never_scan(self, sqlite_url: str, scope: Scope, latest: bool) -> None:
        shape = Shape(scope, True, (1,) if latest else (), latest, kinds=(1, 2))
        assert_no_scan(sqlite_url, association_statement(Dialect(True, False), shape))

    def test_versions_are_found_by_two_indexes(self, database_url: str) -> None:
        plan = explain(database_url, "GetDocuments", f"{DE}LogicalID")
        for index in ("uq_registry_object_version", ENTRY_UUID_INDEX[database_url.partition(":")[0]]):
            assert any(index in step for step in plan), plan

    def test_several_patients_are_found_by_their_index(self, database_url: str) -> None:
        plan = explain(database_url, "FindDocumentsForMultiplePatients", f"{DE}PatientId")
        assert any("ix_registry_object_patient" in step for step in plan), plan

    def test_the_text_does_not_depend_on_the_values(self, sqlite_url: str) -> None:
        with Registry(sqlite_url) as registry:
            submit(registry)
            registry.ask(find_documents((f"{DE}ClassCode", many("a^^b"))))
            before = object_statement.cache_info().misses
            registry.ask(find_documents((f"{DE}ClassCode", many("c^^d", "e^^f")), patient=OTHER_PATIENT))
            registry.ask(find_documents((f"{DE}ClassCode", many(*[f"{n}^^f" for n in range(999)]))))
            assert object_statement.cache_info().misses == before


#: What the databases call the index behind a unique entryUUID.
ENTRY_UUID_INDEX = {
    "sqlite": "sqlite_autoindex_registry_object_1",
    "postgresql+psycopg": "uq_registry_object_entry_uuid",
}


def explain(url: str, query: str, parameter: str) -> list[str]:
    """The plan for a query with one parameter in a registry that has some thousand entries."""
    row = next(row for row in QUERIES.values() if row.name == query)
    statuses, value = ((1,), 1) if "Find" in query else ((), "urn:uuid:1")
    shape = Shape(Scope.CRITERIA, True, kinds=(1,), statuses=statuses, query=row.id, params=((parameter, 1),))
    with Registry(url) as registry:
        fill(registry.database, 5000)
        is_sqlite = registry.database.is_sqlite
        statement = object_statement(Dialect(is_sqlite, False), shape)
        with registry.database.read() as connection:
            listed: list[Any] = [value, value]
            values = {"p0_0": given(connection, listed), "limit": 10001}
            if is_sqlite:
                plan = fetch(connection, f"EXPLAIN QUERY PLAN {statement}", values)
                assert not any(step[3].startswith("SCAN registry_object") for step in plan)
                return [step[3] for step in plan]
            return [step for (step,) in fetch(connection, f"EXPLAIN {statement}", values)]


def fill(database: Database, count: int) -> None:
    """Entries of a thousand patients, each tenth with a second version."""
    columns = {"kind": 1, "unique_id": "1", "dictionary_id": 0, "fragment": b""}
    rows = [
        columns
        | {
            "id": 1000 + n,
            "patient_id": 1 + n % 1000,
            "status": 3 if n % 10 == 0 else 1,
            "entry_uuid": f"urn:uuid:{n}",
            "logical_id": f"urn:uuid:{n - 1 if n % 10 == 1 else n}",
            "version": 2 if n % 10 == 1 else 1,
        }
        for n in range(count)
    ]
    people = [{"id": n, "cx": f"{n}^^^&1.2&ISO", "announced": False} for n in range(1, 1001)]
    with database.write() as connection:
        connection.execute(insert(patient), people)
        connection.execute(insert(registry_object), rows)
    with database.read() as connection:
        run(connection, "ANALYZE")


def assert_no_scan(url: str, statement: str) -> None:
    """SQLite looks rows of our tables up in an index; it goes through list parameters only."""
    names = ("p0_0", "given", "targets", "holders", "types")
    binds: dict[str, Any] = {**dict.fromkeys(names, "[]"), "limit": 9}
    with Registry(url) as registry, registry.database.read() as connection:
        plan = [row[3] for row in fetch(connection, f"EXPLAIN QUERY PLAN {statement}", binds)]
    assert [step for step in plan if step.startswith("SCAN") and "VIRTUAL TABLE" not in step] == []


class TestFetch:
    def test_errors_are_those_of_sqlalchemy(self, database_url: str) -> None:
        database = Database(database_url, DatabaseSettings())
        with database.read() as connection:
            with pytest.raises(DBAPIError):
                fetch(connection, "SELECT * FROM nowhere", {})
            assert fetch(connection, "SELECT 1, NULL", {}) == [(1, None)]
        database.close()

    @pytest.mark.postgres
    def test_a_statement_time_out(self, postgres_url: str) -> None:
        database = Database(postgres_url, DatabaseSettings(statement_timeout_s=0.05))
        with database.read() as connection:
            with pytest.raises(TimeoutError):
                fetch(connection, "SELECT pg_sleep(5)", {})
            assert fetch(connection, "SELECT 1", {}) == [(1,)]
        database.close()

    @pytest.mark.postgres
    def test_a_lost_connection_is_thrown_away(self, postgres_url: str) -> None:
        database = Database(postgres_url, DatabaseSettings(pool_size=1))
        with database.read() as connection, pytest.raises(TimeoutError):
            fetch(connection, "SELECT pg_terminate_backend(pg_backend_pid())", {})
        with database.read() as connection:
            assert fetch(connection, "SELECT 1", {}) == [(1,)]
        database.close()
