"""Logging: structlog to standard error, for people or as JSON lines; other libraries' records come out alike.

Nothing here, and no caller, logs message contents: no patient data, no WSGI environ (some servers put the
process's environment variables in it).
"""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor

from msim_xds.settings import LogSettings

_DISCREET: Final = ("spyne",)
"""Loggers that quote message contents at lower levels; at level critical they report a defect."""


def configure(settings: LogSettings, *, lasting: bool = False) -> None:
    """Set up logging for a process of our own, other libraries' records included.

    A second call replaces the first, unless that was ``lasting``: then loggers keep their set-up from the
    first use on, which saves work per line.
    """
    level = _level(settings)
    _set_up(settings, lasting=lasting)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_common()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(settings)],
        )
    )
    # Libraries tell at level info what they do with message contents: they are heard from warning on.
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def configure_if_nobody_has() -> None:
    """Warnings and errors only, for a program that mounts the server and has not set up structlog itself."""
    if not structlog.is_configured():
        _set_up(LogSettings(level="warning"), lasting=False)


def _set_up(settings: LogSettings, *, lasting: bool) -> None:
    structlog.configure(
        processors=[*_common(), *_rendering(settings)],
        wrapper_class=structlog.make_filtering_bound_logger(_level(settings)),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=lasting,
    )
    for name in _DISCREET:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _level(settings: LogSettings) -> int:
    return logging.getLevelNamesMapping()[settings.level.upper()]


def _common() -> list[Processor]:
    return [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]


def _rendering(settings: LogSettings) -> list[Processor]:
    # The plain traceback formatter: others print local variables, and with them patient data.
    render = structlog.processors.JSONRenderer(ensure_ascii=False) if settings.format == "json" else _line
    return [structlog.processors.format_exc_info, render]


def _line(_logger: object, _method: str, event: EventDict) -> str:
    """One line for people, a tenth of the cost of structlog's coloured columns; a traceback below it."""
    head = f"{event.pop('timestamp')} {event.pop('level'):<7} {event.pop('event')}"
    traceback = event.pop("exception", "")
    facts = " ".join([f"{name}={_fact(value)}" for name, value in event.items()])
    return f"{head} {facts}\n{traceback}" if traceback else f"{head} {facts}"


def _fact(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if text.isprintable() else repr(text)
