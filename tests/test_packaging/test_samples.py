"""The sample requests of the vendor guide run as they are, in the order in which a newcomer sends them."""

from __future__ import annotations

import base64
import contextlib
import io
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from msim_xds.app import create_app
from msim_xds.settings import ServerSettings, Settings

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"
SUCCESS = b'status="urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success"'

Send = Callable[[str], bytes]


@pytest.fixture
def send(tmp_path: Path) -> Send:
    """Posts a sample to a server with default settings and an empty store."""
    application = create_app(Settings(data=tmp_path))

    def post(sample: str) -> bytes:
        body = (SAMPLES / sample).read_bytes()
        path = "/xds/repository" if sample.startswith(("iti-41", "iti-43")) else "/xds/registry"
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "8080",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": "application/soap+xml; charset=UTF-8",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
        }
        return b"".join(application(environ, lambda status, headers, exc_info=None: lambda data: None))

    return post


def test_a_document_is_published_found_and_read_back(send: Send) -> None:
    published = send("iti-41-provide-and-register.xml")
    assert SUCCESS in published
    assert b"RegistryError" not in published

    found = send("iti-18-find-documents.xml")
    assert SUCCESS in found
    assert found.count(b"<rim:ExtrinsicObject ") == 1
    assert send("iti-18-get-documents.xml").count(b"<rim:ExtrinsicObject ") == 1

    sent = re.search(r'<x:Document id="Document01">([^<]+)<', _text("iti-41-provide-and-register.xml"))
    assert sent is not None
    assert base64.b64decode(sent[1]) in send("iti-43-retrieve.xml")


def test_a_repository_of_its_own_registers(send: Send) -> None:
    registered = send("iti-42-register.xml")
    assert SUCCESS in registered
    assert b"RegistryError" not in registered
    assert b"99999.24.2" in send("iti-18-find-documents.xml")


def test_an_entry_is_updated(send: Send) -> None:
    send("iti-42-register.xml")
    for _ in range(2):  # the second time as a retry
        updated = send("iti-57-update.xml")
        assert SUCCESS in updated
        assert b"RegistryError" not in updated
    found = send("iti-18-find-documents.xml")
    assert found.count(b"<rim:ExtrinsicObject ") == 1
    assert b"Karta informacyjna, poprawiona" in found
    assert b'versionName="2"' in found


def test_every_sample_stands_in_the_guide() -> None:
    guide = (SAMPLES.parent / "vendor-guide.md").read_text("utf-8")
    assert [path.name for path in SAMPLES.glob("*.xml") if path.name not in guide] == []


def _text(sample: str) -> str:
    return (SAMPLES / sample).read_text("utf-8")


@pytest.mark.parametrize("page", ["README.md", "docs/vendor-guide.md"])
def test_the_python_of_the_documentation_runs(page: str, tmp_path: Path) -> None:
    text = (SAMPLES.parents[1] / page).read_text("utf-8")
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert snippets
    with _served(tmp_path) as url:
        for snippet in snippets:
            spoken = io.StringIO()
            with contextlib.redirect_stdout(spoken):
                exec(snippet.replace("http://127.0.0.1:8080", url), {})
            assert SUCCESS.decode() in spoken.getvalue()


@contextlib.contextmanager
def _served(data: Path) -> Iterator[str]:
    """URL of a server in a thread."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = Settings(data=data, server=ServerSettings(port=port))
    with make_server("127.0.0.1", port, create_app(settings), handler_class=_Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{port}"
        server.shutdown()


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""
