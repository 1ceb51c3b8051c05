"""Requests' envelopes: what is read, and which fault each breach gets."""

from __future__ import annotations

import pytest

from msim_xds.ihe.names import SOAP, SOAP11, WSA, WSA_ANONYMOUS, WSSE
from msim_xds.ihe.transactions import ITI_18
from msim_xds.wire.envelope import action_not_supported, answer_envelope_parts, read, read_again
from msim_xds.wire.exchange import Addressing, ReplyAddress
from msim_xds.wire.faults import FaultCode, SoapFault, fault_envelope
from msim_xds.wire.safexml import parse

NONE = f"{WSA}/none"
ACTION = '<a:Action s:mustUnderstand="1">urn:act</a:Action>'
MESSAGE_ID = "<a:MessageID>urn:uuid:1</a:MessageID>"
PAYLOAD = "<p/>"
SECURITY = f'<w:Security xmlns:w="{WSSE}" s:mustUnderstand="true"/>'


def envelope(header: str = ACTION + MESSAGE_ID, body: str = PAYLOAD, namespace: str = SOAP) -> bytes:
    return (
        f'<s:Envelope xmlns:s="{namespace}" xmlns:a="{WSA}">\n<s:Header>{header}</s:Header>\n'
        f"<s:Body>\n{body}\n</s:Body></s:Envelope>"
    ).encode()


def fault_of(data: bytes) -> SoapFault:
    with pytest.raises(SoapFault) as caught:
        read(parse(data))
    parse(fault_envelope(caught.value))
    return caught.value


def subcodes(fault: SoapFault) -> list[str]:
    assert fault.code is FaultCode.SENDER
    return [name.removeprefix(f"{{{WSA}}}") for name in fault.subcodes]


def reference(name: str, address: str = WSA_ANONYMOUS) -> str:
    return f"<a:{name}><a:Address> {address} </a:Address></a:{name}>"


class TestRead:
    def test_everything(self) -> None:
        header = (
            f"{ACTION}{MESSAGE_ID}<a:To>http://x/y</a:To>{reference('ReplyTo')}{reference('From', 'http://x')}"
            f"{reference('FaultTo')}<a:RelatesTo>urn:1</a:RelatesTo><a:RelatesTo>urn:2</a:RelatesTo>{SECURITY}"
        )
        found = read(parse(envelope(f"<!-- c -->{header}")), {f"{{{WSSE}}}Security"})
        assert found.addressing == Addressing("urn:act", "urn:uuid:1", "http://x/y")
        assert found.payload.tag == "p"
        assert found.header is not None
        assert len(found.header) == 9

    def test_the_least(self) -> None:
        found = read(parse(envelope("<a:Action>\n urn:act </a:Action>")))
        assert found.addressing == Addressing("urn:act")

    @pytest.mark.parametrize("role", ["role/next", "role/ultimateReceiver"])
    def test_blocks_for_us(self, role: str) -> None:
        fault = fault_of(
            envelope(f'{ACTION}<n:B xmlns:n="urn:n" s:role="{SOAP}/{role}" s:mustUnderstand="1"/>')
        )
        assert fault.not_understood == ("{urn:n}B",)

    @pytest.mark.parametrize("role", [f"{SOAP}/role/none", "http://other"])
    def test_blocks_for_others_are_none_of_our_business(self, role: str) -> None:
        target = f's:role="{role}" s:mustUnderstand="1"'
        others = f'<n:B xmlns:n="urn:n" {target}/><a:Action {target}>x</a:Action>'
        assert read(parse(envelope(ACTION + others))).addressing.action == "urn:act"

    @pytest.mark.parametrize("value", ["0", "false", ""])
    def test_blocks_that_need_not_be_understood(self, value: str) -> None:
        block = f'<n:B xmlns:n="urn:n" s:mustUnderstand="{value}"/><Action>no namespace</Action>'
        assert read(parse(envelope(ACTION + block))).addressing.action == "urn:act"


class TestVersion:
    def test_soap_1_1(self) -> None:
        fault = fault_of(envelope(namespace=SOAP11))
        assert (fault.code, fault.http_status) == (FaultCode.VERSION_MISMATCH, 500)
        assert fault.reason.startswith("the message is SOAP 1.1; allowed:")

    @pytest.mark.parametrize("data", [b"<Envelope/>", b"<p/>", f'<s:Body xmlns:s="{SOAP}"/>'.encode()])
    def test_no_envelope(self, data: bytes) -> None:
        assert fault_of(data).code is FaultCode.VERSION_MISMATCH


