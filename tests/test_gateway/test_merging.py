"""What becomes of answers that say less than they should, and of requests that ask twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from msim_xds.ihe.transactions import Endpoint
from tests.support import queries
from tests.support.metadata import RIM, XDS
from tests.test_gateway.conftest import CommunityNode
from tests.test_gateway.misbehaving import REF, RELATED, THEIRS, UID, delivered, found, send, whole
from tests.test_gateway.test_responding import FAILURE, PARTIAL, RS, SUCCESS, errors, status
from tests.test_gateway.world import Faulty, gateway, partner_toml
from tests.test_repository.messages import retrieve, wanted
from tests.test_server.soap import Response

OTHER = "4.5.6"
SEVERITY = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error"


def problem(code: str, context: str, location: str = THEIRS) -> str:
    return (
        f'<rs:RegistryError xmlns:rs="{RS}" errorCode="{code}" codeContext="{context}" '
        f'severity="{SEVERITY}" location="{location}"/>'
    )


def asked_alone(here: CommunityNode) -> Response:
    """The partner, and nobody else."""
    query = queries.find_documents(returns="ObjectRef")
    query = query.replace(b"<rim:AdhocQuery ", f'<rim:AdhocQuery home="{THEIRS}" '.encode())
    return here.ask(Endpoint.INITIATING_GATEWAY, "RegistryStoredQuery", query)


@pytest.mark.parametrize(
    ("objects", "said", "expected", "words"),
    [
        ("", FAILURE, FAILURE, "refused the query and gave no reason"),
        ("", PARTIAL, PARTIAL, "refused a part of the query and gave no reason"),
        (REF.format(f' home="{THEIRS}"'), PARTIAL, PARTIAL, "refused a part of the query"),
    ],
)
def test_a_status_without_a_reason_is_said(
    tmp_path: Path, objects: str, said: str, expected: str, words: str
) -> None:
    with (
        Faulty(send(whole(found(objects, said)))) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url)) as here,
    ):
        answer = asked_alone(here)
        assert status(answer) == expected
        ((code, context, _),) = errors(answer)
        assert code == "XDSRegistryError"
        assert words in context
        assert len(list(answer.xml().iter(f"{{{RIM}}}ObjectRef"))) == bool(objects)


@pytest.mark.parametrize("said", [FAILURE, PARTIAL])
def test_a_patient_who_is_unknown_there_is_no_failure(tmp_path: Path, said: str) -> None:
    body = found(
        "", said, f"<rs:RegistryErrorList>{problem('XDSUnknownPatientId', 'x')}</rs:RegistryErrorList>"
    )
    with (
        Faulty(send(whole(body))) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url)) as here,
    ):
        answer = asked_alone(here)
        assert (status(answer), errors(answer)) == (SUCCESS, [])


def test_a_partner_is_unknown_when_it_is_not_valid(tmp_path: Path) -> None:
    with (
        Faulty(send(whole(found("")))) as partner,
        gateway(tmp_path, partner_toml("p", THEIRS, partner.url, "valid_until = 2020-01-01")) as here,
    ):
        answer = asked_alone(here)
        assert status(answer) == FAILURE
        assert [each[0] for each in errors(answer)] == ["XDSUnknownCommunity"]
        assert partner.seen == []


def fetched(folder: Path, answer: bytes, ids: Sequence[str]) -> tuple[Response, bytes]:
    """What clients get that ask for these documents of the partner, and what it was asked."""
    with (
        Faulty(send(whole(answer, RELATED))) as partner,
        gateway(folder, partner_toml("p", THEIRS, partner.url)) as here,
    ):
        request = retrieve(*(wanted("1.9", each, THEIRS) for each in ids))
        return here.ask(Endpoint.INITIATING_GATEWAY, "RetrieveDocumentSet", request), partner.seen[0]


def test_a_document_that_is_asked_for_twice_comes_once(tmp_path: Path) -> None:
    answer, asked = fetched(tmp_path, delivered(b"<a/>"), [UID, UID])
    assert status(answer) == SUCCESS
    assert len(list(answer.xml().iter(f"{{{XDS}}}DocumentResponse"))) == 1
    assert answer.parts()[1][1] == b"<a/>"
    assert asked.count(b"<xds:DocumentRequest>") == 1


@pytest.mark.parametrize(
    ("problems", "expected"),
    [
        ("", [("XDSRepositoryError", OTHER)]),
        (
            problem("XDSDocumentUniqueIdError", f"{UID} is not here"),
            [("XDSDocumentUniqueIdError", THEIRS), ("XDSRepositoryError", OTHER)],
        ),
        (problem("XDSDocumentUniqueIdError", "no", OTHER), [("XDSDocumentUniqueIdError", OTHER)]),
        (problem("XDSDocumentUniqueIdError", f"{OTHER} is not here"), [("XDSDocumentUniqueIdError", THEIRS)]),
        (problem("XDSRepositoryBusy", "later"), [("XDSRepositoryBusy", THEIRS)]),
    ],
)
def test_a_document_of_which_nothing_is_said(
    tmp_path: Path, problems: str, expected: list[tuple[str, str]]
) -> None:
    errors_ = f"<rs:RegistryErrorList>{problems}</rs:RegistryErrorList>" if problems else ""
    body = delivered(b"<a/>").replace(
        f'status="{SUCCESS}"/>'.encode(), f'status="{PARTIAL}">{errors_}</rs:RegistryResponse>'.encode()
    )
    answer, _ = fetched(tmp_path, body, [UID, OTHER])
    assert status(answer) == PARTIAL
    assert [(code, location) for code, _, location in errors(answer)] == expected
