"""Imports the SOAP layer and makes one ITI-18 call in process: ``python -W error tests/compat/smoke.py``.

For Pythons on which the whole test suite does not run; needs the package's own dependencies only.
"""

from __future__ import annotations

import io
import sys

from msim_xds.ihe.names import QUERY, RIM, SOAP, WSA, ResponseStatus
from msim_xds.ihe.transactions import ITI_18, TRANSACTIONS
from msim_xds.server.front import build_front
from msim_xds.settings import Settings
from msim_xds.wire import answers
from msim_xds.wire.exchange import Answer, PartSink, Request, StagedPart


class NoDocuments:
    """A stager that is never asked: a query carries no documents."""

    def stage(self) -> PartSink:
        raise NotImplementedError

    def discard(self, part: StagedPart) -> None:
        raise NotImplementedError


def query(request: Request) -> Answer:
    """The answer without a hit."""
    return Answer(answers.adhoc_query_response(ResponseStatus.SUCCESS))


def main() -> None:
    """One call; SystemExit when its answer is not Success."""
    message = (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:a="{WSA}"><s:Header><a:Action s:mustUnderstand="1">'
        f"{ITI_18.action}</a:Action></s:Header><s:Body>"
        f'<q:AdhocQueryRequest xmlns:q="{QUERY}" xmlns:r="{RIM}">'
        '<q:ResponseOption returnType="ObjectRef"/><r:AdhocQuery id="urn:uuid:x"/></q:AdhocQueryRequest>'
        "</s:Body></s:Envelope>"
    ).encode()
    front = build_front(Settings(), {row.name: query for row in TRANSACTIONS}, NoDocuments(), dict)
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": ITI_18.endpoint,
        "CONTENT_TYPE": "application/soap+xml",
        "CONTENT_LENGTH": str(len(message)),
        "wsgi.input": io.BytesIO(message),
    }
    seen: list[str] = []
    answer = b"".join(front(environ, lambda status, headers: seen.append(status)))
    if seen != ["200 OK"] or ResponseStatus.SUCCESS.encode() not in answer:
        sys.exit(f"ITI-18 failed: {seen} {answer!r}")
    print(f"ITI-18 answered on Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
