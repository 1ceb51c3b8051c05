"""How fast an archive comes in by ``msim-xds import``, beside ITI-41 messages sent one after another over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench import messages
from bench.figures import Figure
from bench.flat import postgres
from msim_xds.cli.demonstration import free_port, running_server
from msim_xds.metadata import fragments

_AT_LEAST: Final = 3.0
_WARM_UP: Final = 100
_FOLDER: Final = 1000  # submissions
_DOCUMENT_OCTETS: Final = 2000


def measure(work: Path, entries: int, messages_sent: int) -> list[Figure]:
    """Submissions a second, on SQLite and PostgreSQL.

    ITI-41 is measured before and after each import, and the better of the two stands for it.
    """
    manifest = _archive(work / "archive", entries)
    with postgres(work / "postgresql") as new_database:
        urls = {"SQLite": "", "PostgreSQL": new_database("imports")}
        return [
            _figure(kind, url, work / kind, manifest, entries, messages_sent) for kind, url in urls.items()
        ]


def _figure(kind: str, url: str, work: Path, manifest: Path, entries: int, sent: int) -> Figure:
    work.mkdir()
    database = {"MSIM_DATABASE__URL": url}
    before = _one_by_one(work, range(entries, entries + sent), entries, database)
    imported = _imported(work / "var", manifest, entries, database)
    after = _one_by_one(work, range(entries + sent, entries + 2 * sent), entries, database)
    what = f"{kind}: import of {entries:,} submissions, beside ITI-41 one by one"
    return Figure(what, "/s", imported, max(before, after), at_least=_AT_LEAST)


def _imported(data: Path, manifest: Path, entries: int, database: Mapping[str, str]) -> float:
    """Submissions a second of the command, its start included."""
    command = [sys.executable, "-m", "msim_xds", "import", str(manifest), "--data", str(data), "--json"]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, **database})
    taken = time.perf_counter() - start
    if json.loads(done.stdout)["imported"] != entries:
        raise RuntimeError(f"not all were imported: {done.stdout.decode()}")
    return entries / taken


def _one_by_one(work: Path, numbers: range, entries: int, database: Mapping[str, str]) -> float:
    """ITI-41 messages a second on one connection, to a server on the same data."""
    requests = [
        messages.provide_and_register(i, messages.patient_of(i, entries), _document(i))
        for i in range(numbers.start, numbers.stop)
    ]
    url = f"http://127.0.0.1:{free_port()}"
    with running_server(url, work, "ihe", database):
        connection = http.client.HTTPConnection("127.0.0.1", int(url.rpartition(":")[2]))
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests[:_WARM_UP]:
            _send(connection, request)
        start = time.perf_counter()
        for request in requests[_WARM_UP:]:
            _send(connection, request)
        taken = time.perf_counter() - start
        connection.close()
    return (len(requests) - _WARM_UP) / taken


def _send(connection: http.client.HTTPConnection, request: messages.Message) -> None:
    connection.request("POST", "/xds/repository", request.body, {"Content-Type": request.content_type})
    answer = connection.getresponse().read()
    if b"ResponseStatusType:Success" not in answer:
        raise RuntimeError(answer[:2000].decode("utf-8", "replace"))


def _archive(folder: Path, entries: int) -> Path:
    """Metadata and documents of the entries, and their manifest."""
    manifest = folder / "archive.jsonl"
    folder.mkdir()
    with manifest.open("w") as lines:
        for i in range(entries):
            below = folder / f"{i // _FOLDER}"
            if i % _FOLDER == 0:
                below.mkdir()
            sent = messages.submission(i, messages.patient_of(i, entries))
            (below / f"{i}.metadata.xml").write_bytes(fragments.submit_objects(sent))
            (below / f"{i}.xml").write_bytes(_document(i))
            paths = {
                "metadata": f"{below.name}/{i}.metadata.xml",
                "documents": [{"path": f"{below.name}/{i}.xml"}],
            }
            lines.write(json.dumps(paths) + "\n")
    return manifest


def _document(i: int) -> bytes:
    """Document ``i``: unlike every other."""
    text = random.Random(i).randbytes(_DOCUMENT_OCTETS // 2).hex()
    return f'<ClinicalDocument xmlns="urn:hl7-org:v3"><text>{text}</text></ClinicalDocument>'.encode()
