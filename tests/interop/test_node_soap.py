"""node-soap against a running server. `make interop` installs it and runs this; `make test` leaves it out."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

HERE = Path(__file__).parent
SAMPLE = HERE.parents[1] / "docs" / "samples" / "iti-41-provide-and-register.xml"
PATIENT = "58831404726^^^&2.16.840.1.113883.3.4424.1.1.616&ISO"
DOCUMENT = "2.16.840.1.113883.3.4424.2.7.99999.7.1001"
REPOSITORY = "2.16.840.1.113883.3.4424.2.7.99999.24.1"
STATUS = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:"

pytestmark = pytest.mark.interop


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """URL of a server of its own, as `msim-xds serve` starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = (
        Path(sys.executable).with_name("msim-xds"),
        "serve",
        "--port",
        str(port),
        "--data",
        str(tmp_path),
    )
    with subprocess.Popen(command) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(f"{url}/health", process)
            yield url
        finally:
            process.terminate()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(150):
        assert process.poll() is None, "the server has ended"
        try:
            urlopen(url, timeout=5).close()
            return
        except URLError:
            time.sleep(0.2)
    pytest.fail(f"{url} does not answer")


def _publish(server: str) -> None:
    body = SAMPLE.read_bytes()
    urlopen(Request(f"{server}/xds/repository", body, {"Content-Type": "application/soap+xml"})).close()


def _call(script: str, *arguments: str) -> object:
    called = subprocess.run(["node", HERE / script, *arguments], capture_output=True, text=True, check=False)
    assert called.returncode == 0, called.stderr
    return json.loads(called.stdout)


def test_find_documents(server: str) -> None:
    _publish(server)
    assert _call("find_documents.js", f"{server}/xds/registry?wsdl", PATIENT) == {
        "operations": [
            "DocumentRegistry_RegisterDocumentSet-b",
            "DocumentRegistry_RegisterOnDemandDocumentEntry",
            "DocumentRegistry_RegistryStoredQuery",
            "DocumentRegistry_MultiPatientStoredQuery",
        ],
        "status": f"{STATUS}Success",
        "uniqueIds": [DOCUMENT],
    }


def test_remove_documents(server: str) -> None:
    _publish(server)
    call = ("remove_documents.js", f"{server}/xds/repository?wsdl=rmd", REPOSITORY, DOCUMENT)
    assert _call(*call) == {"status": f"{STATUS}Success", "codes": []}
    assert _call(*call) == {"status": f"{STATUS}Failure", "codes": ["XDSDocumentUniqueIdError"]}
