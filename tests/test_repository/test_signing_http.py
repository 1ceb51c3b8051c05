"""Signatures over HTTP, as a hospital's system sees each policy, on both databases."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from lxml import etree

from msim_xds.metadata.signature_slots import PREFIX
from tests.support import metadata, queries
from tests.support.paths import REGISTRY, REPOSITORY
from tests.support.server import ServerProcess, provide_message
from tests.support.signing import CDA, sign
from tests.test_server.soap import QUERY_ACTION

NICE = min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19)
RS = "{urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0}"
SIGNED = sign()
ALTERED = SIGNED.replace(b"bez zmian", b"bez zmiaN")


def provided(server: ServerProcess, octets: bytes) -> str:
    """uniqueId of a document that was submitted."""
    unique_id = metadata.new_oid()
    kind, message = provide_message(
        metadata.single_document(unique_id=unique_id, content=octets), {"Document01": octets}
    )
    assert server.request("POST", REPOSITORY, message, kind).status == 200
    return unique_id


def submit(server: ServerProcess, octets: bytes) -> tuple[etree._Element, dict[str, str]]:
    """The RegistryResponse, and the slots that a query shows when the signature is validated."""
    unique_id = metadata.new_oid()
    body = metadata.single_document(unique_id=unique_id, content=octets)
    kind, message = provide_message(body, {"Document01": octets})
    answer = server.request("POST", REPOSITORY, message, kind).xml()
    (response,) = answer.iter(f"{RS}RegistryResponse")
    return response, settled(server, unique_id)


def shown(server: ServerProcess, unique_id: str) -> dict[str, str]:
    asked = queries.request("GetDocuments", [("$XDSDocumentEntryUniqueId", queries.many(unique_id))])
    found = server.ask(REGISTRY, QUERY_ACTION, asked).xml()
    return {
        slot.get("name", "").removeprefix(PREFIX): slot.findtext(f".//{{{metadata.RIM}}}Value") or ""
        for slot in found.iter(f"{{{metadata.RIM}}}Slot")
        if slot.get("name", "").startswith(PREFIX)
    }


def settled(server: ServerProcess, unique_id: str) -> dict[str, str]:
    """What is shown when nothing is pending any more."""
    deadline = time.monotonic() + 60
    while (slots := shown(server, unique_id)) == {"indication": "PENDING"}:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return slots


def validating(server: ServerProcess) -> int:
    """Process id of the companion that validates: of the server's processes the one of lower priority."""
    (pid,) = [pid for pid in server.processes() if os.getpriority(os.PRIO_PROCESS, pid) == NICE]
    return pid


@pytest.mark.parametrize("policy", ["record", "warn", "reject"])
def test_one_octet_after_signing(tmp_path: Path, database_url: str, policy: str) -> None:
    assert len(ALTERED) == len(SIGNED)
    with ServerProcess(tmp_path, database_url, environment={"MSIM_SIGNATURES__POLICY": policy}) as server:
        intact, shown = submit(server, SIGNED)
        assert intact.get("status", "").endswith(":Success")
        assert (shown["indication"], shown["covers-document"]) == ("INDETERMINATE", "true")
        response, slots = submit(server, ALTERED)
        errors = list(response.iter(f"{RS}RegistryError"))
        if policy == "reject":
            assert response.get("status", "").endswith(":Failure")
            assert slots == {}
        else:
            assert response.get("status", "").endswith(":Success")
            assert (slots["indication"], slots["sub-indication"]) == ("TOTAL_FAILED", "HASH_FAILURE")
        if policy == "record":
            assert errors == []
        else:
            (error,) = errors
            assert error.get("errorCode") == "XDSRepositoryError"
            assert error.get("severity", "").endswith(":Error" if policy == "reject" else ":Warning")
            assert "reference ''" in error.get("codeContext", "")
            assert "TOTAL_FAILED HASH_FAILURE" in error.get("codeContext", "")
        assert submit(server, CDA)[1] == {}


def test_what_waits_survives_every_process(tmp_path: Path, database_url: str) -> None:
    environment = {
        "MSIM_SIGNATURES__POLICY": "record",
        "MSIM_SIGNATURES__TIME_S": "2",
        "MSIM_SIGNATURES__RETRY_S": "1",
    }
    with ServerProcess(tmp_path, database_url, environment=environment) as server:
        assert settled(server, provided(server, SIGNED))["covers-document"] == "true"
        first = validating(server)
        os.kill(first, signal.SIGSTOP)  # so that something is certain to wait
        ids = [provided(server, SIGNED) for _ in range(3)]
        assert shown(server, ids[0]) == {"indication": "PENDING"}
        assert b'"documents": 3' in server.request("GET", "/health").body
        os.kill(first, signal.SIGKILL)
        for unique_id in ids:
            assert settled(server, unique_id)["covers-document"] == "true"
        os.kill(validating(server), signal.SIGSTOP)
        waiting = provided(server, ALTERED)
        server.kill()
        server.start()
        assert settled(server, waiting)["sub-indication"] == "HASH_FAILURE"
