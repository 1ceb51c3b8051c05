"""The SQL of stored queries against a reference model, over random registries, on both databases."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from msim_xds.database.engine import allocate
from msim_xds.ihe.names import AssociationType, Status
from msim_xds.metadata import fragments
from msim_xds.metadata.model import Association, Author, Code, DocumentEntry, Folder, SubmissionSet
from msim_xds.registry import patients, records
from msim_xds.registry.columns import DEPRECATED as DEPRECATED_NUMBER
from msim_xds.registry.columns import columns_of
from msim_xds.registry.drafts import AssociationDraft, ObjectDraft
from tests.model.reference import DE, FD, FIND, SS, Model, Parameters
from tests.support.metadata import APPROVED, DEPRECATED
from tests.support.queries import ON_DEMAND, STABLE, many, request
from tests.support.registry import Registry

BUDGET = settings(
    max_examples=60,
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
RELATIONS = (AssociationType.APND, AssociationType.XFRM, AssociationType.RPLC)

code = st.sampled_from(CODES)
codes = st.lists(code, max_size=3, unique=True).map(tuple)
dtm = st.sampled_from(TIMES)
authors = st.lists(st.sampled_from(PERSONS).map(lambda p: Author(person=p)), max_size=2).map(tuple)


def _uuid() -> str:
    return f"urn:uuid:{uuid.uuid4()}"


@st.composite
def models(draw: Callable[..., Any]) -> Model:
    """A patient's objects with random attributes, memberships and relations."""
    model = Model(f"{uuid.uuid4().hex}^^^&1.2.3&ISO")

    def add(thing: Any) -> str:
        model.objects[thing.entry_uuid] = replace(thing, logical_id=thing.entry_uuid)
        model.statuses[thing.entry_uuid] = draw(st.sampled_from([APPROVED, DEPRECATED]))
        return str(thing.entry_uuid)

    common: dict[str, Any] = {"patient_id": model.patient, "unique_id": "1.2"}
    entries = []
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from([STABLE, STABLE, ON_DEMAND]))
        entry = DocumentEntry(
            entry_uuid=_uuid(),
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
            **common,
        )
        entries.append(add(entry))
    sets = [
        add(
            SubmissionSet(
                entry_uuid=_uuid(),
                authors=draw(authors),
                content_type_code=draw(code),
                source_id=draw(st.sampled_from(["1.2", "1.3"])),
                submission_time=draw(dtm),
                **common,
            )
        )
        for _ in range(draw(st.integers(1, 2)))
    ]
    folders = [
        add(Folder(entry_uuid=_uuid(), codes=draw(codes), last_update_time=draw(dtm), **common))
        for _ in range(draw(st.integers(0, 2)))
    ]

    def link(kind: str, sources: list[str], targets: list[str], most: int) -> list[str]:
        pairs = [(source, target) for source in sources for target in targets if source != target]
        chosen = draw(st.lists(st.sampled_from(pairs), max_size=most, unique=True)) if pairs else []
        made = [Association(entry_uuid=_uuid(), type=kind, source=s, target=t) for s, t in chosen]
        model.links += made
        return [association.entry_uuid for association in made]

    filed = link(AssociationType.HAS_MEMBER, folders, entries, 6)
    link(AssociationType.HAS_MEMBER, sets, [*entries, *folders, *filed], 10)
    for relation in RELATIONS:
        link(relation, entries, entries, 2)
    return model


