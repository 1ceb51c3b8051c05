"""federation.administrator: what it sends follows our schemas, and what it is answered is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from msim_xds.federation.administrator import DocumentAdministrator
from msim_xds.federation.answers import RemoteFault
from msim_xds.federation.client import DocumentRequest
from msim_xds.ihe.names import RIM, XDS
from msim_xds.ihe.transactions import ITI_62, ITI_86
from tests.test_federation.peer import FAILURE, Peer, Reply, envelope, registry_response
from tests.test_federation.test_client import assert_valid, body_of

NS = {"rim": RIM, "xds": XDS}


def test_remove_metadata(peer: Peer, tmp_path: Path) -> None:
    error = '<rs:RegistryError errorCode="ReferencesExistException" codeContext="why"/>'
    peer.reply = Reply(envelope(registry_response(FAILURE, error)))
    with DocumentAdministrator(peer.url) as administrator:
        answer = administrator.remove_metadata(["urn:uuid:1", "urn:uuid:2"])
    assert (answer.succeeded, [each.code for each in answer.findings]) == (
        False,
        ["ReferencesExistException"],
    )
    body = body_of(peer, ITI_62, tmp_path)
    assert_valid(body, "lcm.xsd")
    assert [each.get("id") for each in body.iterfind("rim:ObjectRefList/rim:ObjectRef", NS)] == [
        "urn:uuid:1",
        "urn:uuid:2",
    ]


def test_remove_documents(peer: Peer, tmp_path: Path) -> None:
    peer.reply = Reply(envelope(registry_response()))
    with DocumentAdministrator("", peer.url) as administrator:
        answer = administrator.remove_documents(
            [DocumentRequest("1.2", "1.2.3"), DocumentRequest("1.2", "4")]
        )
    assert answer.succeeded
    body = body_of(peer, ITI_86, tmp_path)
    assert_valid(body, "rmd.xsd")
    assert [each.text for each in body.iterfind(".//xds:DocumentUniqueId", NS)] == ["1.2.3", "4"]


def test_a_fault_is_raised(peer: Peer) -> None:
    fault = (
        "<s:Fault><s:Code><s:Value>s:Sender</s:Value></s:Code>"
        '<s:Reason><s:Text xml:lang="en">no</s:Text></s:Reason></s:Fault>'
    )
    peer.reply = Reply(envelope(fault), 400)
    with DocumentAdministrator(peer.url) as administrator, pytest.raises(RemoteFault):
        administrator.remove_metadata(["urn:uuid:1"])
