"""The smoke test works, on this Python, in a process where nothing was imported before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SMOKE = Path(__file__).with_name("smoke.py")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_one_call_without_a_warning() -> None:
    done = run(str(SMOKE))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("ITI-18 answered on Python 3.")


def test_spyne_before_the_cure_is_refused() -> None:
    done = run("-c", "import sys; sys.modules['spyne.util.six'] = sys; import msim_xds.server.spyne_compat")
    assert "must be imported before Spyne" in done.stderr
