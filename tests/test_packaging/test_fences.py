"""Fences that import-linter cannot see, because they are about calls and not about imports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "msim_xds"

#: What only the named modules may contain, and why.
FENCES = {
    "XML from outside meets one hardened parser": (
        re.compile(
            r"\betree\.(XMLParser|XMLPullParser|HTMLParser|fromstring|parse|iterparse|XML|HTML)\b"
            r"|\bxml\.(etree|dom|sax\.(?!saxutils))|\bParserCreate\b|from lxml\.etree import (?!_)"
        ),
        {"wire/safexml.py"},
    ),
    "standard output belongs to the command line and the greeting at the start": (
        re.compile(r"^\s*print\(", re.MULTILINE),
        {"cli/", "server/serve.py"},
    ),
    "the time of day is passed in": (
        re.compile(r"\bdatetime\.now\(|\btime\.time\(|\bdate\.today\("),
        {"app.py", "cli/", "demo/"},
    ),
}


@pytest.mark.parametrize("fence", FENCES)
def test_only_the_modules_inside_the_fence(fence: str) -> None:
    pattern, inside = FENCES[fence]
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if pattern.search(path.read_text("utf-8"))
    }
    assert {name for name in found if not any(name.startswith(home) for home in inside)} == set()


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.relative_to(PACKAGE).as_posix()
)
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) < 400
