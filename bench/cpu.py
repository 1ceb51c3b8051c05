"""CPU time of one request inside one process, the product and the thinnest server taking turns."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from bench import messages
from bench.figures import Figure
from bench.limit import DOCUMENT, Limit
from bench.load import load
from bench.product import open_app
from msim_xds.settings import SearchSettings, Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

ENTRIES: Final = 10_000
ROUNDS: Final = 5
_REGISTRY, _REPOSITORY = "/xds/registry", "/xds/repository"
_FIRST_SUBMITTED: Final = 50_000_000
_DOCUMENT: Final = b"<ClinicalDocument>" + b"0123456789abcdef" * 3124 + b"</ClinicalDocument>"

Step = Callable[[], object]


class Case(NamedTuple):
    """One transaction: the product's request, the thinnest server's, how often per round, the bound."""

    what: str
    product: Iterator[tuple[str, messages.Message]]
    limit: Iterator[tuple[str, messages.Message]]
    repeat: int
    at_most: float


def measure(work: Path, limit: Limit | None) -> list[Figure]:
    """Figures of ITI-18, ITI-43 and ITI-41 on SQLite with ten thousand entries.

    The queries repeat themselves, so each is measured with its objects on the shelf and without a shelf. So
    does the thinnest server's own driver with ITI-41, which to the product is a retry: it is measured with new
    submissions and with the same one.
    """
    settings = Settings(data=work / "product")
    load(settings.database_url, ENTRIES)
    application = open_app(settings)
    reference = None
    if limit is not None:
        limit.prepare()
        reference = limit.application()
    bare = open_app(settings.model_copy(update={"search": SearchSettings(cache_bytes=0)}))
    return [
        *(_figure(case, application, reference) for case in _queries()),
        *(_figure(case, bare, reference) for case in _queries(", no shelf")),
        *(_figure(case, application, reference) for case in _documents(application)),
    ]


def _queries(how: str = "") -> Iterator[Case]:
    people = [patient for patient, _ in messages.patients(ENTRIES)]
    few, many = messages.find_documents(people[-100]), messages.find_documents(people[0])
    yield _query(f"FindDocuments, 10 entries{how}", few, 200, 4.5)
    yield _query(f"FindDocuments, 100 entries{how}", many, 50, 1.8)


def _documents(application: WSGIApplication) -> Iterator[Case]:
    numbers = itertools.count(_FIRST_SUBMITTED)
    stored = next(numbers)
    messages.answer(application, _REPOSITORY, _submission(stored))
    own = messages.retrieve(messages.REPOSITORY, messages.unique_id(stored))
    other = messages.retrieve(messages.REPOSITORY, DOCUMENT)
    yield Case(
        "ITI-43, 50 kB", itertools.repeat((_REPOSITORY, own)), itertools.repeat(("/iti43", other)), 200, 4.5
    )
    yield Case(
        "ITI-41, 50 kB",
        ((_REPOSITORY, _submission(i)) for i in numbers),
        itertools.repeat(("/iti41", _submission(_FIRST_SUBMITTED))),
        30,
        2.0,
    )
    again = (_REPOSITORY, _submission(stored))
    yield Case(
        "ITI-41, 50 kB, the same again",
        itertools.repeat(again),
        itertools.repeat(("/iti41", _submission(_FIRST_SUBMITTED))),
        30,
        2.0,
    )


def _query(what: str, message: messages.Message, count: int, at_most: float) -> Case:
    return Case(
        what, itertools.repeat((_REGISTRY, message)), itertools.repeat(("/iti18", message)), count, at_most
    )


def _submission(i: int) -> messages.Message:
    """A submission of its own ids and content, for a patient that the queries never ask for."""
    patient = messages.patients(ENTRIES)[-1 - i % 40][0]
    return messages.provide_and_register(i, patient, b"%012d" % i + _DOCUMENT)


def _figure(case: Case, product: WSGIApplication, limit: WSGIApplication | None) -> Figure:
    path, message = next(case.product)
    content = messages.answer(product, path, message)
    if b"RegistryError " in content:
        raise RuntimeError(f"{case.what}: not even the benchmark's request is right: {content[:2000]!r}")
    sides = [(product, case.product)] + ([] if limit is None else [(limit, case.limit)])
    best = [float("inf")] * len(sides)
    for _ in range(ROUNDS):
        for side, (application, requests) in enumerate(sides):
            batch = list(itertools.islice(requests, case.repeat + 1))
            best[side] = min(best[side], _cost(application, batch))
    return Figure(case.what, "µs", best[0], best[1] if limit is not None else None, at_most=case.at_most)


def _cost(application: WSGIApplication, batch: list[tuple[str, messages.Message]]) -> float:
    """CPU microseconds per request; the first one warms up."""
    messages.call(application, *batch[0])
    start = time.process_time()
    for path, message in batch[1:]:
        messages.call(application, path, message)
    return (time.process_time() - start) / (len(batch) - 1) * 1e6
