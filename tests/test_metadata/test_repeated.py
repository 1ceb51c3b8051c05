"""Texts kept by ``repeated``: the same as without it, and bounded in number and length."""

from __future__ import annotations

from collections.abc import Callable

from msim_xds.metadata.repeated import LONGEST, MOST, repeated


class _Writer:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, part: str) -> str:
        """``part`` between brackets."""
        self.calls += 1
        return f"<{part}>"


def _counted() -> tuple[_Writer, Callable[[str], str]]:
    writer = _Writer()

    def write(part: str) -> str:
        return writer(part)

    return writer, repeated(write)


def test_a_text_is_written_once() -> None:
    writer, write = _counted()
    assert [write("N"), write("R"), write("N")] == ["<N>", "<R>", "<N>"]
    assert writer.calls == 2


def test_a_long_text_is_written_each_time() -> None:
    writer, write = _counted()
    longest, longer = "x" * (LONGEST - 2), "x" * (LONGEST - 1)
    for part in (longest, longest, longer, longer):
        assert write(part) == f"<{part}>"
    assert writer.calls == 3


def test_no_more_are_kept_than_the_bound() -> None:
    writer, write = _counted()
    for number in range(MOST + 1):
        write(str(number))
    assert writer.calls == MOST + 1
    write(str(MOST))  # the newest is still there
    assert writer.calls == MOST + 1
    write("0")  # the first had to make room
    assert writer.calls == MOST + 2
