"""msim-xds audit, on the trail of a server in process; and the start and stop of a real one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from msim_xds.audit.key import read_key
from msim_xds.audit.outbox import Outbox
from msim_xds.audit.sealer import seal_all
from tests.support import atna, queries
from tests.support.arr import Pki, Repository
from tests.support.atna import trail
from tests.support.metadata import PATIENT, document_entry, new_oid, original, submission_set, submit_objects
from tests.support.server import ServerProcess
from tests.test_audit.conftest import Audited
from tests.test_cli.conftest import Run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A server's directory: a document was sent, asked for, read, and something was refused."""
    data = tmp_path / "data"
    audited = Audited(data, f"sqlite:///{(data / 'msim.db').absolute()}")
    objects = (submission_set(), document_entry(unique_id="1.2.3.4"), original())
    audited.provide(submit_objects(*objects), {"Document01": b"hello"})
    audited.ask(queries.find_documents())
    audited.retrieve("1.2.3.4")
    audited.provide(submit_objects(submission_set(), document_entry(unique_id=new_oid())), {})
    seal_all(Outbox(audited.database, read_key(data / "audit.key")))
    audited.close()
    return data


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        (
            "en",
            [
                "a system [192.0.2.7]: sent new documents",
                "a system [192.0.2.7]: asked which documents there are",
                "a system [192.0.2.7]: read documents (documents: 1.2.3.4)",
                "a system [192.0.2.7]: sent new documents – this was refused or failed",
            ],
        ),
        (
            "pl",
            [
                "system [192.0.2.7]: przesłanie nowych dokumentów",
                "system [192.0.2.7]: zapytanie o listę dokumentów",
                "system [192.0.2.7]: odczyt dokumentów (dokumenty: 1.2.3.4)",
                "system [192.0.2.7]: przesłanie nowych dokumentów – odmówiono albo się nie udało",
            ],
        ),
    ],
)
def test_a_patient_is_told_in_plain_words(run: Run, data: Path, language: str, lines: list[str]) -> None:
    result = run("audit", "patient", PATIENT, "--lang", language, "--data", data)
    assert result.exit_code == 0
    assert [line.partition("UTC  ")[2] for line in result.stdout.splitlines()] == lines


def test_as_json(run: Run, data: Path) -> None:
    found = json.loads(run("audit", "patient", PATIENT, "--json", "--data", data).stdout)
    assert [each["transaction"] for each in found] == ["ITI-41", "ITI-18", "ITI-43", "ITI-41"]
    assert found[2]["documents"] == ["1.2.3.4"]
    assert [each["succeeded"] for each in found] == [True, True, True, False]
    assert [each["position"] for each in found] == [1, 2, 3, 4]


def test_nobody_is_known(run: Run, data: Path) -> None:
    result = run("audit", "patient", "9^^^&1.2.3&ISO", "--lang", "pl", "--data", data)
    assert result.stdout.strip() == "Nie zapisano żadnych zdarzeń dotyczących tego pacjenta."


def test_verify(run: Run, data: Path) -> None:
    result = run("audit", "verify", "--data", data)
    assert (result.exit_code, result.stdout.strip()) == (
        0,
        "records sealed: 4; not sealed yet: 0; damages: 0",
    )
    import sqlite3

    with sqlite3.connect(data / "msim.db") as connection:
        connection.execute("DELETE FROM audit_record WHERE position = 2")
    result = run("audit", "verify", "--data", data)
    assert result.exit_code == 1
    assert "position 2: the record is missing" in result.stdout
    facts = json.loads(run("audit", "verify", "--json", "--data", data).stdout)
    assert facts == {
        "sealed": 3,
        "waiting": 0,
        "damages": [{"position": 2, "problem": "the record is missing"}],
    }


def test_without_a_trail(run: Run, tmp_path: Path) -> None:
    result = run("audit", "verify", "--data", tmp_path)
    assert result.exit_code == 2
    assert "audit.key: no key of an audit trail" in result.stderr


