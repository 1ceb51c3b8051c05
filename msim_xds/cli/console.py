"""Output of the commands: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from msim_xds.findings import Finding

_GAP: Final = 3  # columns between two columns of a table
_WIDE: Final = 200  # columns of a table that goes to a file or pipe


def print_json(value: object) -> None:
    """``value`` as JSON to standard output, the only thing there."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=str)
    sys.stdout.write("\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table for people.

    Only the last column is fitted to the terminal, and only between words: identifiers are to be copied.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [[_clean(value) for value in row] for row in rows]
    cells = list(zip(columns, *rows, strict=True))
    widths = [max(cell_len(line) for cell in column for line in cell.split("\n")) for column in cells]
    console = Console()
    space = (console.width if console.is_terminal else _WIDE) - sum(widths[:-1]) - _GAP * len(widths)
    longest_word = max(cell_len(word) for cell in cells[-1] for word in cell.split() or [""])
    widths[-1] = min(widths[-1], max(space, longest_word))
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name, width in zip(columns, widths, strict=True):
        table.add_column(name, width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    Console(width=sum(widths) + _GAP * len(widths)).print(table)


def print_record(title: str, values: Mapping[str, str]) -> None:
    """One thing with its values, each on a line of its own, so that it can be copied."""
    print_line(title, "bold")
    width = max(map(len, values))
    for name, value in values.items():
        print_line(f"  {name:{width}}  {value}")


def print_line(text: str = "", style: str = "") -> None:
    """A line of the result, to standard output."""
    _line(text, style, to_stderr=False)


def say(text: str = "", style: str = "") -> None:
    """A line beside the result, to standard error."""
    _line(text, style, to_stderr=True)


def _line(text: str, style: str, *, to_stderr: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    Console(stderr=to_stderr, soft_wrap=True).print(Text(_clean(text), style=style))


def _clean(text: str) -> str:
    """``text`` without what could steer a terminal; it may come from anywhere."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def progress(description: str) -> Any:  # noqa: ANN401  # rich is loaded only where it is used
    """A progress bar on standard error; shown on terminals only, gone at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(description), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def counted(description: str, things: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar, by a function that is told how many things are done, and of how many."""
    with progress(description) as bar:
        task = bar.add_task(things, total=None)

        def count(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield count


def finding_rows(findings: Iterable[Finding]) -> list[tuple[str, str, str]]:
    """Severity, code and text of each finding."""
    return [
        (
            "error" if finding.is_error else "warning",
            finding.code,
            " ".join(filter(None, (finding.code_context, finding.error_location))),
        )
        for finding in findings
    ]


def say_findings(findings: Iterable[Finding]) -> None:
    """Each finding as a line, to standard error."""
    for severity, code, text in finding_rows(findings):
        say(f"{severity} {code}: {text}", "red" if severity == "error" else "yellow")
