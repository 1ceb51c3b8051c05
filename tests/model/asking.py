"""Every stored query with random parameters: the answers must be those of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from lxml import etree

from msim_xds.ihe.transactions import ITI_18, ITI_51
from msim_xds.metadata.model import DocumentEntry, Folder, SubmissionSet
from msim_xds.wire.view import View
from tests.model.reference import DE, FD, FIND, SS, Model, Parameters, at_level_2
from tests.model.registries import OFFLINE, ONLINE, PATTERNS, REFERENCES, RELATIONS, SPELT, TIMES
from tests.support.metadata import APPROVED, DEPRECATED, ON_DEMAND, STABLE
from tests.support.queries import many, request
from tests.support.registry import Registry


def listed(*values: str) -> st.SearchStrategy[list[list[str]]]:
    """One slot with some of the values."""
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True).map(lambda group: [group])


def repeated(*values: str) -> st.SearchStrategy[list[list[str]]]:
    """Up to three slots, AND between them."""
    group = st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)
    return st.lists(group, min_size=1, max_size=3)


def single(*values: str) -> st.SearchStrategy[list[list[str]]]:
    return st.sampled_from(values).map(lambda value: [[value]])


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
