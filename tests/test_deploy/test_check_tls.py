"""deploy/check-tls.sh against a real server, with its own TLS and behind the shipped nginx site."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from msim_xds.cli.main import app
from tests.support.server import free_port
from tests.test_deploy.test_nginx import NGINX, running_nginx
from tests.test_server.test_cheroot_server import wait_for

SCRIPT = Path(__file__).parents[2] / "deploy" / "check-tls.sh"

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``certs dev`` makes, with one system more than its table has."""
    folder = tmp_path_factory.mktemp("check") / "certs"
    systems = [part for name in ("hospital", "stranger") for part in ("--system", name)]
    done = CliRunner().invoke(app, ["certs", "dev", str(folder), *systems])
    assert done.exit_code == 0, done.stderr
    (folder.parent / "msim.toml").write_text(done.stdout)
    table = folder / "systems.toml"
    table.write_text(table.read_text("utf-8").partition("[systems.stranger]")[0])
    return folder


@contextlib.contextmanager
def serving(folder: Path, is_up: Callable[[], bool], **settings: str) -> Iterator[None]:
    """``msim-xds serve`` with these settings of the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MSIM_")}
    environment |= {f"MSIM_{name}": value for name, value in settings.items()}
    environment["MSIM_DATA"] = str(folder.parent / "data")
    command = [sys.executable, "-m", "msim_xds", "serve"]
    with (
        (folder.parent / "server.log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as server,
    ):
        try:
            wait_for(lambda: server.poll() is not None or is_up(), 60)
            yield
        finally:
            server.terminate()


def can_connect(family: int, address: Any) -> bool:
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0


@pytest.fixture(scope="module")
def built_in(folder: Path) -> Iterator[int]:
    """Port of the server's own TLS."""
    port = free_port()
    settings = {"CONFIG": str(folder.parent / "msim.toml"), "SERVER__PORT": str(port)}
    with serving(folder, lambda: can_connect(socket.AF_INET, ("127.0.0.1", port)), **settings):
        yield port


@pytest.fixture(scope="module")
def behind_nginx(folder: Path) -> Iterator[int]:
    """Port of nginx, with the same server behind it."""
    for name, original in (("server.crt", "server.pem"), ("server.key", "server-key.pem")):
        shutil.copy(folder / original, folder / name)
    shutil.copy(folder / "root.pem", folder / "clients-ca.crt")
    shutil.copy(folder / "crl.pem", folder / "clients-ca.crl")
    unix_socket = str(folder / "http.sock")
    settings = {
        "SERVER__UDS": unix_socket,
        "TLS__CLIENT_CERTIFICATE_HEADER": "X-SSL-Client-Cert",
        "ACCESS__SYSTEMS": str(folder / "systems.toml"),
    }
    with (
        serving(folder, lambda: can_connect(socket.AF_UNIX, unix_socket), **settings),
        # its health is for this machine only; here anything that answers will do
        running_nginx(folder, ("#ssl_crl", "ssl_crl")) as port,
    ):
        yield port


def check(port: int, folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    identities = [str(folder / f"{name}{kind}.pem") for name in names for kind in ("", "-key")]
    return subprocess.run(
        [SCRIPT, "localhost", str(port), folder / "root.pem", *identities],
        capture_output=True,
        text=True,
        check=False,
    )


EXPECTED = {
    "let in       TLS 1.2",
    "let in       TLS 1.3",
    "refused      tls1_1",
    "refused      tls1",
    "refused      no client certificate, TLS 1.2",
    "refused      no client certificate, TLS 1.3",
    "refused      revoked certificate, TLS 1.2",
    "refused      revoked certificate, TLS 1.3",
    "refused      suites without authentication",
    "refused      suites with CBC and SHA-1",
    "refused      suites with CBC and SHA-2",
    "refused      suites without forward secrecy",
    "refused      certificate of no registered system: SOAP fault wsse:FailedAuthentication",
}


@pytest.mark.parametrize(
    "server",
    ["built_in", pytest.param("behind_nginx", marks=pytest.mark.skipif(NGINX is None, reason="no nginx"))],
)
def test_everything_is_as_it_should_be(server: str, folder: Path, request: pytest.FixtureRequest) -> None:
    port: int = request.getfixturevalue(server)
    done = check(port, folder, "hospital", "revoked", "stranger")
    assert done.returncode == 0, done.stdout + done.stderr
    said = {line.removeprefix("tls: ") for line in done.stdout.splitlines()}
    assert said >= EXPECTED
    assert not any(line.startswith("WRONG") for line in said)


def test_the_script_finds_what_is_wrong(built_in: int, folder: Path) -> None:
    done = check(built_in, folder, "revoked", "hospital", "hospital")
    assert done.returncode == 1
    for wrong in (
        "TLS 1.2: refused",
        "TLS 1.3: refused",
        "revoked certificate, TLS 1.3: let in",
        "certificate of no registered system: no SOAP fault",
    ):
        assert f"WRONG        {wrong}" in done.stdout


def test_the_script_tells_what_it_did_not_try(built_in: int, folder: Path) -> None:
    done = check(built_in, folder, "hospital")
    assert done.returncode == 0, done.stdout
    assert "NOT TRIED    revoked certificate" in done.stdout
    assert "NOT TRIED    certificate of no registered system" in done.stdout


def test_no_server_there(folder: Path) -> None:
    done = check(free_port(), folder, "hospital")
    assert (done.returncode, "no server at" in done.stdout) == (2, True)
    assert subprocess.run([SCRIPT], capture_output=True, check=False).returncode == 2
