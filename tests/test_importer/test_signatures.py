"""Signatures of imported documents: which of them wait for their validation, and what it comes to."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from msim_xds.app import open_node, open_services
from msim_xds.database.engine import Database
from msim_xds.database.schema import pending_signature, registry_object
from msim_xds.importer.desk import Desk, Order
from msim_xds.importer.plan import make_plan
from msim_xds.importer.running import begin
from msim_xds.settings import Settings
from msim_xds.signature_settings import SignatureRule, SignatureSettings
from tests.support.metadata import SOURCE, document_entry, new_oid, original, submission_set, submit_objects
from tests.support.signing import CDA, sign
from tests.test_importer.archives import (
    counts,
    entries,
    everything,
    imported,
    pair,
    put,
    slot,
    unique_id,
    version,
    write_manifest,
)
from tests.test_repository.test_signing import altered

INDICATION = "urn:msim:signature:indication"
OTHER_FORMAT = ("urn:other", "1.2.3", "Other")


def under(settings: Settings, **signatures: Any) -> Settings:
    """The settings with this section ``signatures``."""
    return settings.model_copy(update={"signatures": SignatureSettings(**signatures)})


def archive(source: Path, contents: Mapping[str, bytes], **options: Any) -> Path:
    """A manifest of documents by their uniqueIds; options go to their entries."""
    for number, (name, content) in enumerate(contents.items()):
        put(source, f"{number}.xml", pair(content, name, **options)[0])
        put(source, f"{number}.doc", content)
    return write_manifest(source, [version(number) for number in range(len(contents))])


def waiting(settings: Settings) -> list[str]:
    """uniqueIds of the documents that wait; each row is the one that its entry shows."""
    database = Database(settings.database_url, settings.database)
    try:
        with database.read() as connection:
            rows = connection.execute(select(pending_signature.c.id, pending_signature.c.unique_id)).all()
            shown = connection.execute(
                select(registry_object.c.signature_id, registry_object.c.unique_id).where(
                    registry_object.c.signature_id.is_not(None)
                )
            ).all()
    finally:
        database.close()
    assert sorted(map(tuple, rows)) == sorted(map(tuple, shown))
    return sorted(name for _, name in rows)


def indications(settings: Settings) -> dict[str, str | None]:
    """What queries show of each document's signatures."""
    found = (each for each in everything(settings).values() if each.tag.endswith("ExtrinsicObject"))
    return {unique_id(each): slot(each, INDICATION) for each in found}


def validate(settings: Settings) -> int:
    """Do what the server's companion does; how many documents it has settled."""
    node = open_node(settings)
    try:
        return node.late_validation.finish(threading.Event())
    finally:
        node.close()


def test_what_may_be_signed_waits_and_is_validated(settings: Settings, source: Path) -> None:
    signed, broken, plain = new_oid(), new_oid(), new_oid()
    path = archive(source, {signed: sign(), plain: CDA, broken: altered(sign())})
    assert counts(imported(settings, path)) == (3, 0, 0)
    assert waiting(settings) == sorted([signed, broken])
    assert indications(settings) == {signed: "PENDING", plain: None, broken: "PENDING"}
    assert validate(settings) == 2
    assert indications(settings) == {signed: "INDETERMINATE", plain: None, broken: "TOTAL_FAILED"}


@pytest.mark.parametrize("policy", ["warn", "reject"])
def test_no_policy_refuses_what_was_accepted_elsewhere(settings: Settings, source: Path, policy: str) -> None:
    settings, broken = under(settings, policy=policy), new_oid()
    summary = imported(settings, archive(source, {broken: altered(sign())}))
    assert (counts(summary), Path(summary.progress.report).read_text()) == ((1, 0, 0), "")
    assert waiting(settings) == [broken]
    validate(settings)
    assert indications(settings) == {broken: "TOTAL_FAILED"}


