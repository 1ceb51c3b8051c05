"""list, retry, drop: the commands for a queue of what waits, or was given up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, NamedTuple, Protocol, TypeVar

import typer

from msim_xds.cli.console import print_json, print_table, say
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.local import Config, Data, Json, open_registry

if TYPE_CHECKING:
    from msim_xds.database.engine import Database
    from msim_xds.settings import Settings

Ids = Annotated[list[int] | None, typer.Argument(metavar="ID", help="As `list` shows.")]
All = Annotated[bool, typer.Option("--all", help="All that were given up.")]

_COLUMNS: Final = ("id", "state", "transaction", "since", "attempts", "due in")


class State(Protocol):
    """How far a thing has come."""

    @property
    def label(self) -> str:
        """For people."""


class Row(Protocol):
    """A thing that waits or was given up: a dataclass of its queue's, with these fields among others."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def id(self) -> int:
        """By which it is named."""

    @property
    def state(self) -> State:
        """How far it has come."""

    @property
    def created_at(self) -> str:
        """Since when it waits."""

    @property
    def attempts(self) -> int:
        """Those begun."""

    @property
    def is_live(self) -> bool:
        """Whether it will be tried again by itself."""

    @property
    def due_in_s(self) -> float:
        """Seconds until then."""

    @property
    def last_error(self) -> str | None:
        """Why the last attempt failed."""


R_co = TypeVar("R_co", bound=Row, covariant=True)
R = TypeVar("R", bound=Row)


class Queue(Protocol[R_co]):
    """Where things wait."""

    def rows(self) -> Sequence[R_co]:
        """What waits or was given up, the oldest first."""

    def retry(self, keys: list[int] | None) -> list[int]:
        """Begin again with those that were given up; None is all of them. Returns which."""

    def drop(self, keys: list[int] | None) -> list[int]:
        """Forget them; None is all that were given up. Returns which."""


class Cells(NamedTuple):
    """What the table says of a row in its queue's words; ``due`` replaces the seconds until it is due."""

    transaction: str
    about: str
    due: str | None = None


class Words(NamedTuple):
    """What the commands say: their help, the column ``about``, an empty queue, what is begun again."""

    help: str
    show: str
    retry: str
    drop: str
    about: str
    empty: str
    retried: str


def commands(
    words: Words, opened: Callable[[Database, Settings], Queue[R]], cells: Callable[[R], Cells]
) -> typer.Typer:
    """The commands for one queue.

    Args:
        words: what they say.
        opened: the queue in a database.
        cells: what the table says of a row.
    """
    app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=words.help)

    @app.command("list", help=words.show)
    def show(data: Data = None, config: Config = None, as_json: Json = False) -> None:
        with _queue(opened, config, data) as queue:
            rows = queue.rows()
        if as_json:
            print_json([_facts(row) for row in rows])
        elif rows:
            shown = (_shown(row, cells(row)) for row in rows)
            print_table((*_COLUMNS, words.about, "last error"), shown)
        else:
            say(words.empty)

    @app.command("retry", help=words.retry)
    def retry(ids: Ids = None, every: All = False, data: Data = None, config: Config = None) -> None:
        keys = _chosen(ids, every)
        with _queue(opened, config, data) as queue:
            done = queue.retry(keys)
        say(f"{words.retried}: {len(done)}; a running server begins within seconds")
        _tell_missing(keys, done, "was not given up")

    @app.command("drop", help=words.drop)
    def drop(ids: Ids = None, every: All = False, data: Data = None, config: Config = None) -> None:
        keys = _chosen(ids, every)
        with _queue(opened, config, data) as queue:
            done = queue.drop(keys)
        say(f"dropped: {len(done)}")
        _tell_missing(keys, done, "is not there")

    return app


@contextmanager
def _queue(
    opened: Callable[[Database, Settings], Queue[R]], config: Path | None, data: Path | None
) -> Iterator[Queue[R]]:
    with open_registry(config, data) as (settings, database):
        yield opened(database, settings)


def _chosen(ids: list[int] | None, every: bool) -> list[int] | None:
    """The ids; None for all. Raises Failure when neither or both are given."""
    if bool(ids) is every:
        raise Failure("name the ids, or give --all")
    return None if every else ids


def _tell_missing(keys: list[int] | None, done: list[int], problem: str) -> None:
    """Say which of the ids were not dealt with. Raises Exit when there are any."""
    missing = [key for key in keys or () if key not in done]
    for key in missing:
        say(f"{key} {problem}", "red")
    if missing:
        raise typer.Exit(REFUSED)


def _facts(row: Row) -> dict[str, object]:
    facts = {field.name: getattr(row, field.name) for field in fields(row) if field.name != "payload"}
    return {**facts, "state": row.state.label}


def _shown(row: Row, cells: Cells) -> tuple[str, ...]:
    seconds = f"{max(0.0, row.due_in_s):.0f} s" if row.is_live else ""
    return (
        str(row.id),
        row.state.label,
        cells.transaction,
        row.created_at,
        str(row.attempts),
        seconds if cells.due is None else cells.due,
        cells.about,
        row.last_error or "",
    )
