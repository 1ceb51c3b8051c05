"""Whether a partner can be reached: TLS, its certificate, its clock, and a query that finds nothing."""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from msim_xds.federation.answers import RemoteError, payload, registry_answer
from msim_xds.federation.line import Line, LineOptions, Reply
from msim_xds.federation.partners import LoadedPartner
from msim_xds.ihe.names import QUERY, RIM, Status
from msim_xds.ihe.queries import QUERIES
from msim_xds.ihe.transactions import ITI_38
from msim_xds.settings import LimitSettings
from msim_xds.wire import mtom
from msim_xds.wire.envelope import request_envelope_parts
from msim_xds.wire.incoming import IncomingAnswer
from msim_xds.wire.safexml import MalformedXml
from msim_xds.wire.staging import BadPackage
from msim_xds.wire.xmltext import escape

_FIND_DOCUMENTS: Final = next(row for row in QUERIES.values() if row.name == "FindDocuments")
_NOBODY: Final = "0^^^&2.25.0&ISO"


@dataclass(frozen=True, slots=True)
class Probe:
    """What was seen of a partner.

    Attributes:
        status: of its answer to a query for nobody; empty where it gave none.
        problem: why it gave none; empty where it did.
        round_trip_ms: from the request to the end of the answer.
        tls: version of TLS; empty for plain HTTP, and where there was no connection.
        certificate_until: when its certificate expires; None for plain HTTP.
        skew_s: how far its clock is ahead of ours, by its Date header, which says whole seconds; None without
            one.
    """

    status: str = ""
    problem: str = ""
    round_trip_ms: float | None = None
    tls: str = ""
    certificate_until: datetime | None = None
    skew_s: float | None = None


def probe(partner: LoadedPartner, clock: Callable[[], datetime]) -> Probe:
    """Ask a partner for the documents of nobody, by ITI-38, without an assertion.

    Args:
        partner: whom.
        clock: the time of day, UTC.
    """
    table = partner.table
    line = Line(table.query_url, LineOptions(table.connect_timeout_s, table.silence_s, 1, partner.tls))
    begun = time.monotonic()
    try:
        head, tail = request_envelope_parts(ITI_38.action, f"urn:uuid:{uuid.uuid4()}", line.url)
        message = mtom.plain([head, _question(table.homes[0]), tail], (), ITI_38.action)
        reply = line.post(message, begun + table.deadline_s)
        seen = Probe(tls=reply.tls_version, certificate_until=_expiry(reply), skew_s=_skew(reply, clock()))
        return _answered(reply, line, seen, begun)
    except RemoteError as error:
        return Probe(problem=str(error))
    finally:
        line.close()


def _answered(reply: Reply, line: Line, seen: Probe, begun: float) -> Probe:
    limits = LimitSettings()
    status = problem = ""
    try:
        root = IncomingAnswer(reply.content_type, reply.chunks(), limits).root
        status = registry_answer(payload(root, ITI_38, line.url), line.url).status.rpartition(":")[2]
    except RemoteError as error:
        problem = str(error)
    except (BadPackage, MalformedXml) as error:
        problem = f"{line.url}: its answer is broken: {error}"
    finally:
        reply.close()
    elapsed = round((time.monotonic() - begun) * 1000, 1)
    return replace(seen, status=status, problem=problem, round_trip_ms=elapsed)


def _question(home: str) -> bytes:
    slots = "".join(
        f'<rim:Slot name="{name}"><rim:ValueList><rim:Value>{escape(value)}</rim:Value>'
        "</rim:ValueList></rim:Slot>"
        for name, value in (
            ("$XDSDocumentEntryPatientId", f"'{_NOBODY}'"),
            ("$XDSDocumentEntryStatus", f"('{Status.APPROVED}')"),
        )
    )
    return (
        f'<query:AdhocQueryRequest xmlns:query="{QUERY}" xmlns:rim="{RIM}">'
        '<query:ResponseOption returnComposedObjects="true" returnType="ObjectRef"/>'
        f'<rim:AdhocQuery id="{_FIND_DOCUMENTS.id}" home="{escape(home)}">{slots}</rim:AdhocQuery>'
        "</query:AdhocQueryRequest>"
    ).encode()


def _expiry(reply: Reply) -> datetime | None:
    until = (reply.certificate or {}).get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(until), UTC) if isinstance(until, str) else None


def _skew(reply: Reply, now: datetime) -> float | None:
    try:
        return round((parsedate_to_datetime(reply.date) - now).total_seconds(), 1)
    except (TypeError, ValueError):
        return None
