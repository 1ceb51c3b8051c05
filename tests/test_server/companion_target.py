"""What the tests' companion processes do."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable

from msim_xds.settings import Settings


def answer_with_pid(
    settings: Settings, listening: socket.socket, ready: Callable[[], None], stop: threading.Event
) -> None:
    """Tell everybody who connects the process's id."""
    listening.settimeout(0.1)
    ready()
    while not stop.is_set():
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        with connection:
            connection.sendall(str(os.getpid()).encode())


def fail(
    settings: Settings, listening: socket.socket, ready: Callable[[], None], stop: threading.Event
) -> None:
    """Never become ready."""
    raise OSError(f"nothing works below {settings.data}")


def never_ready(
    settings: Settings, listening: socket.socket, ready: Callable[[], None], stop: threading.Event
) -> None:
    """Take for ever to start."""
    while True:
        time.sleep(1)


def vanish(
    settings: Settings, listening: socket.socket, ready: Callable[[], None], stop: threading.Event
) -> None:
    """End without a word."""
    os._exit(3)


def fail_the_second_time(
    settings: Settings, listening: socket.socket, ready: Callable[[], None], stop: threading.Event
) -> None:
    """Work once; afterwards, do not start until the mark is gone."""
    mark = settings.data / "mark"
    if mark.exists():
        mark.unlink()
        raise OSError("not yet")
    if not (settings.data / "seen").exists():
        (settings.data / "seen").touch()
        mark.touch()
    answer_with_pid(settings, listening, ready, stop)
