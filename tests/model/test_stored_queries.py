"""The SQL of stored queries against a reference model, over random registries, on both databases."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from lxml import etree
from sqlalchemy import update

from msim_xds.database.engine import allocate
from msim_xds.database.schema import association as association_table
from msim_xds.ihe.names import AssociationType, Status
from msim_xds.ihe.transactions import ITI_18, ITI_51
from msim_xds.metadata import fragments
from msim_xds.metadata.model import Association, Author, Code, DocumentEntry, Folder, SubmissionSet
from msim_xds.registry import merging, patients, records
from msim_xds.registry.columns import STATUS, SUPERSEDED, columns_of
from msim_xds.registry.drafts import AssociationDraft, ObjectDraft
from msim_xds.wire.view import View
from tests.model.reference import DE, FD, FIND, SS, Model, Parameters, at_level_2
from tests.support.metadata import APPROVED, DEPRECATED
from tests.support.queries import ALL_IDS, ON_DEMAND, STABLE, many, request
from tests.support.registry import Registry

BUDGET = settings(
    max_examples=50,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # each example is a patient of its own: no use in shrinking
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

TIMES = (
    "2020",
    "202012",
    "20201231",
    "2020123123",
    "20201231235959",
    "2021",
    "202101",
    "20210101",
    "2021010100",
)
PERSONS = ("1^Nowak^Anna", "1^nowak^Anna", "2^O'Reilly\\%_^Jan", "^Żółć")
PATTERNS = ("%", "%Nowak%", "_^%", "%\\%%", "%o%", "1^Nowak^Anna", "%Ż%", "%'%")
REFERENCES = ("1^^^&1.2&ISO^urn:x", "2^^^&1.2&ISO^urn:x", "1^^^&1.2&ISO^urn:y")
CODES = tuple(Code(code, scheme) for code in ("a", "b") for scheme in ("1.2", "1.3"))
OFFLINE = "urn:ihe:iti:2010:DocumentAvailability:Offline"
ONLINE = "urn:ihe:iti:2010:DocumentAvailability:Online"
INSTITUTIONS = ("Jeden^^^^^^^^^1.2.616.1", "Dwa^^^^^&1.2.616&ISO^^^^2", "Trzy")
RELATIONS = (AssociationType.APND, AssociationType.XFRM, AssociationType.RPLC)

code = st.sampled_from(CODES)
codes = st.lists(code, max_size=3, unique=True).map(tuple)
dtm = st.sampled_from(TIMES)
institutions = st.lists(st.sampled_from(INSTITUTIONS), max_size=2, unique=True).map(tuple)
author = st.tuples(st.sampled_from(PERSONS), institutions).map(lambda parts: Author(*parts))
authors = st.lists(author, max_size=2).map(tuple)


def _uuid() -> str:
    return f"urn:uuid:{uuid.uuid4()}"


class _Builder:
    """Draws a registry: objects of up to three patients, versions, memberships and relations."""

    def __init__(self, draw: Callable[..., Any]) -> None:
        self.draw = draw
        self.serial = uuid.uuid4().int
        people = draw(st.integers(1, 3))
        self.model = Model([f"{self.serial}{n}^^^&1.2.3&ISO" for n in range(people)])

    def common(self) -> dict[str, Any]:
        return {
            "entry_uuid": _uuid(),
            "patient_id": self.draw(st.sampled_from(self.model.patients)),
            "unique_id": f"1.{self.serial}.{self.draw(st.integers(1, 4))}",
        }

    def add(self, thing: Any) -> str:
        model = self.model
        model.objects[thing.entry_uuid] = replace(thing, logical_id=thing.entry_uuid)
        model.statuses[thing.entry_uuid] = self.draw(st.sampled_from([APPROVED, DEPRECATED]))
        return str(thing.entry_uuid)

    def entry(self) -> str:
        draw = self.draw
        kind = draw(st.sampled_from([STABLE, STABLE, ON_DEMAND]))
        return self.add(
            DocumentEntry(
                object_type=kind,
                class_code=draw(code),
                type_code=draw(code),
                format_code=draw(code),
                confidentiality_codes=draw(codes),
                event_codes=draw(codes),
                authors=draw(authors),
                creation_time=draw(dtm) if kind == STABLE else None,
                service_start_time=draw(st.none() | dtm),
                service_stop_time=draw(st.none() | dtm),
                reference_ids=draw(st.lists(st.sampled_from(REFERENCES), max_size=2, unique=True).map(tuple)),
                document_availability=draw(st.sampled_from([None, ONLINE, OFFLINE])),
                **self.common(),
            )
        )

    def submission_set(self) -> str:
        return self.add(
            SubmissionSet(
                authors=self.draw(authors),
                content_type_code=self.draw(code),
                source_id=self.draw(st.sampled_from(["1.2", "1.3"])),
                submission_time=self.draw(dtm),
                **self.common(),
            )
        )

    def folder(self) -> str:
        return self.add(Folder(codes=self.draw(codes), last_update_time=self.draw(dtm), **self.common()))

    def supersede(self, uuids: list[str]) -> None:
        """Make some of these the next versions of others before them."""
        model = self.model
        for position, later in enumerate(uuids[1:], 1):
            earlier = [u for u in uuids[:position] if u not in model.superseded]
            previous = self.draw(st.none() | st.sampled_from(earlier)) if earlier else None
            if previous is None:
                continue
            lid = model.objects[previous].logical_id
            model.objects[later] = replace(model.objects[later], logical_id=lid)
            model.versions[later] = model.versions.get(previous, 1) + 1
            model.superseded.add(previous)
            model.statuses[previous] = DEPRECATED

    def link(self, kind: str, sources: list[str], targets: list[str], most: int) -> list[str]:
        pairs = [(source, target) for source in sources for target in targets if source != target]
        if not pairs:
            return []
        chosen = self.draw(st.lists(st.sampled_from(pairs), max_size=most, unique=True))
        made = [Association(entry_uuid=_uuid(), type=kind, source=s, target=t) for s, t in chosen]
        self.model.links += made
        for association in made:
            status = self.draw(st.sampled_from([APPROVED, APPROVED, DEPRECATED]))
            self.model.statuses[association.entry_uuid] = status
        return [association.entry_uuid for association in made]


@st.composite
def models(draw: Callable[..., Any]) -> Model:
    """What a registry holds of one to three patients."""
    builder = _Builder(draw)
    entries = [builder.entry() for _ in range(draw(st.integers(1, 6)))]
    sets = [builder.submission_set() for _ in range(draw(st.integers(1, 2)))]
    folders = [builder.folder() for _ in range(draw(st.integers(0, 3)))]
    builder.supersede(entries)
    builder.supersede(folders)
    filed = builder.link(AssociationType.HAS_MEMBER, folders, entries, 6)
    builder.link(AssociationType.HAS_MEMBER, sets, [*entries, *folders, *filed], 10)
    for relation in RELATIONS:
        builder.link(relation, entries, entries, 2)
    return builder.model


def store(registry: Registry, model: Model) -> None:
    """Write the model's objects as they are, past the rules of registration."""
    with registry.database.write() as connection:
        keys = {cx: patients.add(connection, cx).id for cx in model.patients}
        names = [*model.objects, *(a.entry_uuid for a in model.links)]
        ids = dict(zip(names, allocate(connection, len(names)), strict=True))
        rows = records.Rows()
        for entry_uuid, thing in model.objects.items():
            columns = columns_of(thing, None)
            status = (
                SUPERSEDED if entry_uuid in model.superseded else STATUS[Status(model.statuses[entry_uuid])]
            )
            columns.row.update(status=status, version=model.versions.get(entry_uuid, 1))
            draft = ObjectDraft(columns, *registry.codec.pack(fragments.write(thing)))
            rows.add_objects(keys[thing.patient_id or ""], [(ids[entry_uuid], draft)])
        for link in model.links:
            made = AssociationDraft(link, *registry.codec.pack(fragments.write(link)))
            owner = keys[model.objects[link.source].patient_id or ""]
            rows.add_associations(owner, [(ids[link.entry_uuid], made)], ids)
        rows.insert(connection)
        outdated = [a.entry_uuid for a in model.links if model.statuses[a.entry_uuid] == DEPRECATED]
        connection.execute(
            update(association_table)
            .where(association_table.c.entry_uuid.in_(outdated))
            .values(status=STATUS[Status.DEPRECATED])
        )