class TestStructure:
    @pytest.mark.parametrize(
        "inner",
        [
            "",
            "<s:Header/>",
            "<s:Body><p/></s:Body><s:Header/>",
            "<s:Body/><s:Body/>",
            "<s:Header/><s:Header/><s:Body/>",
            "<s:Header/><s:Body/><trailer/>",
            "<Body/>",
        ],
    )
    def test_broken(self, inner: str) -> None:
        fault = fault_of(f'<s:Envelope xmlns:s="{SOAP}">{inner}</s:Envelope>'.encode())
        assert (fault.code, fault.subcodes) == (FaultCode.SENDER, ())
        assert "soap:Body" in fault.reason

    @pytest.mark.parametrize(("body", "count"), [("", 0), ("text", 0), ("<p/><p/>", 2)])
    def test_body_holds_one_element(self, body: str, count: int) -> None:
        fault = fault_of(envelope(body=body))
        assert fault.reason.endswith(f"it holds {count}")
        assert fault.relates_to == "urn:uuid:1"

    def test_without_a_header_the_action_is_missing(self) -> None:
        fault = fault_of(f'<s:Envelope xmlns:s="{SOAP}"><s:Body><p/></s:Body></s:Envelope>'.encode())
        assert subcodes(fault) == ["MessageAddressingHeaderRequired"]


class TestMustUnderstand:
    @pytest.mark.parametrize("value", ["1", "true", " true "])
    def test_unknown_blocks(self, value: str) -> None:
        blocks = f'<n:B xmlns:n="urn:n" s:mustUnderstand="{value}"/><a:New s:mustUnderstand="1"/>{SECURITY}'
        fault = fault_of(envelope(ACTION + MESSAGE_ID + blocks))
        assert (fault.code, fault.http_status, fault.relates_to) == (
            FaultCode.MUST_UNDERSTAND,
            500,
            "urn:uuid:1",
        )
        assert fault.not_understood == ("{urn:n}B", f"{{{WSA}}}New", f"{{{WSSE}}}Security")

    def test_it_goes_before_addressing(self) -> None:
        assert fault_of(envelope(SECURITY)).code is FaultCode.MUST_UNDERSTAND

    def test_thousands_of_blocks_make_no_large_answer(self) -> None:
        fault = fault_of(envelope('<n:B xmlns:n="urn:n" s:mustUnderstand="1"/>' * 10_000))
        assert len(fault_envelope(fault)) < 5000


class TestAddressing:
    @pytest.mark.parametrize(
        ("header", "names", "problem"),
        [
            (MESSAGE_ID, ["MessageAddressingHeaderRequired"], "wsa:Action is missing"),
            (
                '<o:Action xmlns:o="http://schemas.xmlsoap.org/ws/2004/08/addressing">x</o:Action>',
                ["MessageAddressingHeaderRequired"],
                "wsa:Action is missing",
            ),
            (
                ACTION * 2,
                ["InvalidAddressingHeader", "InvalidCardinality"],
                "wsa:Action occurs more than once",
            ),
            ("<a:Action> </a:Action>", ["InvalidAddressingHeader", "InvalidAddress"], "wsa:Action is empty"),
            (
                ACTION + reference("ReplyTo", "http://x/async"),
                ["InvalidAddressingHeader", "OnlyAnonymousAddressSupported"],
                "wsa:ReplyTo is 'http://x/async'; allowed:",
            ),
            (
                ACTION + reference("ReplyTo", NONE),
                ["InvalidAddressingHeader", "OnlyAnonymousAddressSupported"],
                "wsa:ReplyTo is",
            ),
            (
                ACTION + reference("FaultTo", "http://x/async"),
                ["InvalidAddressingHeader", "OnlyAnonymousAddressSupported"],
                "wsa:FaultTo is",
            ),
            (ACTION + "<a:ReplyTo/>", ["InvalidAddressingHeader", "MissingAddressInEPR"], "one wsa:Address"),
        ],
    )
    def test_breaches(self, header: str, names: list[str], problem: str) -> None:
        fault = fault_of(envelope(header))
        assert subcodes(fault) == names
        assert problem in fault.reason
        assert fault.detail.startswith("<wsa:ProblemHeaderQName>wsa:")

    @pytest.mark.parametrize("name", ["MessageID", "To", "ReplyTo", "From", "FaultTo"])
    def test_headers_that_occur_once(self, name: str) -> None:
        fault = fault_of(envelope(ACTION + MESSAGE_ID + reference(name) * 2))
        assert subcodes(fault) == ["InvalidAddressingHeader", "InvalidCardinality"]
        assert fault.detail == f"<wsa:ProblemHeaderQName>wsa:{name}</wsa:ProblemHeaderQName>"
        assert fault.relates_to == "urn:uuid:1"

    def test_unknown_action(self) -> None:
        fault = action_not_supported("urn:<evil>&" + "x" * 500, {"urn:b", "urn:a"})
        assert subcodes(fault) == ["ActionNotSupported"]
        assert fault.reason.endswith("allowed: urn:a, urn:b")
        text = parse(fault_envelope(fault)).findtext(f".//{{{WSA}}}ProblemAction/{{{WSA}}}Action")
        assert text is not None
        assert text.startswith("urn:<evil>&xxx")
        assert len(text) < 200


