"""Documents on their way from P1: whatever ends a process, nothing of them stays."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from msim_xds.app import now
from msim_xds.federation.p1 import setup
from msim_xds.federation.p1.scratch import Scratch
from msim_xds.settings import Settings
from msim_xds.testing.p1 import Double

KEEP = """
import sys, time
from pathlib import Path
from msim_xds.federation.p1.scratch import Scratch
folder = Scratch(Path(sys.argv[1])).new()
(folder.path / "document").write_text("of a patient")
print(folder.path, flush=True)
time.sleep(60)
"""


def test_a_folder_is_ours_alone_and_goes_with_all_in_it(tmp_path: Path) -> None:
    folder = Scratch(tmp_path / "scratch").new()
    (folder.path / "document").write_bytes(b"of a patient")
    assert folder.path.stat().st_mode & 0o077 == 0
    for _ in range(2):
        folder.remove()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_a_killed_process_left_is_removed_at_the_next_start(double: Double, tmp_path: Path) -> None:
    """And nothing of those who are at work, be they started before or since."""
    spool = tmp_path / "p1-spool"
    ours = Scratch(spool).new()
    with subprocess.Popen([sys.executable, "-c", KEEP, spool], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        assert Scratch(spool).remove_stale() == 0
        other.send_signal(signal.SIGKILL)
    assert (theirs / "document").exists()
    settings = Settings(data=tmp_path, p1=double.section(home_community_id="urn:oid:1.2.3"))
    setup.communities(settings, now)
    assert list(spool.iterdir()) == [ours.path]
    ours.remove()


def test_without_a_directory_nothing_is_stale(tmp_path: Path) -> None:
    assert Scratch(tmp_path / "none").remove_stale() == 0


def test_what_is_none_of_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert Scratch(tmp_path).remove_stale() == 0
    assert (tmp_path / "file").exists()
