"""Worker processes for an import: batches are prepared side by side and registered one after another.

Each worker registers what it has prepared when its turn comes, so that drafts never travel between processes.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final

from msim_xds.importer.desk import Desk, Order, Services
from msim_xds.importer.plan import Task
from msim_xds.importer.progress import Progress
from msim_xds.settings import Settings

#: Makes the services of a worker; a function of a module, which processes can name to each other.
OpenServices = Callable[[Settings], Services]

_END_S: Final = 30.0
#: Drafts go by reference counting; to look through those of a batch again and again costs a fifth.
_BATCHES_BETWEEN_COLLECTIONS: Final = 64
_REGISTER: Final = "register"
_PREPARED: Final = "prepared"


class WorkerLost(RuntimeError):
    """A worker process has ended by itself."""


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    is_prepared: bool = False
    is_registering: bool = False


def work_through(
    batches: Iterable[Sequence[Task]],
    jobs: int,
    open_services: OpenServices,
    settings: Settings,
    order: Order,
) -> Iterator[Progress]:
    """Prepare and register ``batches`` in their order; yields the state after each.

    Raises:
        WorkerLost: a worker was killed.
        Exception: what stopped a worker.
    """
    workers = [_start(open_services, settings, order) for _ in range(jobs)]
    try:
        yield from _turns(iter(batches), workers)
    finally:
        for worker in workers:
            worker.connection.close()  # which it takes for the end
        for worker in workers:
            worker.process.join(_END_S)
            worker.process.kill()


def _turns(batches: Iterator[Sequence[Task]], idle: Sequence[_Worker]) -> Iterator[Progress]:
    free = deque(idle)
    busy: deque[_Worker] = deque()  # in the order of their batches
    while True:
        while free and (batch := next(batches, None)) is not None:
            busy.append(free.popleft())
            busy[-1].is_prepared = busy[-1].is_registering = False
            _send(busy[-1], batch)
        if not busy:
            return
        ready = wait([worker.connection for worker in busy])
        for worker in [each for each in busy if each.connection in ready]:
            answer = _receive(worker)
            if isinstance(answer, Progress):
                busy.remove(worker)
                free.append(worker)
                yield answer
            else:
                worker.is_prepared = True
        if busy and busy[0].is_prepared and not busy[0].is_registering:
            busy[0].is_registering = True
            _send(busy[0], _REGISTER)


def _start(open_services: OpenServices, settings: Settings, order: Order) -> _Worker:
    context = multiprocessing.get_context("spawn")  # nothing of our connections and threads
    ours, theirs = context.Pipe()
    arguments = (theirs, open_services, settings.model_dump_json(), order)
    process = context.Process(target=_work, args=arguments, name="msim-xds-import", daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _send(worker: _Worker, message: object) -> None:
    try:
        worker.connection.send(message)
    except OSError as error:
        raise WorkerLost("a worker of the import has ended by itself") from error


def _receive(worker: _Worker) -> Progress | str:
    try:
        answer: Progress | str | Exception = worker.connection.recv()
    except (EOFError, OSError) as error:
        raise WorkerLost("a worker of the import has ended by itself") from error
    if isinstance(answer, Exception):
        raise answer
    return answer


def _work(connection: Connection, open_services: OpenServices, settings: str, order: Order) -> None:
    """A worker's life; it ends when the other end of its pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    gc.disable()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            services = open_services(Settings.model_validate_json(settings))
            with closing(services), closing(Desk(services, order)) as desk:
                _serve(connection, desk)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:  # told to the parent, which raises it
            connection.send(error)


def _serve(connection: Connection, desk: Desk) -> None:
    for number in itertools.count(1):
        tasks = connection.recv()
        prepared = desk.prepare(tasks)
        connection.send(_PREPARED)
        connection.recv()
        connection.send(desk.complete(tasks, prepared))
        if number % _BATCHES_BETWEEN_COLLECTIONS == 0:
            gc.collect()
