"""The object store: credentials, and a server that does not answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store

from msim_xds.repository import objects
from msim_xds.repository.blobs import BlobStore, open_store
from msim_xds.repository.objects import ObjectStore
from msim_xds.settings import RepositorySettings, Settings
from tests.test_repository.conftest import ACCESS_KEY, SECRET_KEY
from tests.test_repository.stores import staged, stored


def _changed(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"repository": settings.repository.model_copy(update=changes)})


def test_credentials_from_the_environment(s3_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    store = open_store(_changed(s3_settings, s3_access_key_file=None, s3_secret_key_file=None))
    assert store.read(stored(store, b"abc")) == b"abc"


def test_wrong_credentials_are_an_os_error(s3_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("wrong")
    store = open_store(s3_settings)
    part = staged(store, b"abc")
    with pytest.raises(OSError):
        store.commit([part])
    with pytest.raises(OSError):
        store.stat(part.sha256)
    with pytest.raises(OSError):
        list(store.blobs())


def test_half_of_the_credentials(s3_settings: Settings) -> None:
    with pytest.raises(ValueError, match="together"):
        open_store(_changed(s3_settings, s3_secret_key_file=None))


def test_no_bucket(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bucket"):
        open_store(Settings(data=tmp_path, repository=RepositorySettings(store="s3:///prefix")))


def test_spool_is_empty_after_a_commit(s3_settings: Settings) -> None:
    store = open_store(s3_settings)
    stored(store, b"abc")
    assert list((s3_settings.data / "spool").iterdir()) == []


def test_failed_upload_keeps_the_staged_part(s3_settings: Settings, tmp_path: Path) -> None:
    nowhere = S3Store(
        "documents",
        endpoint="http://127.0.0.1:9",
        region="us-east-1",
        access_key_id="x",
        secret_access_key="x",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    store: BlobStore = ObjectStore(nowhere, tmp_path / "spool")
    part = staged(store, b"abc")
    with pytest.raises(OSError, match="object store"):
        store.commit([part])
    assert list(store.stale(datetime.now(UTC) + timedelta(hours=1))) == [part.token]
    with pytest.raises(OSError, match="object store"):
        store.read(part)


def test_foreign_objects_are_no_blobs(s3_settings: Settings) -> None:
    store = ObjectStore.from_settings(s3_settings)
    part = stored(store, b"abc")
    obstore.put(store._store, "README", b"by hand")
    assert [blob.sha256 for blob in store.blobs()] == [part.sha256]


def test_large_blobs_are_read_range_by_range(s3_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_RANGE", 1000)
    store = open_store(s3_settings)
    content = bytes(range(256)) * 20
    chunks = list(store.open(stored(store, content)))
    assert [len(chunk) for chunk in chunks] == [1000] * 5 + [120]
    assert b"".join(chunks) == content
