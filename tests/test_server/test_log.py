"""Logs: level, form, and no local variables in tracebacks."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from msim_xds.server import log
from msim_xds.settings import LogSettings


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def fail() -> Exception:
    patient = "58831404726"
    try:
        raise ValueError(f"{len(patient)} digits")
    except ValueError as error:
        return error


@pytest.mark.parametrize("form", ["console", "json"])
def test_tracebacks_show_no_variables(
    form: Literal["console", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure(LogSettings(format=form))
    structlog.get_logger().error("failed", exc_info=fail())
    seen = capsys.readouterr().err
    assert "11 digits" in seen
    assert "58831404726" not in seen


def test_json_lines_of_ours_and_of_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(LogSettings(format="json"))
    structlog.get_logger().info("ours", codes=["a"])
    structlog.get_logger().debug("too low")
    logging.getLogger("other").warning("theirs %d", 1)
    logging.getLogger("other").info("too low")
    logging.getLogger("spyne.application").error("contents of a message")
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["level"], ours["codes"]) == ("ours", "info", ["a"])
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("theirs 1", "warning", "other")


def test_level(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(LogSettings(level="error"))
    structlog.get_logger().warning("low")
    structlog.get_logger().error("high")
    seen = capsys.readouterr().err
    assert "high" in seen
    assert "low" not in seen
