"""importer.running and crew: an import goes on where it was, whatever ended it, and equals ITI-41."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from msim_xds.app import open_node, open_services
from msim_xds.database.engine import Database
from msim_xds.importer import running
from msim_xds.importer.crew import OpenServices, WorkerLost
from msim_xds.importer.desk import Order, Services
from msim_xds.importer.progress import Progress
from msim_xds.repository import scrub
from msim_xds.settings import Settings
from tests.support.metadata import REPOSITORY
from tests.support.signing import DS
from tests.test_importer.archives import (
    codes,
    counts,
    entries,
    imported,
    pair,
    remarks,
    settings_of,
    write_manifest,
)

PATIENTS = [f"{number}^^^&1.2.3.4&ISO" for number in range(40)]


def archive(folder: Path, count: int, refused: frozenset[int] = frozenset()) -> Path:
    """A manifest of so many submissions; those of ``refused`` have another hash than their document.

    Every third document may be signed.
    """
    folder.mkdir()
    lines = []
    for number in range(count):
        content = b'<n m="%s">%d</n>' % (b"" if number % 3 else DS.encode(), number)
        metadata, _ = pair(content, patient_id=PATIENTS[number % len(PATIENTS)])
        (folder / f"{number}.xml").write_bytes(metadata)
        (folder / f"{number}.doc").write_bytes(b"other" if number in refused else content)
        lines.append({"metadata": f"{number}.xml", "documents": [{"path": f"{number}.doc"}]})
    return write_manifest(folder, lines)


# --- going on ---------------------------------------------------------------------------------------


def test_finished_is_finished(settings: Settings, tmp_path: Path) -> None:
    source = archive(tmp_path / "source", 5, frozenset({2}))
    first = imported(settings, source)
    assert (counts(first), first.resumed) == ((4, 0, 1), 0)
    second = imported(settings, source)
    assert (counts(second), second.resumed) == ((4, 0, 1), 5)
    assert codes(second).keys() == {"manifest.jsonl:3"}
    (source.parent / "2.doc").write_bytes(b'<n m="">2</n>')
    assert counts(imported(settings, source, again=True)) == (1, 4, 0)


def test_a_source_that_has_changed_begins_again(settings: Settings, tmp_path: Path) -> None:
    source = archive(tmp_path / "source", 3)
    imported(settings, source)
    content = b"<more/>"
    (source.parent / "more.xml").write_bytes(pair(content, patient_id=PATIENTS[0])[0])
    (source.parent / "more.doc").write_bytes(content)
    with source.open("a") as manifest:
        manifest.write('{"metadata": "more.xml", "documents": [{"path": "more.doc"}]}\n')
    summary = imported(settings, source)
    assert (counts(summary), summary.resumed) == ((1, 3, 0), 0)


def test_a_report_that_was_removed_is_missed(settings: Settings, tmp_path: Path) -> None:
    source = archive(tmp_path / "source", 3, frozenset({0}))
    summary = imported(settings, source)
    Path(summary.progress.report).unlink()
    with pytest.raises(ValueError, match="--again starts over"):
        imported(settings, source)
    assert counts(imported(settings, source, again=True)) == (0, 2, 1)


class Stopped(Exception):
    """The test has seen enough."""


def interrupted_after(settings: Settings, source: Path, position: int) -> None:
    def watch(progress: Progress, total: int) -> None:
        if progress.position >= position:
            raise Stopped

    order = Order(source, settings.data / "report.jsonl")
    with pytest.raises(Stopped):
        running.run(settings, order, open_services, 1, watch=watch)


def test_an_interrupted_import_goes_on(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "BATCH", 4)
    source = archive(tmp_path / "source", 18, frozenset({1, 5, 13}))
    interrupted_after(settings, source, 8)
    report = settings.data / "report.jsonl"
    report.write_bytes(report.read_bytes() + b'{"name": "half a rem')  # a crash between report and commit
    summary = imported(settings, source)
    assert (counts(summary), summary.resumed) == ((15, 0, 3), 8)
    assert list(codes(summary)) == ["manifest.jsonl:2", "manifest.jsonl:6", "manifest.jsonl:14"]


# --- worker processes -------------------------------------------------------------------------------


def test_workers_register_in_order(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "BATCH", 4)
    monkeypatch.setattr(running, "_WORTH_WORKERS", 1)
    source = archive(tmp_path / "source", 60, frozenset({7, 30}))
    seen: list[int] = []
    order = Order(source, settings.data / "report.jsonl")
    summary = running.run(
        settings, order, open_services, 3, watch=lambda state, _: seen.append(state.position)
    )
    assert counts(summary) == (58, 0, 2)
    assert seen == sorted(seen)
    assert [remark["name"] for remark in remarks(summary)] == ["manifest.jsonl:8", "manifest.jsonl:31"]
    assert sum(len(entries(settings, each)) for each in PATIENTS) == 58


def _no_services(settings: Settings) -> Services:
    raise OSError("nothing to work with")


def _dying_services(settings: Settings) -> Services:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def only_here(elsewhere: OpenServices) -> OpenServices:
    """What opens services in this process, and ``elsewhere`` in workers."""
    return _OnlyHere(os.getpid(), elsewhere)


class _OnlyHere:
    def __init__(self, pid: int, elsewhere: OpenServices) -> None:
        self.pid, self.elsewhere = pid, elsewhere

    def __call__(self, settings: Settings) -> Services:
        return open_services(settings) if os.getpid() == self.pid else self.elsewhere(settings)


@pytest.mark.parametrize(
    ("elsewhere", "error"), [(_no_services, OSError), (_dying_services, WorkerLost)], ids=["fails", "dies"]
)
def test_what_stops_a_worker_stops_the_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: OpenServices, error: type[Exception]
) -> None:
    monkeypatch.setattr(running, "BATCH", 2)
    monkeypatch.setattr(running, "_WORTH_WORKERS", 1)
    settings = settings_of(tmp_path / "data")
    source = archive(tmp_path / "source", 8)
    order = Order(source, settings.data / "report.jsonl")
    with pytest.raises(error):
        running.run(settings, order, only_here(elsewhere), 2)
    assert counts(imported(settings, source)) == (8, 0, 0)


# --- kill -9 ----------------------------------------------------------------------------------------


class Process:
    """The command in a process group of its own."""

    def __init__(self, settings: Settings, source: Path, jobs: int) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MSIM_")}
        environment |= {"MSIM_DATABASE__URL": settings.database.url}
        command = [sys.executable, "-m", "msim_xds", "import", str(source), "--json"]
        command += ["--data", str(settings.data), "--jobs", str(jobs)]
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )

    def kill(self, *, group: bool) -> None:
        """kill -9 of all its processes, or of the first, whose workers then see to themselves."""
        if group:
            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.communicate()

    def runs(self) -> bool:
        return self._process.poll() is None

    def result(self) -> dict[str, object]:
        out, said = self._process.communicate(timeout=300)
        assert self._process.returncode in (0, 1), said.decode()
        found: dict[str, object] = json.loads(out)
        return found


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    settings.data.mkdir()
    opened = Database(settings.database_url, settings.database)
    opened.migrate()
    yield opened
    opened.close()


def position(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(text("SELECT max(position) FROM import_progress")).scalar() or 0


def contents(database: Database) -> Counter[tuple[object, ...]]:
    """Everything that is registered, without what differs from run to run."""
    owners = "registry_object JOIN patient ON patient.id = patient_id"
    objects = f"SELECT kind, status, unique_id, patient.cx FROM {owners}"
    documents = "SELECT 'document', registered, unique_id, sha256 FROM stored_document"
    links = "SELECT 'link', type, status, count(*) FROM association GROUP BY type, status"
    identities = "SELECT 'identity', kind, unique_id, hash FROM unique_identity"
    shown = "pending_signature LEFT JOIN registry_object ON signature_id = pending_signature.id"
    waiting = f"SELECT 'waiting', registry_object.unique_id, set_unique_id, attempts FROM {shown}"
    with database.read() as connection:
        return Counter(
            tuple(row)
            for query in (objects, documents, links, identities, waiting)
            for row in connection.execute(text(query))
        )


def test_kill_9_at_several_moments(settings: Settings, database: Database, tmp_path: Path) -> None:
    count, refused, jobs = 2000, frozenset(range(50, 2000, 250)), 2
    source = archive(tmp_path / "source", count, refused)
    chance = random.Random(9)
    killed = 0
    for aim in (1, 400, 900, 1400):  # at no particular point of a batch; the last two without workers
        process = Process(settings, source, jobs)
        deadline = time.monotonic() + 120
        while process.runs() and position(database) < aim and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(chance.random() * 0.3)
        killed += process.runs()
        process.kill(group=chance.random() < 0.7)
    assert killed >= 3
    result = Process(settings, source, jobs).result()
    assert (result["imported"], result["present"], result["refused"]) == (
        count - len(refused),
        0,
        len(refused),
    )
    told = [json.loads(line)["name"] for line in Path(str(result["report"])).read_text().splitlines()]
    assert told == [f"manifest.jsonl:{number + 1}" for number in sorted(refused)]

    node = open_node(settings)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    report = scrub.check(node.store, node.index, node.database, REPOSITORY, tomorrow)
    node.close()
    assert report.is_sound
    assert report.documents == count - len(refused)
    assert report.counts.keys() <= {scrub.ProblemKind.ORPHAN, scrub.ProblemKind.STALE}

    undisturbed = settings_of(tmp_path / "undisturbed")
    imported(undisturbed, source)
    other = Database(undisturbed.database_url, undisturbed.database)
    found = contents(database)
    assert found == contents(other)
    assert sum(row[0] == "waiting" for row in found) == len(set(range(0, count, 3)) - refused)
    other.close()


def test_a_server_goes_on_meanwhile(settings: Settings, database: Database, tmp_path: Path) -> None:
    from tests.support.server import ServerProcess, provide_message

    source = archive(tmp_path / "source", 1500)
    waits = []
    with ServerProcess(settings.data, settings.database_url) as server:
        process = Process(settings, source, 2)
        while process.runs():
            metadata, content = pair(os.urandom(8), patient_id=PATIENTS[0])
            content_type, body = provide_message(metadata, {"Document01": content})
            start = time.monotonic()
            answer = server.request("POST", "/xds/repository", body, content_type)
            waits.append(time.monotonic() - start)
            assert b"ResponseStatusType:Success" in answer.body
            time.sleep(0.02)
        assert process.result()["imported"] == 1500
    assert len(waits) > 3
    assert max(waits) < 5
    assert len(entries(settings, PATIENTS[0])) == len(waits) + 1500 // len(PATIENTS) + (
        1500 % len(PATIENTS) > 0
    )