def store(registry: Registry, model: Model) -> None:
    """Write the model's objects as they are, past the rules of registration."""
    objects = [
        ObjectDraft(columns_of(thing, None), *registry.codec.pack(fragments.write(thing)))
        for thing in model.objects.values()
    ]
    links = [AssociationDraft(a, *registry.codec.pack(fragments.write(a))) for a in model.links]
    with registry.database.write() as connection:
        patient = patients.add(connection, model.patient).id
        ids = list(allocate(connection, len(objects) + len(links)))
        names = [*model.objects, *(a.entry_uuid for a in model.links)]
        keys = dict(zip(names, ids, strict=True))
        records.add_objects(connection, patient, zip(ids, objects, strict=False))
        numbered = list(zip(ids[len(objects) :], links, strict=True))
        records.add_associations(connection, patient, numbered, keys)
        records.deprecate(connection, [keys[u] for u, s in model.statuses.items() if s == DEPRECATED])


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
#: Parameters by query: required, optional.
QUERIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "FindDocuments": ({f"{DE}Status": STATUSES}, FIND_DOCUMENTS),
    "FindDocumentsByReferenceId": ({f"{DE}Status": STATUSES, **REFERENCE_IDS}, FIND_DOCUMENTS),
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
    "FindFolders": (
        {f"{FD}Status": STATUSES},
        {
            f"{FD}CodeList": repeated(*SPELT),
            f"{FD}LastUpdateTimeFrom": single(*TIMES),
            f"{FD}LastUpdateTimeTo": single(*TIMES),
        },
    ),
    "GetAll": ({f"{stem}Status": STATUSES for stem in (DE, SS, FD)}, FILTERS),
    "GetSubmissionSets": ({}, {}),
    "GetFolderAndContents": ({}, FILTERS),
    "GetSubmissionSetAndContents": ({}, FILTERS),
    "GetRelatedDocuments": (
        {"$AssociationTypes": listed(*RELATIONS)},
        {f"{DE}Type": FILTERS[f"{DE}Type"]},
    ),
}
#: Of which kind the object is that a query begins with, and the parameter that names it.
BEGINNINGS = {
    "GetFolderAndContents": (Folder, f"{FD}EntryUUID"),
    "GetSubmissionSetAndContents": (SubmissionSet, f"{SS}EntryUUID"),
    "GetRelatedDocuments": (DocumentEntry, f"{DE}EntryUUID"),
    "GetSubmissionSets": (DocumentEntry | Folder, "$uuid"),
}


def parameters(draw: Callable[..., Any], name: str, model: Model) -> Parameters | None:
    """Random parameters of a query about the model; None where it has no object to begin with."""
    required, optional = QUERIES[name]
    query = {key: draw(values) for key, values in required.items()}
    some = draw(st.lists(st.sampled_from(sorted(optional)), max_size=4, unique=True)) if optional else []
    query |= {key: draw(optional[key]) for key in some}
    if name in BEGINNINGS:
        kind, key = BEGINNINGS[name]
        candidates = [u for u, thing in model.objects.items() if isinstance(thing, kind)]
        if not candidates:
            return None
        most = 3 if key == "$uuid" else 1
        query[key] = [draw(st.lists(st.sampled_from(candidates), min_size=1, max_size=most, unique=True))]
    else:
        query[FIND[name][1] if name in FIND else "$patientId"] = [[model.patient]]
    return query


@pytest.fixture
def registry(database_url: str) -> Iterator[Registry]:
    with Registry(database_url) as ready:
        yield ready


def test_the_model_is_complete() -> None:
    """Status texts of the model are those of the product, or every test below would be empty."""
    assert {APPROVED, DEPRECATED} == {status.value for status in Status}
    assert DEPRECATED_NUMBER == 2


@BUDGET
@given(data=st.data(), model=models())
def test_answers_are_those_of_the_model(registry: Registry, data: st.DataObject, model: Model) -> None:
    store(registry, model)
    for name in QUERIES:
        for _ in range(3):
            query = parameters(data.draw, name, model)
            if query is None:
                continue
            slots = [(key, many(*group)) for key, groups in query.items() for group in groups]
            expected = sorted(model.answer(name, query))
            for returns in ("LeafClass", "ObjectRef"):
                found = registry.ask(request(name, slots, returns=returns))
                assert found.ids == expected, (name, query)
