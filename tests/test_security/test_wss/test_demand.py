"""Messages that must be signed as a whole: the fault for each that is not; nothing of it is carried out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from lxml import etree

from msim_xds.ihe.transactions import Endpoint
from msim_xds.security.wss.demand import SignedMessages
from msim_xds.security.wss.signing import Credentials, Form, Signer
from msim_xds.security.xua.setup import guards
from msim_xds.server.spyne_app import SoapEndpoint
from msim_xds.wire.exchange import Answer, Request
from msim_xds.wire.mtom import Message
from msim_xds.xua_settings import XuaSettings
from tests.support.authority import NOW, Identity, issue
from tests.support.saml import AUDIENCE, ISSUER, ask, client, fixed, signed, stranger, sts
from tests.test_security.test_wss import test_wss as attacks
from tests.test_server.soap import Response

CA = issue("Messages CA", None, ca=True)
MEMBER = issue("HIS of a member", CA)


class Place:
    """An endpoint that looks at assertions, and at the messages around those of some issuers."""

    def __init__(self, folder: Path, *, required: bool = True, issuers: tuple[str, ...] = (ISSUER,)) -> None:
        (folder / "sts.pem").write_bytes(sts().pem)
        self.carried_out: list[Request] = []
        xua = XuaSettings(registry="optional", issuers={ISSUER: (folder / "sts.pem",)}, audiences=(AUDIENCE,))
        trusted = [client().ours, CA.ours]
        skew = timedelta(seconds=60)
        messages = SignedMessages(issuers, trusted, required=required, clock=fixed(), skew=skew)
        guard = guards(xua, folder, fixed(), messages)[Endpoint.REGISTRY]
        self.endpoint = SoapEndpoint(Endpoint.REGISTRY, self._run, guard=guard)

    def _run(self, request: Request) -> Answer:
        self.carried_out.append(request)
        return Answer([b"<x/>"])

    def send(self, message: bytes | etree._Element) -> str:
        """What is said of a message: the fault's subcode, or nothing where it was carried out."""
        octets = message if isinstance(message, bytes) else etree.tostring(message)
        before = len(self.carried_out)
        reply = self.endpoint.call(Message(octets, {}, mtom=False), "192.0.2.7", "")
        if reply.http_status == 200:
            assert len(self.carried_out) == before + 1
            return ""
        assert len(self.carried_out) == before
        answer = Response(400, {"content-type": "application/soap+xml"}, b"".join(reply.envelope))
        return (answer.fault()[1] or "").rpartition("}")[2]


def message(by: Identity | None = None) -> etree._Element:
    """A query with an assertion, signed as a whole, as it arrives."""
    envelope = etree.fromstring(ask(signed()))
    attacks.signer(by).sign(envelope)
    return attacks.sent(envelope)


def test_what_is_signed_is_carried_out(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert place.send(message()) == ""
    assert place.send(message(MEMBER)) == ""
    assert place.carried_out[0].caller is not None


def test_what_is_not_signed_is_refused_where_that_is_demanded(tmp_path: Path) -> None:
    assert Place(tmp_path).send(ask(signed())) == "FailedAuthentication"
    assert Place(tmp_path, required=False).send(ask(signed())) == ""


def test_other_messages_are_no_business_of_this(tmp_path: Path) -> None:
    assert Place(tmp_path, issuers=("https://another.example.pl",)).send(ask(signed())) == ""
    assert Place(tmp_path).send(ask()) == ""  # without an assertion


def _against(attack: Callable[[etree._Element], None], envelope: etree._Element) -> None:
    """Carry an attack out that was written for SOAP 1.1 and a message without an assertion."""
    security = attacks._element(envelope, f".//{attacks.SECURITY}")
    assertion, namespaces = security[0], dict(attacks.NS)
    security.remove(assertion)
    try:
        attacks.NS["s"] = attacks.SOAP12
        attack(envelope)
    finally:
        attacks.NS.update(namespaces)
        security.insert(0, assertion)


def changed_query(root: etree._Element) -> None:
    attacks._element(root, "s:Body")[0][0].set("returnType", "ObjectRef")


def another_query_in_its_place(root: etree._Element) -> None:
    """The signed Body goes into a header; the one that is read has no id."""
    body = attacks._element(root, "s:Body")
    forged = etree.fromstring(etree.tostring(body))
    forged.attrib.clear()
    forged[0][0].set("returnType", "ObjectRef")
    etree.SubElement(attacks._element(root, "s:Header"), "{urn:x}Wrapper").append(body)
    root.append(forged)


FAULTS: dict[Callable[[etree._Element], None], str] = {
    changed_query: "FailedCheck",
    another_query_in_its_place: "FailedCheck",
    attacks._changed_time: "FailedCheck",
    attacks._no_timestamp: "InvalidSecurity",
    attacks._only_one_reference: "InvalidSecurity",
    attacks._same_reference_twice: "FailedCheck",
    attacks._weak_method: "UnsupportedAlgorithm",
    attacks._weak_digest: "UnsupportedAlgorithm",
    attacks._transform_by_style_sheet: "UnsupportedAlgorithm",
    attacks._object_inside: "InvalidSecurity",
    attacks._key_by_name: "UnsupportedSecurityToken",
    attacks._no_expiry: "InvalidSecurity",
}


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("attack", FAULTS, ids=lambda attack: attack.__name__)
def test_a_signature_that_does_not_hold_is_refused(
    tmp_path: Path, attack: Callable[[etree._Element], None], required: bool
) -> None:
    received = message()
    _against(attack, received)
    assert Place(tmp_path, required=required).send(received) == FAULTS[attack]


def test_a_stranger_is_refused_and_so_is_an_old_message(tmp_path: Path) -> None:
    assert Place(tmp_path).send(message(stranger())) == "FailedAuthentication"
    late = etree.fromstring(ask(signed()))
    Signer(
        Credentials(client().der, attacks.pem(client())),
        Form(),
        fixed(NOW - timedelta(minutes=10)),
    ).sign(late)
    assert Place(tmp_path).send(attacks.sent(late)) == "MessageExpired"


def test_a_signature_of_another_message_is_refused(tmp_path: Path) -> None:
    """Its wsse:Security, put around another query of the same assertion."""
    other = etree.fromstring(ask(signed()))
    security, target = (attacks._element(each, f".//{attacks.SECURITY}") for each in (message(), other))
    header = target.getparent()
    assert header is not None
    header.replace(target, security)
    assert Place(tmp_path).send(other) == "FailedCheck"