def merge(registry: Registry, model: Model, subsumed: str, surviving: str) -> None:
    """Merge two patients, in the registry and in the model."""
    with registry.database.write() as connection:
        kept, gone = patients.lock(connection, surviving), patients.lock(connection, subsumed)
        assert kept is not None
        assert gone is not None
        merging.merge(connection, kept, gone, now="20260914120000")
    model.merged[subsumed] = surviving


def listed(*values: str) -> st.SearchStrategy[list[list[str]]]:
    """One slot with some of the values."""
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True).map(lambda group: [group])


def repeated(*values: str) -> st.SearchStrategy[list[list[str]]]:
    """Up to three slots, AND between them."""
    group = st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)
    return st.lists(group, min_size=1, max_size=3)


def single(*values: str) -> st.SearchStrategy[list[list[str]]]:
    return st.sampled_from(values).map(lambda value: [[value]])


SPELT = tuple(f"{c.code}^^{c.scheme}" for c in CODES)
STATUSES = listed(APPROVED, DEPRECATED)
LEVELS = {"$MetadataLevel": single("1", "2", "2")}
LINK_STATUS = {"$XDSAssociationStatus": listed(APPROVED, DEPRECATED)}
FILTERS = {
    f"{DE}FormatCode": listed(*SPELT),
    f"{DE}ConfidentialityCode": repeated(*SPELT),
    f"{DE}Type": listed(STABLE, ON_DEMAND),
}
FIND_DOCUMENTS = FILTERS | {
    f"{DE}ClassCode": listed(*SPELT),
    f"{DE}TypeCode": listed(*SPELT),
    f"{DE}EventCodeList": repeated(*SPELT),
    f"{DE}AuthorPerson": listed(*PATTERNS),
    f"{DE}DocumentAvailability": listed(ONLINE, OFFLINE),
    f"{DE}CreationTimeFrom": single(*TIMES),
    f"{DE}CreationTimeTo": single(*TIMES),
    f"{DE}ServiceStartTimeFrom": single(*TIMES),
    f"{DE}ServiceStopTimeTo": single(*TIMES),
}
REFERENCE_IDS = {f"{DE}ReferenceIdList": repeated("%", *REFERENCES, "1^%", "%urn:_")}
EXCLUDE = {f"{name}Exclude": FIND_DOCUMENTS[name] for name in (f"{DE}ClassCode", f"{DE}AuthorPerson")}
EXCLUDE |= {f"{DE}EventCodeListExclude": listed(*SPELT), f"{DE}DocumentAvailabilityExclude": listed(OFFLINE)}
FIND_FOLDERS = {
    f"{FD}CodeList": repeated(*SPELT),
    f"{FD}LastUpdateTimeFrom": single(*TIMES),
    f"{FD}LastUpdateTimeTo": single(*TIMES),
}
ENTRY_STATUS = {f"{DE}Status": STATUSES}
#: Parameters by query: required, optional.
QUERIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "FindDocuments": (ENTRY_STATUS, FIND_DOCUMENTS | LEVELS),
    "FindDocumentsByReferenceId": (ENTRY_STATUS | REFERENCE_IDS, FIND_DOCUMENTS | LEVELS),
    "FindDocumentsExclude": (
        ENTRY_STATUS,
        {name: value for name, value in FIND_DOCUMENTS.items() if f"{name}Exclude" not in EXCLUDE}
        | EXCLUDE
        | LEVELS,
    ),
    "FindSubmissionSets": (
        {f"{SS}Status": STATUSES},
        {
            f"{SS}SourceId": listed("1.2", "1.3"),
            f"{SS}SubmissionTimeFrom": single(*TIMES),
            f"{SS}SubmissionTimeTo": single(*TIMES),
            f"{SS}AuthorPerson": single(*PATTERNS),
            f"{SS}ContentType": listed(*SPELT),
        },
    ),
    "FindFolders": ({f"{FD}Status": STATUSES}, FIND_FOLDERS | LEVELS),
    "GetAll": ({f"{stem}Status": STATUSES for stem in (DE, SS, FD)}, FILTERS | LEVELS | LINK_STATUS),
    "GetDocuments": ({}, LEVELS),
    "GetFolders": ({}, LEVELS),
    "GetAssociations": ({}, LEVELS | LINK_STATUS),
    "GetDocumentsAndAssociations": ({}, LEVELS | LINK_STATUS),
    "GetSubmissionSets": ({}, LEVELS),
    "GetFolderAndContents": ({}, FILTERS | LEVELS | LINK_STATUS),
    "GetSubmissionSetAndContents": ({}, FILTERS | LEVELS),
    "GetFoldersForDocument": ({}, LEVELS | LINK_STATUS),
    "GetRelatedDocuments": (
        {"$AssociationTypes": listed(*RELATIONS)},
        {f"{DE}Type": FILTERS[f"{DE}Type"]} | LEVELS | LINK_STATUS,
    ),
}
#: The same of ITI-51. Without a patient, what is asked for instead.
MULTIPLE = {
    "FindDocumentsForMultiplePatients": (QUERIES["FindDocuments"], f"{DE}ClassCode"),
    "FindFoldersForMultiplePatients": (QUERIES["FindFolders"], f"{FD}CodeList"),
    "FindDocumentsByReferenceIdForMultiplePatients": (QUERIES["FindDocumentsByReferenceId"], None),
}
#: Of which kind the objects are that a query begins with, what names them, and whether by a list.
BEGINNINGS: dict[str, tuple[Any, str, bool]] = {
    "GetDocuments": (DocumentEntry, DE, True),
    "GetFolders": (Folder, FD, True),
    "GetDocumentsAndAssociations": (DocumentEntry, DE, True),
    "GetFoldersForDocument": (DocumentEntry, DE, False),
    "GetFolderAndContents": (Folder, FD, False),
    "GetSubmissionSetAndContents": (SubmissionSet, SS, False),
    "GetRelatedDocuments": (DocumentEntry, DE, False),
}


