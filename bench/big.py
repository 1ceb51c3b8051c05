"""One very large document in and out of a running server: speed, and how much the worker grows."""

from __future__ import annotations

import http.client
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench import messages
from bench.figures import Figure
from bench.limit import Limit

_MIB: Final = 1 << 20
_MARK: Final = b"@@document@@"
_GROWTH_MIB: Final = 32
_SPEED: Final = 0.7


class Transfer(NamedTuple):
    """MiB per second each way, and MiB of growth of the worker's peak memory."""

    upload: float
    download: float
    growth: float


def measure(work: Path, limit: Limit | None, size: int) -> list[Figure]:
    """Figures for a document of ``size`` MiB."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("msim-xds")), "serve", "--port", str(port)]
    with server([*command, "--data", str(work / "product")], work, os.environ, port) as worker:
        product = _transfer(port, worker, size, "/xds/repository", "/xds/repository", None)
    thin = None
    if limit is not None:
        limit.prepare()
        port = free_port()
        with server(limit.command(port), limit.folder, limit.environment(), port) as worker:
            thin = _transfer(port, worker, size, "/iti41", "/iti43", limit)
    return [
        Figure(f"{size} MiB in", "MiB/s", product.upload, thin and thin.upload, at_least=_SPEED),
        Figure(f"{size} MiB out", "MiB/s", product.download, thin and thin.download, at_least=_SPEED),
        Figure(f"{size} MiB in and out: growth of the worker", "MiB", product.growth, at_most=_GROWTH_MIB),
    ]


def _transfer(
    port: int, worker: int, size: int, path_in: str, path_out: str, limit: Limit | None
) -> Transfer:
    """A small document each way to warm up, then the large one."""
    for mib in (1, size):
        start_kib = peak_kib(worker, reset=True)
        number = 70_000_000 + mib
        into = upload(port, path_in, number, mib)
        document = messages.unique_id(number) if limit is None else limit.largest_document()
        out = download(port, path_out, document, mib)
        growth = (peak_kib(worker) - start_kib) / 1024
    return Transfer(mib / into, mib / out, growth)


def upload(port: int, path: str, number: int, mib: int) -> float:
    """Seconds that an ITI-41 with a document of ``mib`` MiB takes."""
    message = messages.provide_and_register(number, 1, _MARK)
    head, tail = message.body.split(_MARK)
    block = os.urandom(_MIB)
    headers = {
        "Content-Type": message.content_type,
        "Content-Length": str(len(head) + len(tail) + mib * _MIB),
    }
    body = itertools.chain([head], itertools.repeat(block, mib), [tail])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    start = time.perf_counter()
    connection.request("POST", path, body, headers)
    answer = connection.getresponse().read()
    if b"ResponseStatusType:Success" not in answer:
        raise RuntimeError(answer[:2000].decode("utf-8", "replace"))
    return time.perf_counter() - start


def download(port: int, path: str, document: str, mib: int, home: str = "") -> float:
    """Seconds that an ITI-43 of this document takes."""
    message = messages.retrieve(messages.REPOSITORY, document, home)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    buffer, received = bytearray(_MIB), 0
    start = time.perf_counter()
    connection.request("POST", path, message.body, {"Content-Type": message.content_type})
    response = connection.getresponse()
    while count := response.readinto(buffer):
        received += count
    if received < mib * _MIB:
        raise RuntimeError(f"{document}: {received} octets came back")
    return time.perf_counter() - start


@contextmanager
def server(command: list[str], folder: Path, environment: Mapping[str, str], port: int) -> Iterator[int]:
    """Runs a server with one worker; the worker's process id."""
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield _worker_of(process, port)
    finally:
        process.terminate()
        process.wait(60)


def _worker_of(process: subprocess.Popen[bytes], port: int) -> int:
    """The process that listens: the last of the server's children, once the port answers."""
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with code {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return max(map(int, children), key=lambda pid: peak_kib(pid)) if children else process.pid


def peak_kib(pid: int, *, reset: bool = False) -> int:
    """Peak resident memory of a process; ``reset`` brings the peak down to the present first."""
    if reset:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no VmHWM")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
