"""What a benchmark finds: numbers, what they are held against, and how they are shown."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the product beside the one it is compared with.

    Attributes:
        what: what was measured.
        unit: of ``product`` and ``against``.
        product: the product's number.
        against: the thinnest server's, or the small store's; None when there is none.
        at_most: highest ratio product / against allowed; without ``against`` the highest number.
        at_least: lowest ratio allowed.
    """

    what: str
    unit: str
    product: float
    against: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def judged(self) -> float | None:
        """What the bounds apply to: the ratio, or the number itself where nothing stands beside it."""
        if self.against is not None:
            return self.product / self.against
        return self.product if self.unit == "MiB" else None

    @property
    def verdict(self) -> str:
        """'reached', 'missed', or nothing where there is nothing to compare with, or no bound."""
        if self.judged is None or self.at_most is self.at_least is None:
            return ""
        too_much = self.at_most is not None and self.judged > self.at_most
        too_little = self.at_least is not None and self.judged < self.at_least
        return "missed" if too_much or too_little else "reached"


def show(figures: Sequence[Figure]) -> None:
    """One table on the terminal."""
    table = Table(title=machine())
    table.add_column("what")
    for name in ("product", "against", "ratio", "bound"):
        table.add_column(name, justify="right")
    table.add_column("")
    for figure in figures:
        ratio = "" if figure.against is None else f"{figure.product / figure.against:.2f}"
        against = "" if figure.against is None else f"{figure.against:,.0f} {figure.unit}"
        product = f"{figure.product:,.0f} {figure.unit}"
        table.add_row(figure.what, product, against, ratio, _bound(figure), figure.verdict)
    Console(width=110).print(table)


def save(figures: Sequence[Figure], path: Path) -> None:
    """The same as JSON."""
    rows = [{**asdict(figure), "verdict": figure.verdict} for figure in figures]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "figures": rows}, indent=1) + "\n", "utf-8")


def machine() -> str:
    """The machine, for the figures to mean something later."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return (
        f"{os.cpu_count()} × {model}, Linux {platform.release()}, Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.1f}"
    )


def _bound(figure: Figure) -> str:
    if figure.at_most is not None:
        return f"≤ {figure.at_most:g}"
    return "" if figure.at_least is None else f"≥ {figure.at_least:g}"
