"""Fixtures of the federation tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.test_federation.peer import Peer, serving


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A scripted server."""
    with serving() as server:
        yield server