def parameters(draw: Callable[..., Any], name: str, model: Model) -> Parameters | None:
    """Random parameters of a query about the model; None where it has no object to begin with."""
    (required, optional), instead = MULTIPLE[name] if name in MULTIPLE else (QUERIES[name], None)
    query = {key: draw(values) for key, values in required.items()}
    some = draw(st.lists(st.sampled_from(sorted(optional)), max_size=4, unique=True))
    query |= {key: draw(optional[key]) for key in some}
    if name in BEGINNINGS:
        return _beginning(draw, name, model, query)
    if name in ("GetSubmissionSets", "GetAssociations"):
        uuids = [*model.objects, *(a.entry_uuid for a in model.links)]
        query["$uuid"] = [draw(st.lists(st.sampled_from(uuids), min_size=1, max_size=3, unique=True))]
        return query
    asked = st.sampled_from([*model.patients, "nobody^^^&1.2.3&ISO"])
    key = FIND[name][1] if name in FIND else "$patientId"
    if name in MULTIPLE:
        several = draw(st.lists(asked, max_size=3))
        query |= {key: [several]} if several else {}
        if not several and instead is not None:
            query[instead] = draw(optional[instead])
        return query
    query[key] = [[draw(asked)]]
    return query


def _beginning(draw: Callable[..., Any], name: str, model: Model, query: dict[str, Any]) -> Parameters | None:
    kind, stem, several = BEGINNINGS[name]
    candidates = [thing for thing in model.objects.values() if isinstance(thing, kind)]
    if not candidates:
        return None
    attributes = {"EntryUUID": "entry_uuid", "UniqueId": "unique_id"}
    if name in ("GetDocuments", "GetFolders") and at_level_2(query):
        attributes["LogicalID"] = "logical_id"
    suffix = draw(st.sampled_from(sorted(attributes)))
    values = sorted({str(getattr(thing, attributes[suffix])) for thing in candidates})
    most = 3 if several else 1
    query[stem + suffix] = [draw(st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True))]
    return query


