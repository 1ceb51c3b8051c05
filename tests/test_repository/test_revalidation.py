"""Revalidation: after what is trusted has changed, queries show it; the submitted metadata stay."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from msim_xds.cli.main import app
from msim_xds.database.schema import registry_object, signature_result
from msim_xds.registry.revalidations import Run
from msim_xds.repository import revalidation as module
from msim_xds.repository.revalidation import Revalidation
from tests.support import metadata
from tests.support.authority import NOW
from tests.support.signing import CDA, Plan, Reference, sign, standalone
from tests.test_repository.stores import blob_path
from tests.test_repository.test_signing import DETACHED, Site, altered


@dataclass
class World:
    """A site that trusted nobody when documents came, and one that trusts their authority."""

    site: Callable[..., Site]

    def runs(self, site: Site) -> Revalidation:
        node = site.node
        own = node.settings.repository.unique_id
        return Revalidation(node.signing, node.store, node.index, node.database, own, lambda: NOW)


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[World]:
    opened: list[Site] = []

    def make(**signatures: Any) -> Site:
        opened.append(Site(tmp_path, database_url, **signatures))
        return opened[-1]

    yield World(make)
    for site in opened:
        site.node.close()


def silent(run: Run, total: int) -> None:
    assert run.entries <= total


def test_what_is_trusted_now_is_shown_and_nothing_else_changes(world: World) -> None:
    before, ids = world.site(trust=None), [metadata.new_oid() for _ in range(4)]
    before.submit(sign(), unique_id=ids[0])
    before.submit(altered(sign()), unique_id=ids[1])
    before.submit(CDA, unique_id=ids[2])
    detached = standalone(Plan(references=[Reference(f"urn:oid:{ids[2]}", (), octets=CDA)]))
    before.submit(detached, unique_id=ids[3], codes={"formatCode": DETACHED})
    assert before.slots(ids[0])["sub-indication"] == "NO_CERTIFICATE_CHAIN_FOUND"
    assert before.slots(ids[3])["sub-indication"] == "NO_CERTIFICATE_CHAIN_FOUND"
    with before.node.database.read() as connection:
        columns = select(registry_object.c.id, registry_object.c.fragment).order_by(registry_object.c.id)
        evidence = connection.execute(columns).all()

    after = world.site()
    runs = world.runs(after)
    run = runs.run(again=False, watch=silent)
    assert (run.entries, run.signed, run.changed, run.failed) == (4, 3, 2, 0)
    assert after.slots(ids[0])["indication"] == "TOTAL_PASSED"
    assert "sub-indication" not in after.slots(ids[0])
    assert after.slots(ids[1])["indication"] == "TOTAL_FAILED"
    assert after.slots(ids[2]) == {}
    assert after.slots(ids[3])["indication"] == "TOTAL_PASSED"
    # The server that runs meanwhile has the old texts on its shelf, and shows them no more.
    assert before.slots(ids[0])["indication"] == "TOTAL_PASSED"
    changes = list(runs.changes(run))
    assert [change.unique_id for change in changes] == [ids[0], ids[3]]
    assert changes[0].before is not None
    assert (changes[0].before.indication, changes[0].after.indication) == ("INDETERMINATE", "TOTAL_PASSED")
    with after.node.database.read() as connection:
        assert connection.execute(columns).all() == evidence
        assert connection.execute(select(func.count()).select_from(signature_result)).scalar_one() == 5
    again = runs.run(again=False, watch=silent)
    assert (again.id != run.id, again.changed) == (True, 0)


def test_an_interrupted_run_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)
    site = world.site(policy="ignore")
    for _ in range(5):
        site.submit(sign())
    runs = world.runs(world.site())

    class Killed(Exception):
        pass

    def kill(run: Run, total: int) -> None:
        assert total == 5
        if run.entries == 4:
            raise Killed

    with pytest.raises(Killed):
        runs.run(again=False, watch=kill)
    steps: list[int] = []
    run = runs.run(again=False, watch=lambda run, total: steps.append(run.entries))
    assert steps == [4, 5]
    assert (run.entries, run.changed) == (5, 5)
    assert {change.before for change in runs.changes(run)} == {None}
    assert len(list(runs.changes(run))) == 5
    anew = runs.run(again=True, watch=silent)
    assert (anew.entries, anew.changed) == (5, 0)


def test_policies_and_removed_documents_are_passed_over(world: World) -> None:
    site = world.site(policy="ignore")
    kept, removed = metadata.new_oid(), metadata.new_oid()
    site.submit(sign(), unique_id=kept)
    site.submit(sign(), unique_id=removed)
    with site.node.database.write() as connection:
        site.node.index.delete(connection, [removed])
    run = world.runs(site).run(again=False, watch=silent)
    assert (run.entries, run.signed) == (2, 0)
    only = world.site(policy="ignore", rules=[{"source_id": "1.2.3", "policy": "record"}])
    assert world.runs(only).run(again=True, watch=silent).signed == 0
    run = world.runs(world.site()).run(again=True, watch=silent)
    assert (run.signed, site.slots(kept)["indication"], site.slots(removed)) == (1, "TOTAL_PASSED", {})


def test_a_damaged_document_keeps_its_result_and_is_told_of(world: World, tmp_path: Path) -> None:
    site, unique_id = world.site(), metadata.new_oid()
    site.submit(sign(), unique_id=unique_id)
    (blob,) = site.node.store.blobs()
    blob_path(tmp_path / "data" / "documents", blob.sha256).write_bytes(b"damage")
    run = world.runs(site).run(again=False, watch=silent)
    assert (run.signed, run.failed, run.changed) == (1, 1, 0)
    assert site.slots(unique_id)["indication"] == "TOTAL_PASSED"


def test_command(world: World, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site = world.site(policy="ignore")
    site.submit(altered(sign()))
    monkeypatch.setenv("MSIM_DATABASE__URL", database_url)
    command = ["signatures", "revalidate", "--data", str(tmp_path / "data")]
    answer = CliRunner().invoke(app, [*command, "--json"])
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert (told["entries"], told["signed"], told["changed"], told["failed"]) == (1, 1, 1, 0)
    assert told["changes"] == [{"before": "-", "after": "TOTAL_FAILED HASH_FAILURE", "entries": 1}]
    (line,) = map(json.loads, Path(told["report"]).read_text().splitlines())
    assert (line["before"], line["after"]["indication"]) == (None, "TOTAL_FAILED")
    shown = CliRunner().invoke(app, [*command, "--again", "--report", str(tmp_path / "report")])
    assert "1 entries, 1 signed, 0 changed, 0 failed" in shown.output
    assert (tmp_path / "report").read_text() == ""
    (blob,) = site.node.store.blobs()
    blob_path(tmp_path / "data" / "documents", blob.sha256).write_bytes(b"damage")
    assert CliRunner().invoke(app, command).exit_code == 1
    shutil.rmtree(tmp_path / "data" / "signatures")
    elsewhere = CliRunner().invoke(app, command, env={"MSIM_REGISTRY__URL": "http://127.0.0.1:9/"})
    assert elsewhere.exit_code == 2
    assert "registry.url" in elsewhere.output
