"""Loads, measures and prints the figures of docs/performance.md, part by part.

    make bench
    .venv/bin/python -m bench.run --limit DIR --only cpu,flat --large 100000

``--limit`` (or the environment variable MSIM_BENCH_LIMIT) names the folder of the thinnest server's scripts;
without it the product's own numbers are printed and nothing is compared.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import (
    beside,
    big,
    cpu,
    federation,
    figures,
    flat,
    importing,
    security,
    signatures,
    signed_submissions,
)
from bench.figures import Figure
from bench.limit import Limit


def main() -> int:
    """Measure what is asked for; 1 when a bound is missed."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="msim-bench-", dir=arguments.work) as folder:
        work = Path(folder)
        limit = arguments.limit and Limit(arguments.limit.absolute(), work / "limit", cpu.ENTRIES)
        parts: dict[str, Callable[[], list[Figure]]] = {
            "cpu": lambda: cpu.measure(_below(work, "cpu"), limit),
            "flat": lambda: flat.measure(_below(work, "flat"), arguments.small, arguments.large),
            "big": lambda: big.measure(_below(work, "big"), limit, arguments.document_mib),
            "import": lambda: importing.measure(
                _below(work, "import"), arguments.entries, arguments.one_by_one
            ),
            "security": lambda: security.measure(_below(work, "security")),
            "federation": lambda: federation.measure(_below(work, "federation")),
            "signatures": lambda: (
                signatures.measure(_below(work, "signatures"))
                + signed_submissions.measure(_below(work, "signed"))
            ),
            "beside": lambda: beside.measure(_below(work, "beside")),
        }
        found: list[Figure] = []
        for name in arguments.only.split(","):
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            found += parts[name]()
    figures.show(found)
    figures.save(found, arguments.json)
    return int(any(figure.verdict == "missed" for figure in found))


def _below(work: Path, name: str) -> Path:
    folder = work / name
    folder.mkdir()
    return folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures what the server costs.")
    limit = os.environ.get("MSIM_BENCH_LIMIT")
    parser.add_argument(
        "--limit", type=Path, default=Path(limit) if limit else None, help="folder of the thinnest server"
    )
    parser.add_argument(
        "--only",
        default="cpu,flat,big,import",
        help="of cpu, flat, big, import, security, federation, signatures, beside, separated by commas",
    )
    parser.add_argument("--small", type=int, default=10_000, help="entries of the small store of 'flat'")
    parser.add_argument("--large", type=int, default=1_000_000, help="entries of the large store of 'flat'")
    parser.add_argument("--document-mib", type=int, default=1024, help="size of the document of 'big'")
    parser.add_argument("--entries", type=int, default=100_000, help="entries that 'import' imports")
    parser.add_argument("--one-by-one", type=int, default=2000, help="ITI-41 messages beside them")
    parser.add_argument("--json", type=Path, default=Path("var/bench.json"), help="where the figures go")
    parser.add_argument("--work", type=Path, help="folder for the stores (about 6 GB), removed at the end")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