@pytest.fixture
def registry(database_url: str) -> Iterator[Registry]:
    with Registry(database_url, search={"preview": True}) as ready:
        yield ready


def test_the_model_is_complete() -> None:
    """Its status texts are the product's, or the tests would be empty; and it knows every query."""
    assert {APPROVED, DEPRECATED} == {status.value for status in Status}
    assert QUERIES.keys() | MULTIPLE.keys() == ALL_IDS.keys()


@BUDGET
@given(data=st.data(), model=models())
def test_answers_are_those_of_the_model(registry: Registry, data: st.DataObject, model: Model) -> None:
    store(registry, model)
    ask_everything(registry, data.draw, model)
    for position in range(len(model.patients) - 1, 0, -1):
        if data.draw(st.booleans()):
            surviving = data.draw(st.sampled_from(model.patients[:position]))
            merge(registry, model, model.patients[position], surviving)
    if model.merged:
        ask_everything(registry, data.draw, model)


def ask_everything(
    registry: Registry,
    draw: Callable[..., Any],
    model: Model,
    view: View | None = None,
    shown: Model | None = None,
) -> None:
    """Each query twice, with parameters of its own; of a view the answers are those of what it shows."""
    stored, model = model, shown or model
    for name in [*QUERIES, *MULTIPLE] * 2:
        query = parameters(draw, name, stored)
        if query is None:
            continue
        slots = [(key, many(*group)) for key, groups in query.items() for group in groups]
        expected = sorted(model.answer(name, query))
        transaction = ITI_51 if name in MULTIPLE else ITI_18
        references = registry.ask(request(name, slots, returns="ObjectRef"), transaction, view)
        assert _of(stored, references.ids) == expected, (name, query)
        if model.is_refused(name, expected):
            assert registry.refusal(request(name, slots), view=view).code == "XDSResultNotSinglePatient", (
                name,
                query,
            )
            continue
        leaves = registry.ask(request(name, slots), transaction, view)
        assert _of(stored, leaves.ids) == expected, (name, query)
        for element in leaves.objects:
            check_shown(model, element)


def _of(model: Model, ids: list[str]) -> list[str]:
    """Those that are of this model: a query without a patient finds also what other examples have left."""
    return [uuid for uuid in ids if uuid in model.statuses]


def check_shown(model: Model, element: etree._Element) -> None:
    """That an object is shown with its status, its version, and the patient whom it belongs to now."""
    entry_uuid = element.get("id", "")
    if entry_uuid not in model.statuses:
        return
    assert element.get("status") == model.statuses[entry_uuid]
    if entry_uuid in model.objects:
        assert element.get("lid") == model.objects[entry_uuid].logical_id
        assert element.xpath("*[*/*[contains(@value, '.patientId')]]/@value") == [model.owner(entry_uuid)]
