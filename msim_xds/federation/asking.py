"""One question to a partner over a line, in SOAP without attachments, and its whole answer."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING

from msim_xds.federation.answers import NotAsked, RemoteUnavailable, payload
from msim_xds.federation.community import Errand
from msim_xds.federation.line import Line, Reply
from msim_xds.ihe.transactions import Transaction
from msim_xds.settings import LimitSettings
from msim_xds.wire import mtom
from msim_xds.wire.envelope import request_envelope_parts
from msim_xds.wire.incoming import IncomingAnswer
from msim_xds.wire.safexml import MalformedXml
from msim_xds.wire.staging import BadPackage

if TYPE_CHECKING:
    from lxml.etree import _Element


def post(
    line: Line,
    row: Transaction,
    body: Iterable[bytes],
    deadline: float,
    assertion: bytes = b"",
    *,
    as_mtom: bool = False,
) -> Reply:
    """Send a request; its answer is still to be read.

    Args:
        line: to whom.
        row: the transaction.
        body: its payload.
        deadline: ``time.monotonic()`` at which the answer breaks off.
        assertion: the user's, that goes along; empty for none.
        as_mtom: the packaging.

    Raises:
        RemoteUnavailable: there is no answer.
    """
    head, tail = request_envelope_parts(row.action, f"urn:uuid:{uuid.uuid4()}", line.url, assertion)
    package = mtom.package if as_mtom else mtom.plain
    return line.post(package([head, *body, tail], (), row.action), deadline)


def ask(
    line: Line,
    row: Transaction,
    body: Iterable[bytes],
    deadline: float,
    assertion: bytes,
    limits: LimitSettings,
) -> _Element:
    """The payload of the whole answer; ``limits`` bounds it.

    Raises:
        RemoteFault: it is a SOAP fault.
        RemoteUnavailable: there is none, or none that can be used.
    """
    return payload(whole(post(line, row, body, deadline, assertion), line, limits), row, line.url)


def assertion_of(errand: Errand, demand: str, line: Line) -> bytes:
    """What goes along of the caller's, by a partner's ``assertion``: never, pass or require; empty for none.

    Raises:
        NotAsked: it must, and none came.
    """
    if demand == "require" and not errand.assertion:
        raise NotAsked(line.url, "it wants the caller's assertion, and none came")
    return b"" if demand == "never" else errand.assertion


def whole(reply: Reply, line: Line, limits: LimitSettings) -> bytes:
    """The envelope of an answer without attachments, read to its end; ``limits`` bounds it.

    Raises:
        RemoteUnavailable: it breaks off, is too large, or is framed in a way that cannot be read.
    """
    try:
        return IncomingAnswer(reply.content_type, reply.chunks(), limits).root
    except (BadPackage, MalformedXml) as error:
        raise RemoteUnavailable(line.url, f"its answer is broken: {error}") from None
    finally:
        reply.close()
