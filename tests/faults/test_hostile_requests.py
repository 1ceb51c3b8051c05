"""Hostile text in every place of queries, retrievals and headers: it selects nothing and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

import pytest

from msim_xds.ihe.queries import QUERIES, Match
from msim_xds.ihe.transactions import ITI_18, ITI_41, ITI_43, ITI_51
from tests.faults.hostile import hostile
from tests.faults.target import Target, codes, nothing_kept, verdict
from tests.support.metadata import APPROVED, HAS_MEMBER, PATIENT, REPOSITORY, single_document
from tests.support.paths import REGISTRY
from tests.support.paths import REPOSITORY as REPOSITORY_PATH
from tests.support.queries import many, one, request
from tests.support.server import provide_message
from tests.test_repository.messages import retrieve, wanted
from tests.test_server.soap import envelope

pytestmark = pytest.mark.no_cover  # the gates hold without it, and tracing doubles its time

#: Parameters that select by equality: nobody has these values.
_EXACT = {Match.EQUAL, Match.CODE, Match.LOGICAL_ID}
#: Valid values of required parameters.
_USUAL = {Match.EQUAL: one(PATIENT), Match.STATUS: many(APPROVED), Match.ASSOCIATION_TYPE: many(HAS_MEMBER),
          Match.REFERENCE: one("%")}  # fmt: skip
_RETRIEVE_CODES = {"XDSUnknownRepositoryId", "XDSDocumentUniqueIdError", "XDSRepositoryError"}


@pytest.fixture(scope="module", autouse=True)
def _one_document(target: Target) -> None:
    """Something to be found by mistake."""
    content_type, body = provide_message(single_document(), {"Document01": b"hello"})
    assert verdict(target.post(REPOSITORY_PATH, body, content_type)) == "Success"


def queries(value: str) -> Iterator[tuple[Match, bytes, str]]:
    """Every parameter of every query with the value in several notations: how it selects, message, action."""
    actions = {row.name: row.action for row in (ITI_18, ITI_51)}
    for row in QUERIES.values():
        needed = {param.name: _USUAL[param.match] for param in row.params if param.required}
        for param in row.params:
            by_id = {} if param.name in row.identifiers else dict.fromkeys(row.identifiers[:1], one("1.2"))
            if row.any_of and param.name not in row.any_of:
                by_id[row.any_of[0]] = many(PATIENT)
            if param.level > 1:
                by_id["$MetadataLevel"] = str(param.level)
            for notation in (value, one(value), many(value, value), f"('{value}'"):
                given = needed | by_id | {param.name: notation}
                yield param.match, request(row.name, given.items()), actions[row.transaction]


@hostile
def test_in_queries(target: Target, value: str) -> None:
    with nothing_kept(target):
        for match, message, action in queries(value):
            answer = target.post(REGISTRY, envelope(message.decode(), action))
            assert verdict(answer) == "Success" or codes(answer), message
            found = answer.xml().findall(".//{*}RegistryObjectList/*")
            assert match not in _EXACT or not found, message


@hostile
def test_around_queries(target: Target, value: str) -> None:
    find = [("$XDSDocumentEntryPatientId", one(PATIENT)), ("$XDSDocumentEntryStatus", many(APPROVED))]
    messages = [
        request(value),
        request("FindDocuments", find, returns=escape(value, {'"': "&quot;"})),
        request("FindDocuments", find, home=value),
        request("FindDocuments", [*find, (value, one("x"))]),
    ]
    with nothing_kept(target):
        for message in messages:
            verdict(target.post(REGISTRY, envelope(message.decode(), ITI_18.action)))


@hostile
def test_in_retrieve_requests(target: Target, value: str) -> None:
    with nothing_kept(target):
        for wish in (wanted(value, "1.2"), wanted(REPOSITORY, value), wanted(REPOSITORY, "1.2", value)):
            answer = target.post(REPOSITORY_PATH, envelope(retrieve(wish).decode(), ITI_43.action))
            assert verdict(answer) == "Failure"
            assert codes(answer) <= {
                "XDSUnknownRepositoryId",
                "XDSDocumentUniqueIdError",
                "XDSRepositoryError",
            }


@hostile
def test_in_headers(target: Target, value: str) -> None:
    written = escape(value)
    find = request("FindDocuments", []).decode()
    with nothing_kept(target):
        answer = target.post(REGISTRY, envelope(find, ITI_18.action, message_id=written))
        assert verdict(answer) == "Failure"
        assert (answer.header("RelatesTo") or "") == value.replace("\r\n", "\n")
        assert verdict(target.post(REGISTRY, envelope(find, written))) == "Fault"
        verdict(target.post(REGISTRY, envelope(find, ITI_18.action, f"<a:To>{written}</a:To>")))
        related = f"multipart/related; boundary={value}"
        verdict(target.post(REPOSITORY_PATH, envelope(find, ITI_41.action), related))
        verdict(target.post(REGISTRY, envelope(find), value))
