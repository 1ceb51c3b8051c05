"""setup.cfg names everything that an installation needs."""

from __future__ import annotations

import configparser
import fnmatch
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Files that will be in a clone, so that a leftover of this work tree proves nothing."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    return [Path(name) for name in listing.stdout.split("\0") if name]


def home(package: str) -> Path:
    """Where a package of setup.cfg lies; wsdl/ and schemas/ are installed from the top level."""
    moved = {"msim_xds.wsdl": Path("wsdl"), "msim_xds.schemas": Path("schemas")}
    return moved.get(package, Path(*package.split(".")))


def packages(config: configparser.ConfigParser) -> list[str]:
    return config["options"]["packages"].split()


def test_every_package_on_disk_is_installed(config: configparser.ConfigParser, tracked: list[Path]) -> None:
    on_disk = {
        f.parent for f in tracked if f.name == "__init__.py" and f.parts[0] in ("msim_xds", "wsdl", "schemas")
    }
    assert {home(p) for p in packages(config)} == on_disk


def test_every_file_of_a_package_is_installed(config: configparser.ConfigParser, tracked: list[Path]) -> None:
    globs = ["*.py", *config["options.package_data"]["*"].replace("\n", " ").split(", ")]
    homes = {home(p) for p in packages(config)}
    inside = [f for f in tracked if any(f.is_relative_to(h) for h in homes)]
    assert inside
    missed = [
        str(f)
        for f in inside
        if f.parent not in homes or not any(fnmatch.fnmatch(f.name, g.strip()) for g in globs)
    ]
    assert missed == []


def test_help_explains_every_target_of_the_makefile() -> None:
    phony = next(
        line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:")
    ).split()[1:]
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    assert [line.split()[1] for line in shown.splitlines()] == phony
