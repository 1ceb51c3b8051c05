"""What becomes of refusals and of exceptions, for every transaction."""

from __future__ import annotations

import errno

import pytest
import structlog
from lxml import etree

from msim_xds.findings import Finding, Refused
from msim_xds.ihe.acknowledgements import Condition
from msim_xds.ihe.errors import ERRORS
from msim_xds.ihe.names import RS, ResponseStatus
from msim_xds.ihe.transactions import ITI_41, ITI_44_ADD, ITI_55, TRANSACTIONS, AnswerKind, Transaction
from msim_xds.server.pipeline import Pipeline, offered
from msim_xds.wire.exchange import Addressing, Answer, Request

SECRET = "58831404726"
HL7 = (AnswerKind.ACKNOWLEDGEMENT, AnswerKind.PATIENT_DISCOVERY)
ROWS = pytest.mark.parametrize(
    "row", [t for t in TRANSACTIONS if t.answer not in HL7], ids=lambda row: row.name
)


def run(
    row: Transaction, outcome: Answer | Exception, limit: int = 100
) -> tuple[Answer, list[dict[str, object]]]:
    def handler(request: Request) -> Answer:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    pipeline = Pipeline({t.name: handler for t in TRANSACTIONS}, limit)
    request = Request(row, etree.Element(row.body), Addressing(row.action))
    with structlog.testing.capture_logs() as logs:
        answer = pipeline.run(request)
    return answer, [dict(entry) for entry in logs]


def errors_of(answer: Answer) -> list[etree._Element]:
    root = etree.fromstring(b"".join(answer.payload))
    return list(root.iter(f"{{{RS}}}RegistryError"))


@ROWS
def test_answer_passes_through(row: Transaction) -> None:
    given = Answer([b"<x/>"])
    answer, logs = run(row, given)
    assert answer is given
    (line,) = logs
    assert (line["event"], line["transaction"], line["status"]) == ("request", row.name, "Success")
    assert line["codes"] == []


@ROWS
def test_refusal_is_answered_with_all_findings(row: Transaction) -> None:
    findings = [Finding("XDSRegistryMetadataError", f"wrong {n}", seen=SECRET) for n in range(3)]
    answer, logs = run(row, Refused(findings))
    assert answer.status is ResponseStatus.FAILURE
    assert answer.findings == tuple(findings)
    assert etree.fromstring(b"".join(answer.payload)).tag == row.answer.value
    assert [e.get("errorCode") for e in errors_of(answer)] == ["XDSRegistryMetadataError"] * 3
    assert logs[0]["codes"] == ["XDSRegistryMetadataError"]
    assert SECRET not in str(logs)


@ROWS
@pytest.mark.parametrize(
    ("error", "kind", "events"),
    [
        (ValueError(SECRET), "Error", ["failed", "request"]),
        (RecursionError(SECRET), "Error", ["failed", "request"]),
        (PermissionError(errno.EACCES, SECRET), "Error", ["failed", "request"]),
        (OSError(errno.ENOSPC, SECRET), "OutOfResources", ["failed", "request"]),
        (OSError(errno.EDQUOT, SECRET), "OutOfResources", ["failed", "request"]),
        (MemoryError(), "OutOfResources", ["failed", "request"]),
        (TimeoutError(SECRET), "Busy", ["busy", "request"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_exception_is_answered_with_a_reference(
    row: Transaction, error: Exception, kind: str, events: list[str]
) -> None:
    answer, logs = run(row, error)
    (entry,) = errors_of(answer)
    code = str(entry.get("errorCode"))
    context = str(entry.get("codeContext"))
    assert code == row.failure.removesuffix("Error") + kind
    assert row.name in ERRORS[code].transactions
    assert answer.status is ResponseStatus.FAILURE
    assert [line["event"] for line in logs] == events
    assert str(logs[0]["reference"]) in context
    assert SECRET not in context
    assert "Traceback" not in context
    assert logs[0].get("exc_info") is (error if events[0] == "failed" else None)


@pytest.mark.parametrize(
    ("error", "management"),
    [
        (Refused([Finding(Condition.UNKNOWN_KEY, "unknown", attribute="id")]), "AnswerNotAvailable"),
        (ValueError(SECRET), "InternalError"),
        (TimeoutError(SECRET), "ResponderBusy"),
    ],
)
def test_a_discovery_fails_in_words_of_hl7(error: Exception, management: str) -> None:
    answer, logs = run(ITI_55, error)
    root = etree.fromstring(b"".join(answer.payload))
    assert root.tag == ITI_55.answer.value
    code = root.find(".//{*}detectedIssueManagement/{*}code")
    assert code is not None
    assert code.get("code") == management
    assert answer.status is ResponseStatus.FAILURE
    assert SECRET not in f"{answer.payload}{logs[-1]}"


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        (Refused([Finding(Condition.UNKNOWN_KEY, "unknown", attribute="id")]), "CE", "204"),
        (Refused([Finding(Condition.UNSUPPORTED_PROCESSING_ID, "unknown")]), "CR", "202"),
        (ValueError(SECRET), "CE", "INTERR"),
        (TimeoutError(SECRET), "CE", "206"),
    ],
)
def test_messages_of_hl7_are_acknowledged(error: Exception, outcome: str, code: str) -> None:
    answer, logs = run(ITI_44_ADD, error)
    root = etree.fromstring(b"".join(answer.payload))
    assert root.tag == ITI_44_ADD.answer.value
    seen = {
        name: root.find(f"{{*}}acknowledgement/{{*}}{name}") for name in ("typeCode", "acknowledgementDetail")
    }
    assert seen["typeCode"] is not None
    assert seen["acknowledgementDetail"] is not None
    assert seen["typeCode"].get("code") == outcome
    assert seen["acknowledgementDetail"][0].get("code") == code
    assert answer.status is ResponseStatus.FAILURE
    assert SECRET not in f"{answer.payload}{logs[-1]}"


def test_every_exception_has_its_own_reference() -> None:
    first, second = (run(TRANSACTIONS[0], ValueError())[0].findings[0].problem for _ in range(2))
    assert first != second


def test_findings_are_capped() -> None:
    answer, _ = run(TRANSACTIONS[0], Refused([Finding("XDSRegistryError", "x")] * 50), limit=7)
    assert len(errors_of(answer)) == 7


def test_every_transaction_needs_a_handler() -> None:
    def handler(request: Request) -> Answer:
        raise AssertionError

    with pytest.raises(ValueError, match="no handler for ITI-43, ITI-86"):
        Pipeline({ITI_41.name: handler}, 1)


def test_an_endpoint_without_any_handler_is_not_offered() -> None:
    def handler(request: Request) -> Answer:
        raise AssertionError

    assert offered({ITI_41.name: handler}) == {ITI_41.endpoint}


def test_interrupts_are_not_caught() -> None:
    class Stop(BaseException):
        pass

    def handler(request: Request) -> Answer:
        raise Stop

    row = TRANSACTIONS[0]
    pipeline = Pipeline({t.name: handler for t in TRANSACTIONS}, 1)
    with pytest.raises(Stop):
        pipeline.run(Request(row, etree.Element("x"), Addressing(row.action)))
