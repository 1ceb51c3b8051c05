"""Messages read leniently and acknowledged in their own terms."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msim_xds.findings import Finding, Refused
from msim_xds.ihe.acknowledgements import Acknowledged, Condition
from msim_xds.metadata.identity import Identifier
from msim_xds.mllp.hl7v2 import Header, Message, NotHl7, acknowledgement, unsupported
from tests.test_mllp.messages import announcement, header, message, segments

UTF8 = "UNICODE UTF-8"


def read(data: bytes, character_set: str = UTF8) -> Message:
    received = Message(data, character_set)
    received.decode()
    return received


def refusal(data: bytes, character_set: str = UTF8) -> tuple[str, str]:
    with pytest.raises(Refused) as refused:
        read(data, character_set)
    (finding,) = refused.value.findings
    return finding.code, finding.attribute


def test_header() -> None:
    seen = read(announcement("1", f3="HIS^1.2^ISO")).header
    assert seen == Header(("HIS^1.2^ISO", "KRK"), ("MSIM", "RHIE"), "ADT", "A01", "MSG1", "P", "2.3.1", "")


@pytest.mark.parametrize("line_end", ["\r", "\n", "\r\n", "\r\r\n"])
def test_line_ends(line_end: str) -> None:
    data = announcement("1~2").replace(b"\r", line_end.encode())
    assert [each.value for each in read(data).identifiers("PID", 3).identifiers] == ["1", "2"]


def test_identifiers() -> None:
    field = "58^^^KRK&1.2.3&ISO^PI~~7 ^^^HIS~8~^^^X"
    given_ = read(announcement(field)).identifiers("PID", 3)
    assert given_.place == "PID-3"
    assert given_.identifiers == (
        Identifier("58", "KRK", "1.2.3", "ISO"),
        Identifier("7", "HIS"),
        Identifier("8"),
    )


def test_absent_segments_and_fields_are_empty() -> None:
    received = read(message(header(), "PID"))
    assert received.identifiers("PID", 3).identifiers == ()
    assert received.identifiers("MRG", 1).identifiers == ()
    assert received.text("PID", 5) == ""
    assert (received.count("PID"), received.count("MRG")) == (1, 0)


def test_other_delimiters_and_escapes() -> None:
    data = b"MSH#*%!?#HIS#KRK#####ADT*A01#M1#P#2.5\rPID###a!S!b!F!c!T!d!E!e***?1.2.3?ISO%x\r"
    ids = read(data).identifiers("PID", 3).identifiers
    assert ids == (Identifier("a*b#c?d!e", "", "1.2.3", "ISO"), Identifier("x"))


@pytest.mark.parametrize(
    ("named", "default", "encoding"),
    [
        (UTF8, "ASCII", "utf-8"),
        ("8859/2", UTF8, "iso8859-2"),
        ("", UTF8, "utf-8"),
        ("", "8859/2", "iso8859-2"),
        ("windows-1250", UTF8, "cp1250"),
    ],
)
def test_character_sets(named: str, default: str, encoding: str) -> None:
    data = message(header(f18=named), "PID|||1||Żółcińska^Łucja", encoding=encoding)
    assert read(data, default).text("PID", 5) == "Żółcińska"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (message(header(f18="EBCDIC"), "PID|||1"), ("103", "MSH-18")),
        (message(header(), "PID|||1||Żółw", encoding="iso8859-2"), ("102", "MSH-18")),
        (message(header(f18="ASCII"), "PID|||1||Żółw"), ("102", "MSH-18")),
        (message(header(), f"PID|||1||{'x' * 20000}"), ("102", "PID")),
    ],
)
def test_unreadable(data: bytes, expected: tuple[str, str]) -> None:
    assert refusal(data) == expected


def test_escapes_without_sense(caplog: pytest.LogCaptureFixture) -> None:
    received = read(announcement(r"58\Zsecret\1\.sptwo\2"))
    with caplog.at_level(logging.DEBUG), pytest.raises(Refused, match="102:  PID-3"):
        received.identifiers("PID", 3)
    assert caplog.text == ""  # the library would quote the field


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"MSH",
        b"MSH|",
        b"PID|||1",
        b"MSH|^^^^|A",
        b"MSH|^~\\",
        b"MSHaBCDEa",
        b"MSH ^~\\& A",
        b"\xff\xfe",
        b"FHS|^~\\&|A",
    ],
)
def test_no_message(data: bytes) -> None:
    with pytest.raises(NotHl7):
        Message(data, UTF8)


@pytest.mark.parametrize(
    ("version", "processing", "code"),
    [("2.3", "P", None), ("2.5.1", "T", None), ("", "", None), ("2.4", "D", None), ("2.2", "P", "203"),
     ("2.51", "P", "203"), ("3", "P", "203"), ("2.5", "X", "202")],
)  # fmt: skip
def test_versions_and_processing_ids(version: str, processing: str, code: str | None) -> None:
    finding = unsupported(Header(version=version, processing_id=processing))
    assert (finding and finding.code) == code


class TestAcknowledgement:
    FINDING = Finding(Condition.UNKNOWN_KEY, "nobody|knows^it", attribute="MRG-1", seen="Ż\r1")

    def written(self, outcome: Acknowledged = Acknowledged.ERROR, *findings: Finding, **fields: str) -> bytes:
        received = Message(announcement("1", "A40", **fields), UTF8).header
        return acknowledgement(received, outcome, findings, "C1", "20260914120000+0000")

    def test_accepted(self) -> None:
        assert self.written(Acknowledged.ACCEPT) == (
            b"MSH|^~\\&|MSIM|RHIE|HIS|KRK|20260914120000+0000||ACK|C1|P|2.3.1\rMSA|AA|MSG1\r"
        )

    def test_accepted_with_a_warning_has_no_err(self) -> None:
        seen = segments(self.written(Acknowledged.ACCEPT, self.FINDING))
        assert set(seen) == {"MSH", "MSA"}
        assert "knows" in seen["MSA"][3]

    def test_error_of_an_old_version(self) -> None:
        seen = segments(self.written(Acknowledged.ERROR, self.FINDING))
        assert seen["MSA"][1:3] == ["AE", "MSG1"]
        assert seen["ERR"][1:5] == [
            "MRG^1^1^204&Unknown key identifier&HL70357",
            "MRG^1^1",
            "204^Unknown key identifier^HL70357",
            "E",
        ]

    def test_error_of_a_newer_version(self) -> None:
        seen = segments(self.written(Acknowledged.ERROR, self.FINDING, f12="2.5"))
        assert seen["MSH"][8] == "ACK^A40^ACK"
        assert seen["ERR"][1:4] == ["", "MRG^1^1", "204^Unknown key identifier^HL70357"]
        assert r"nobody\F\knows\S\it" in seen["ERR"][8]

    @pytest.mark.parametrize(
        ("condition", "place"),
        [(Condition.UNSUPPORTED_MESSAGE, "MSH^1^9^1^1"), (Condition.UNSUPPORTED_EVENT, "MSH^1^9^1^2")],
    )
    def test_rejections_name_the_component(self, condition: Condition, place: str) -> None:
        seen = segments(self.written(Acknowledged.REJECT, Finding(condition, "x", attribute="MSH-9")))
        assert seen["ERR"][2] == place

    def test_in_the_character_set_of_the_message(self) -> None:
        answer = self.written(Acknowledged.ERROR, self.FINDING, f18="8859/2")
        assert "Ż" in segments(answer, "iso8859-2")["ERR"][8]
        assert segments(answer, "iso8859-2")["MSH"][17] == "8859/2"
        assert b"?" in self.written(Acknowledged.ERROR, self.FINDING)

    @given(st.text(max_size=40), st.text(st.characters(codec="utf-8"), max_size=40))
    def test_nothing_breaks_out_of_its_field(self, problem: str, control_id: str) -> None:
        received = Header(control_id=control_id, version="2.5", character_set=UTF8)
        finding = Finding(Condition.DATA_TYPE, problem, attribute="PID-3")
        answer = acknowledgement(received, Acknowledged.ERROR, [finding], "C1", "2026")
        lines = answer.decode("utf-8", "replace").split("\r")
        assert [line[:3] for line in lines] == ["MSH", "MSA", "ERR", ""]
        assert [line.count("|") for line in lines] == [17, 3, 8, 0]


@given(st.binary(max_size=200))
def test_octets_are_a_message_or_none(data: bytes) -> None:
    try:
        read(b"MSH|^~\\&|" + data).identifiers("PID", 3)
    except (NotHl7, Refused):
        return