class TestDestinations:
    """Where answers and faults go, when addresses elsewhere are allowed."""

    @staticmethod
    def addressing(header: str) -> Addressing:
        check = {"http://bad": "not allowed"}.get
        root = parse(envelope(ACTION + header))
        found = read(root, check_address=check).addressing
        assert read_again(root).addressing == found
        return found

    @pytest.mark.parametrize(
        ("header", "reply_to", "fault_to"),
        [
            ("", None, None),
            (reference("ReplyTo"), None, None),
            (reference("ReplyTo", "http://x"), "http://x", "http://x"),
            (reference("FaultTo", "http://y"), None, "http://y"),
            (reference("ReplyTo", "http://x") + reference("FaultTo"), "http://x", None),
            (reference("ReplyTo", "http://x") + reference("FaultTo", "http://y"), "http://x", "http://y"),
            (reference("ReplyTo", NONE), NONE, NONE),
        ],
    )
    def test_fault_to_is_reply_to_unless_it_is_there(
        self, header: str, reply_to: str | None, fault_to: str | None
    ) -> None:
        found = self.addressing(MESSAGE_ID + header)
        assert found.reply_to == (None if reply_to is None else ReplyAddress(reply_to))
        assert found.fault_to == (None if fault_to is None else ReplyAddress(fault_to))

    def test_only_what_is_sent_needs_a_message_id(self) -> None:
        found = self.addressing(reference("ReplyTo", NONE) + reference("FaultTo"))
        assert found.reply_to is not None
        assert found.reply_to.is_none
        with pytest.raises(SoapFault, match="MessageID is missing") as caught:
            self.addressing(reference("ReplyTo", NONE) + reference("FaultTo", "http://x"))
        assert subcodes(caught.value) == ["MessageAddressingHeaderRequired"]

    def test_address_that_is_not_allowed(self) -> None:
        with pytest.raises(SoapFault, match="wsa:FaultTo is 'http://bad': not allowed") as caught:
            self.addressing(MESSAGE_ID + reference("FaultTo", "http://bad"))
        assert subcodes(caught.value) == ["InvalidAddressingHeader", "InvalidAddress"]
        assert caught.value.destination is None

    def test_accepted_envelope_needs_no_header(self) -> None:
        with pytest.raises(SoapFault, match="wsa:Action is missing"):
            read_again(parse(f'<s:Envelope xmlns:s="{SOAP}"><s:Body><p/></s:Body></s:Envelope>'.encode()))


class TestAnswer:
    def test_headers_of_an_answer_that_is_sent(self) -> None:
        to = ReplyAddress("http://x/?a&b", '<n:Case xmlns:n="urn:n">7</n:Case>')
        head, tail = answer_envelope_parts(ITI_18.answer_action, "urn:1", "urn:uuid:2", to)
        header = parse(head + b"<p/>" + tail)[0]
        assert header.findtext(f"{{{WSA}}}To") == "http://x/?a&b"
        assert header.findtext("{urn:n}Case") == "7"

    def test_headers_of_a_fault_that_is_sent(self) -> None:
        fault = action_not_supported("urn:x", ["urn:a"])
        fault.relates_to, fault.destination = "urn:1", ReplyAddress("http://x", "<Case/>")
        blocks = {block.tag: block.text for block in parse(fault_envelope(fault, message_id="urn:2"))[0]}
        names = ("Action", "MessageID", "RelatesTo", "To")
        assert [blocks[f"{{{WSA}}}{name}"] for name in names] == [
            f"{WSA}/fault",
            "urn:2",
            "urn:1",
            "http://x",
        ]
        assert "Case" in blocks
        assert b"wsa:To" not in fault_envelope(fault)

    def test_headers(self) -> None:
        head, tail = answer_envelope_parts(ITI_18.answer_action, "urn:<a>&b", "urn:uuid:2")
        root = parse(head + b"<p/>" + tail)
        assert [child.tag for child in root] == [f"{{{SOAP}}}Header", f"{{{SOAP}}}Body"]
        blocks = {block.tag.removeprefix(f"{{{WSA}}}"): block.text for block in root[0]}
        assert blocks == {
            "Action": ITI_18.answer_action,
            "MessageID": "urn:uuid:2",
            "RelatesTo": "urn:<a>&b",
            "To": WSA_ANONYMOUS,
        }
        assert root[0][0].get(f"{{{SOAP}}}mustUnderstand") == "1"
        assert read(root).payload.tag == "p"

    def test_nothing_to_relate_to(self) -> None:
        head, _ = answer_envelope_parts(ITI_18.answer_action, None, "urn:uuid:2")
        assert b"RelatesTo" not in head
