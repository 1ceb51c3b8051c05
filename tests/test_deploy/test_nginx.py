"""The shipped nginx site in front of a socket: who gets through, and with what headers."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest

SITE = Path(__file__).parents[2] / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")

pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]

Curl = Callable[..., str]


class _Echo(BaseHTTPRequestHandler):
    """Answers with the request's own headers."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = str(self.headers).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _certificate(folder: Path, name: str) -> None:
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN={name}"
        f" -keyout {name}.key -out {name}.crt".split(),
        cwd=folder,
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of the server, of a partner that the site knows, and of a stranger."""
    folder = tmp_path_factory.mktemp("nginx")
    for name in ("server", "partner", "stranger"):
        _certificate(folder, name)
    shutil.copy(folder / "partner.crt", folder / "clients-ca.crt")
    return folder


@contextmanager
def running_nginx(folder: Path, *changes: tuple[str, str]) -> Iterator[int]:
    """TLS port of nginx with the shipped site, its paths, its port and ``changes`` replaced."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    site = SITE.read_text("utf-8")
    for old, new in (
        ("/etc/msim-xds/tls", str(folder)),
        ("/etc/msim-xds", str(folder)),
        ("/run/msim-xds", str(folder)),
        ("/var/log/nginx", str(folder)),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("    listen [::]:443 ssl;\n", ""),
        *changes,
    ):
        assert old in site, old
        site = site.replace(old, new)
    (folder / "site.conf").write_text(site, "utf-8")
    temporary = "".join(
        f"{name}_temp_path {folder / name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # the test's folder is closed to other users
    configuration.write_text(
        f"{user} daemon off; pid {folder / 'pid'}; error_log {folder / 'error.log'}; events {{}}"
        f" http {{ {temporary} include {folder / 'site.conf'}; }}"
    )
    with subprocess.Popen([str(NGINX), "-p", str(folder), "-c", str(configuration)]) as nginx:
        try:
            _wait(port, nginx)
            yield port
        finally:
            nginx.terminate()


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """TLS port of nginx in front of the echo."""
    with ThreadingUnixStreamServer(str(folder / "http.sock"), _Echo) as upstream:
        upstream.daemon_threads = True
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        with running_nginx(folder, ("client_max_body_size    8g", "client_max_body_size    1m")) as port:
            yield port
        upstream.shutdown()


def _wait(port: int, nginx: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        assert nginx.poll() is None, "nginx has ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("nginx does not listen")


@pytest.fixture
def curl(folder: Path, port: int) -> Curl:
    """Calls the site as a partner: HTTP status, then the body."""

    def call(*options: str, who: str = "partner", path: str = "/xds/registry") -> str:
        identity = ["--cert", f"{who}.crt", "--key", f"{who}.key"] if who else []
        done = subprocess.run(
            ["curl", "-sk", "-w", "\n%{http_code}", *identity, *options, f"https://127.0.0.1:{port}{path}"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        body, _, status = done.stdout.rpartition("\n")
        return f"{status} {body}"

    return call


def test_a_partner_gets_through_and_the_server_learns_who_it_is(curl: Curl) -> None:
    seen = curl("-d", "x")
    assert seen.startswith("200 ")
    assert "X-SSL-Client-Verify: SUCCESS" in seen
    assert "X-SSL-Client-S-DN: CN=partner" in seen
    assert "X-SSL-Client-Cert: -----BEGIN%20CERTIFICATE" in seen


@pytest.mark.parametrize(
    "header",
    ["X_SSL_Client_Cert", "X-SSL-Client-S-DN", "X-SSL-Client-Cert", "X-SSL-Client-Verify", "X-Forwarded-For"],
)
def test_a_forged_header_is_overwritten(curl: Curl, header: str) -> None:
    assert "forged" not in curl("-d", "x", "-H", f"{header}: forged")


@pytest.mark.parametrize("who", ["", "stranger"])
def test_without_a_certificate_of_the_right_authority_nobody_gets_through(curl: Curl, who: str) -> None:
    assert curl("-d", "x", who=who).startswith("400 ")


def test_a_body_over_the_limit_never_reaches_the_server(curl: Curl, folder: Path) -> None:
    (folder / "large").write_bytes(bytes((1 << 20) + 1))
    assert curl("--data-binary", "@large").startswith("413 ")


def test_health_is_not_for_partners(curl: Curl) -> None:
    assert curl(path="/health").startswith("404 ")
    assert curl(path="/health/ready").startswith("404 ")


def test_the_maintenance_file_closes_the_door_at_once(curl: Curl, folder: Path) -> None:
    flag = folder / "maintenance"
    flag.touch()
    try:
        answer = curl("-d", "x", "-i")
    finally:
        flag.unlink()
    assert answer.startswith("503 ")
    assert "Retry-After: 120" in answer
    assert "s:Receiver" in answer
    assert curl("-d", "x").startswith("200 ")