def test_status(run: Run, data: Path, tmp_path: Path) -> None:
    config = tmp_path / "msim.toml"
    config.write_text(
        '[[audit.repositories]]\nname = "arr"\nurl = "udp://127.0.0.1:5140"\n[audit]\nbacklog = 3\n'
    )
    result = run("audit", "status", "--data", data)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (0, "records not sealed yet: 0")
    result = run("audit", "status", "--data", data, "--config", config)
    assert result.exit_code == 1  # four wait where three may
    assert "never" in result.stdout + result.stderr
    result = run("audit", "status", "--data", data, "--config", config, "--json")
    (arr,) = json.loads(result.stdout)["repositories"]
    assert arr == {"name": "arr", "waiting": 4, "failures": 0, "problem": None, "sent_at": None}


def test_send_and_serve_seal_send_and_end(run: Run, data: Path, tmp_path: Path) -> None:
    """First by the command alone, then by the process that serve starts."""
    pki = Pki.make(tmp_path)
    with Repository(pki.context()) as repository:
        config = tmp_path / "msim.toml"
        arr = {"name": "arr", "url": f"tls://localhost:{repository.port}", "ca_file": str(pki.authority)}
        audit = {"enabled": True, "repositories": [{**arr, "certificate": str(pki.sender)}]}
        config.write_text(f"audit = {toml(audit)}\n")
        command = [sys.executable, "-m", "msim_xds", "audit", "send", "--config", str(config)]
        process = subprocess.Popen([*command, "--data", str(data)], stderr=subprocess.PIPE)
        repository.wait(4)
        process.terminate()
        assert process.communicate(timeout=60)[1].endswith(b"sealing and sending audit records\n")
        assert process.returncode == 0
        sent = [atna.read(each.record).short[1] for each in repository.lines]
        assert sent == ["ITI-41", "ITI-18", "ITI-43", "ITI-41"]
        url = f"sqlite:///{(data / 'msim.db').absolute()}"
        with ServerProcess(data, url, environment={"MSIM_AUDIT": json.dumps(audit)}) as server:
            repository.wait(5)
            health = json.loads(server.request("GET", "/health").body)
            assert health["audit"]["repositories"]["arr"]["failures"] == 0
            server.stop()
        assert atna.read(repository.lines[4].record).short == ("110100", "110120", "E", "0")
    result = run("audit", "status", "--data", data, "--config", config, "--json")
    assert json.loads(result.stdout)["repositories"][0]["waiting"] == 1  # the record of the stop


def test_a_repository_that_cannot_be_reached_so_is_said_at_the_start(run: Run, tmp_path: Path) -> None:
    arr = {"name": "arr", "url": "tls://localhost", "ca_file": str(tmp_path / "absent.pem")}
    config = tmp_path / "msim.toml"
    config.write_text(f"audit = {toml({'enabled': True, 'repositories': [arr]})}\n")
    result = run("audit", "send", "--config", config, "--data", tmp_path / "data")
    assert result.exit_code == 2
    assert "audit.repositories 'arr': ca_file" in result.stderr


def toml(value: object) -> str:
    """A value as TOML has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value)


def test_start_and_stop_of_a_server_are_recorded(tmp_path: Path, database_url: str) -> None:
    server = ServerProcess(tmp_path, database_url, environment={"MSIM_AUDIT__ENABLED": "true"})
    from msim_xds.database.engine import Database

    with server:
        database = Database(database_url, server.settings.database)
        outbox = Outbox(database, read_key(tmp_path / "audit.key"))
        deadline = time.monotonic() + 30
        while outbox.counts() != (1, 0):  # sealed while the server runs
            assert time.monotonic() < deadline
            time.sleep(0.05)
        server.stop()
    records = trail(database)
    assert [each.short for each in records] == [
        ("110100", "110120", "E", "0"),
        ("110100", "110121", "E", "0"),
    ]
    (application,) = records[0].participants
    assert (application["UserID"], application["roles"]) == ("msim-xds", "110150")
    assert (outbox.counts(), list(outbox.verify())) == ((2, 0), [])
    with database.read() as connection:
        assert connection.execute(text("SELECT position FROM audit_head")).scalar_one() == 2
    database.close()
