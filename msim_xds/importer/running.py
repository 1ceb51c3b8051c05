"""An import from its beginning, or from where it was interrupted, to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from msim_xds.importer.crew import OpenServices, work_through
from msim_xds.importer.desk import Desk, Order, Services
from msim_xds.importer.plan import Plan, Task, make_plan
from msim_xds.importer.progress import Journal, Progress
from msim_xds.importer.report import Outcome, Remark, Report
from msim_xds.settings import Settings

#: Tasks of a batch: enough to share an fsync of the database, few enough to be a short transaction.
BATCH: Final = 128
#: Batches from which worker processes are worth their start.
_WORTH_WORKERS: Final = 8
_NOTHING: Final = "no metadata, no CDA document, and no metadata beside it"

#: Called with the state after each batch, and the number of all tasks.
Watch = Callable[[Progress, int], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """What an import has come to.

    Attributes:
        progress: counts, over all runs since it began.
        total: tasks.
        skipped: files that were nothing to import.
        resumed: the position at which this run began.
    """

    progress: Progress
    total: int
    skipped: int
    resumed: int


def run(
    settings: Settings,
    order: Order,
    open_services: OpenServices,
    jobs: int,
    *,
    again: bool = False,
    watch: Watch = lambda progress, total: None,
) -> Summary:
    """Import what has not been dealt with yet.

    Args:
        settings: the server's.
        order: what, and how.
        open_services: makes the parts of a server that an import works with.
        jobs: worker processes; with one, or little to do, all is done in this process.
        again: deal with everything anew; what is registered already is recognised.
        watch: told of the progress.

    Raises:
        ValueError: the source or the settings cannot be used.
        OSError: source, store or report cannot be read or written.
        TimeoutError: the database stays busy.
    """
    plan = make_plan(order.source)
    with closing(plan.tree), closing(open_services(settings)) as services:
        progress = begin(services, order, plan, again=again)
        order = replace(order, report=Path(progress.report))
        resumed = progress.position
        watch(progress, plan.total)
        batches = _batches(plan.tasks(resumed))
        if jobs > 1 and plan.total - resumed > _WORTH_WORKERS * BATCH:
            states = work_through(batches, jobs, open_services, settings, order)
        else:
            states = _alone(batches, services, order)
        for progress in states:
            watch(progress, plan.total)
    return Summary(progress, plan.total, len(plan.skipped), resumed)


def begin(services: Services, order: Order, plan: Plan, *, again: bool) -> Progress:
    """The state from which to go on: the one that was reached, unless the source has changed since.

    Raises:
        ValueError: the report was shortened or removed since.
        OSError: the report cannot be written.
    """
    journal = Journal(order.key, services.clock)
    with services.database.write() as connection:
        before = journal.lock(connection)
        if before is not None and before.fingerprint == plan.fingerprint and not again:
            Report(Path(before.report)).write(before.report_octets, ())
            return before
        skipped = (Remark(name, Outcome.SKIPPED, notes=[_NOTHING]) for name in plan.skipped)
        order.report.parent.mkdir(parents=True, exist_ok=True)
        octets = Report(order.report).write(0, skipped)
        fresh = Progress(order.key, plan.fingerprint, str(order.report.absolute()), octets)
        journal.begin(connection, fresh)
    return fresh


def _alone(batches: Iterable[list[Task]], services: Services, order: Order) -> Iterator[Progress]:
    with closing(Desk(services, order)) as desk:
        for batch in batches:
            yield desk.complete(batch, desk.prepare(batch))


def _batches(tasks: Iterator[Task]) -> Iterator[list[Task]]:
    """Tasks in batches."""
    while batch := list(islice(tasks, BATCH)):
        yield batch
