"""ITI-41 of signed documents at `msim-xds serve`: requests a second while a process beside it validates them.

Wall-clock, unlike most figures here, since the question is what two processes leave each other of one machine.
Beside it stands the CPU time of the workers for each request, which does not depend on what else runs.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench import messages
from bench.figures import Figure
from bench.signatures import KB, document
from msim_xds.signature_settings import SignaturePolicy
from tests.support.server import ServerProcess
from tests.support.signing import sign

ROUNDS: Final = 3
SECONDS: Final = 8.0
CLIENTS: Final = 2
_DOCUMENTS: Final = 40
_PATIENTS: Final = 40
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME = 11, 12  # of /proc/<pid>/stat, counted behind the name


class _Run(NamedTuple):
    """One server under load for some seconds."""

    rate: float
    cpu_us: float
    submitted: int
    left: int
    drain_s: float


class _Load:
    """Clients that submit until a moment; every submission is a new one."""

    def __init__(self, port: int, documents: Sequence[bytes], numbers: Iterator[int]) -> None:
        self._port = port
        self._documents = documents
        self._numbers = numbers
        self._drawing = threading.Lock()
        self.accepted = 0

    def run(self, seconds: float) -> float:
        """Submit from all clients; returns how long it took."""
        start = time.monotonic()
        clients = [threading.Thread(target=self._submit, args=(start + seconds,)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        return time.monotonic() - start

    def _submit(self, end: float) -> None:
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        ) as connection:
            while time.monotonic() < end:
                with self._drawing:
                    number = next(self._numbers)
                octets = self._documents[number % len(self._documents)]
                message = messages.provide_and_register(number, 1 + number % _PATIENTS, octets)
                connection.request(
                    "POST", "/xds/repository", message.body, {"Content-Type": message.content_type}
                )
                if b"ResponseStatusType:Success" not in connection.getresponse().read():
                    raise RuntimeError("a submission of the bench is refused")
                with self._drawing:
                    self.accepted += 1


def measure(work: Path) -> list[Figure]:
    """Figures of both policies, the servers taking turns; the median of the rounds."""
    plain = document(50 * KB)
    signed = [sign(plain.replace(b"<title>", b"<title>%d " % i, 1)) for i in range(_DOCUMENTS)]
    numbers = itertools.count(1)
    found: dict[SignaturePolicy, list[_Run]] = {SignaturePolicy.RECORD: [], SignaturePolicy.IGNORE: []}
    for turn in range(ROUNDS):
        for policy, runs in found.items():
            runs.append(_under_load(work / f"{policy}{turn}", policy, signed, numbers))
    record, ignore = (sorted(runs)[ROUNDS // 2] for runs in found.values())
    what = "ITI-41, signed, 50 kB, serve: record"
    return [
        Figure(f"{what}, wall clock", "/s", record.rate, ignore.rate, at_least=0.7),
        Figure(f"{what}, CPU of the worker", "µs", record.cpu_us, ignore.cpu_us, at_most=1 / 0.7),
        Figure("… validated while requests came", "", record.submitted - record.left, record.submitted),
        Figure("… until the others were, without load", "ms", record.drain_s * 1000),
    ]


def _under_load(data: Path, policy: SignaturePolicy, signed: Sequence[bytes], numbers: Iterator[int]) -> _Run:
    data.mkdir()
    url = f"sqlite:///{data / 'msim.db'}"
    with ServerProcess(data, url, environment={"MSIM_SIGNATURES__POLICY": policy.value}) as server:
        load = _Load(server.port, signed, numbers)
        load.run(1.0)  # warms up
        while _left(server):
            time.sleep(0.1)
        load.accepted, before = 0, _cpu(server)
        took = load.run(SECONDS)
        cpu, left = _cpu(server) - before, _left(server)
        start = time.monotonic()
        while _left(server):
            time.sleep(0.05)
        return _Run(
            load.accepted / took, cpu / load.accepted * 1e6, load.accepted, left, time.monotonic() - start
        )


def _left(server: ServerProcess) -> int:
    """Documents that wait for their validation."""
    facts = json.loads(server.request("GET", "/health").body)
    return int(facts.get("pending_signatures", {}).get("documents", 0))


def _cpu(server: ServerProcess) -> float:
    """CPU seconds of the server's processes at the usual priority, which the validating one has not."""
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    ticks = 0
    for pid in server.processes():
        if os.getpriority(os.PRIO_PROCESS, pid) == usual:
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
            ticks += int(fields[_UTIME]) + int(fields[_STIME])
    return ticks / _TICKS
