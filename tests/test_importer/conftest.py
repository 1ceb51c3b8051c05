"""Settings and a source of each test's own, and the S3 server of the repository's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from msim_xds.settings import Settings
from tests.test_importer.archives import settings_of
from tests.test_repository.conftest import s3_endpoint, s3_settings

__all__ = ["s3_endpoint", "s3_settings"]


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """A store of its own and a database of each kind."""
    return settings_of(tmp_path / "data", database_url)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An empty folder."""
    path = tmp_path / "source"
    path.mkdir()
    return path
