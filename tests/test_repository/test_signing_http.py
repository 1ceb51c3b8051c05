"""Signatures over HTTP, as a hospital's system sees each policy, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from msim_xds.metadata.signature_slots import PREFIX
from tests.support import metadata, queries
from tests.support.server import REGISTRY, REPOSITORY, ServerProcess, provide_message
from tests.support.signing import CDA, sign
from tests.test_server.soap import QUERY_ACTION

RS = "{urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0}"
SIGNED = sign()
ALTERED = SIGNED.replace(b"bez zmian", b"bez zmiaN")


def submit(server: ServerProcess, octets: bytes) -> tuple[etree._Element, dict[str, str]]:
    """The RegistryResponse, and the slots that a query shows."""
    unique_id = metadata.new_oid()
    body = metadata.single_document(unique_id=unique_id, content=octets)
    kind, message = provide_message(body, {"Document01": octets})
    answer = server.request("POST", REPOSITORY, message, kind).xml()
    asked = queries.request("GetDocuments", [("$XDSDocumentEntryUniqueId", queries.many(unique_id))])
    found = server.ask(REGISTRY, QUERY_ACTION, asked).xml()
    slots = {
        slot.get("name", "").removeprefix(PREFIX): slot.findtext(f".//{{{metadata.RIM}}}Value") or ""
        for slot in found.iter(f"{{{metadata.RIM}}}Slot")
        if slot.get("name", "").startswith(PREFIX)
    }
    (response,) = answer.iter(f"{RS}RegistryResponse")
    return response, slots


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
