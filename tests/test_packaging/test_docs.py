"""The documentation is current, and what it points to exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_generated_pages_are_current() -> None:
    check = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (check.returncode, check.stdout) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    from typer.main import get_command

    from msim_xds.cli.main import app

    known = set(getattr(get_command(app), "commands", {}))
    named = set(
        re.findall(r"^(?:.*/|sudo .*)?msim-xds ([a-z][a-z0-9-]*)", page.read_text("utf-8"), re.MULTILINE)
    )
    assert named <= known


def test_readme_sets_up_with_two_commands() -> None:
    first = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert first is not None
    assert [line.split("#")[0].strip() for line in first[1].splitlines()] == ["make serve", "make test"]


def test_every_dependency_is_explained() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    requires = re.search(r"install_requires =\n((?:    .+\n)+)", (ROOT / "setup.cfg").read_text("utf-8"))
    assert requires is not None
    names = [re.split(r"[\[<>=;]", line.strip())[0] for line in requires[1].splitlines()]
    assert [name for name in names if f"| `{name}` |" not in text] == []
