"""Random registries, drawn as models, and written or merged in a real one as in the model."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from sqlalchemy import update

from msim_xds.database.engine import allocate
from msim_xds.database.schema import association as association_table
from msim_xds.ihe.names import AssociationType, Status
from msim_xds.metadata import fragments
from msim_xds.metadata.model import Association, Author, Code, DocumentEntry, Folder, SubmissionSet
from msim_xds.registry import merging, patients, records
from msim_xds.registry.columns import STATUS, SUPERSEDED, columns_of
from msim_xds.registry.drafts import AssociationDraft, ObjectDraft
from tests.model.reference import Model
from tests.support.metadata import APPROVED, DEPRECATED, ON_DEMAND, STABLE
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
SPELT = tuple(f"{c.code}^^{c.scheme}" for c in CODES)
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