@pytest.mark.parametrize(
    "fits",
    [
        {"source_id": SOURCE},
        {"format_code": f"{OTHER_FORMAT[0]}^^{OTHER_FORMAT[1]}"},
        {"class_code": "clinical"},
        {"mime_type": "application/xml"},
    ],
)
def test_the_table_of_policies_decides(settings: Settings, source: Path, fits: dict[str, str]) -> None:
    options: dict[str, Any] = {
        "mime_type": "application/xml",
        "codes": {"formatCode": OTHER_FORMAT, "classCode": ("clinical", "1.2.3", "Clinical")},
    }
    path = archive(source, {(name := new_oid()): sign()}, **options)
    not_here = SignatureRule(source_id="1.2.3.4", mime_type="application/xml", policy="record")
    ignored = (not_here, SignatureRule(**fits, policy="ignore"))
    imported(under(settings, rules=ignored), path)
    assert waiting(settings) == []
    recorded = (SignatureRule(**fits, policy="record"),)
    assert counts(imported(under(settings, policy="ignore", rules=recorded), path, again=True)) == (0, 1, 0)
    assert waiting(settings) == []  # as after a retry of ITI-41: what is registered stays as it is
    put(source, "0.xml", pair(sign(), (another := new_oid()), **options)[0])
    imported(under(settings, policy="ignore", rules=recorded), path, again=True)
    assert waiting(settings) == [another]
    assert entries(settings).keys() == {name, another}


def test_nothing_waits_where_signatures_are_off(settings: Settings, source: Path) -> None:
    settings = under(settings, policy="ignore")
    imported(settings, archive(source, {(name := new_oid()): sign()}))
    assert waiting(settings) == []
    assert indications(settings) == {name: None}


def test_the_same_again_waits_once(settings: Settings, source: Path) -> None:
    path = archive(source, {(name := new_oid()): sign()})
    imported(settings, path)
    assert counts(imported(settings, path, again=True)) == (0, 1, 0)
    assert waiting(settings) == [name]
    validate(settings)
    assert counts(imported(settings, path, again=True)) == (0, 1, 0)
    assert validate(settings) == 0


def test_a_refused_submission_leaves_nothing_waiting(settings: Settings, source: Path) -> None:
    good, bad = new_oid(), new_oid()
    path = archive(source, {good: sign(), bad: sign()})
    (source / "1.doc").write_bytes(altered(sign()))  # not the hash that the metadata give
    assert counts(imported(settings, path)) == (1, 0, 1)
    assert waiting(settings) == [good]


def test_documents_that_replace_others_wait_like_any(settings: Settings, source: Path) -> None:
    first, second = new_oid(), new_oid()
    archive(source, {first: sign(), second: altered(sign())})
    path = write_manifest(source, [version(0), version(1, replaces=[first])])
    assert counts(imported(settings, path)) == (2, 0, 0)
    assert waiting(settings) == sorted([first, second])
    assert entries(settings) == {first: "Deprecated", second: "Approved"}


def test_several_documents_of_a_submission(settings: Settings, source: Path) -> None:
    names = [new_oid() for _ in range(3)]
    contents = [sign(), CDA, altered(sign())]
    ids = [f"Document{number}" for number in range(3)]
    rows = list(zip(ids, names, contents, strict=True))
    objects = (document_entry(each, unique_id=name, content=octets) for each, name, octets in rows)
    put(source, "0.xml", submit_objects(submission_set(), *objects, *map(original, ids)))
    for each, _, octets in rows:
        put(source, f"{each}.doc", octets)
    documents = [{"path": f"{each}.doc", "id": each} for each in ids]
    path = write_manifest(source, [{"metadata": "0.xml", "documents": documents}])
    assert counts(imported(settings, path)) == (1, 0, 0)
    assert waiting(settings) == sorted([names[0], names[2]])


def test_documents_that_are_registered_one_by_one_wait_once(settings: Settings, source: Path) -> None:
    """An orphan that is just removed has the whole batch rolled back and taken one by one."""
    names = [new_oid() for _ in range(3)]
    lost = altered(sign())
    path = archive(source, dict(zip(names, [sign(), lost, sign()], strict=True)))
    services = open_services(settings)
    order = Order(path, settings.data / "report.jsonl")
    plan = make_plan(path)
    begin(services, order, plan, again=False)
    desk = Desk(services, order)
    prepared = desk.prepare(list(plan.tasks(0)))
    (part,) = prepared[1].composed.parts.values()
    services.store.delete(part.sha256)
    progress = desk.register(prepared)
    desk.close()
    services.close()
    assert (progress.imported, progress.refused) == (2, 1)
    assert waiting(settings) == sorted([names[0], names[2]])
