"""The WSGI callable: paths, pages, request bodies in, answers out. Nothing leaves it but an HTTP answer."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.audit.trail import Trail
from msim_xds.delivery.addresses import ReplyHosts
from msim_xds.delivery.queue import DeliveryQueue
from msim_xds.delivery.worker import DeliveryWorker
from msim_xds.ihe.descriptions import of_endpoint
from msim_xds.ihe.transactions import Endpoint
from msim_xds.security.systems.door import Door, Throttled, described
from msim_xds.security.xua.guard import Guard
from msim_xds.server import pages
from msim_xds.server.body import Body
from msim_xds.server.later import Later, in_mtom
from msim_xds.server.peer import certificates, door
from msim_xds.server.pipeline import Pipeline, offered
from msim_xds.server.spyne_app import ACCEPTED, Reply, SoapEndpoint
from msim_xds.server.wsdl import Descriptions, public_url
from msim_xds.settings import Settings
from msim_xds.wire import mtom
from msim_xds.wire.exchange import Handler, Stager, System
from msim_xds.wire.faults import FaultCode, SoapFault, fault_envelope, sender_fault
from msim_xds.wire.safexml import MalformedXml
from msim_xds.wire.staging import BadPackage, NoDocuments

_log: FilteringBoundLogger = structlog.get_logger()

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]
WsgiApplication = Callable[[Environ, StartResponse], Iterable[bytes]]
Ready = Callable[[], Mapping[str, object]]

_XML: Final = "text/xml; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"
_STATUS: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_READING: Final = ("GET", "HEAD")
_CODINGS: Final = ("", "identity")


@dataclass(slots=True)
class Response:
    """What goes back to the HTTP server; without ``length`` it goes in chunks, as many as there are."""

    chunks: Iterable[bytes]
    length: int | None
    content_type: str | None = _TEXT
    status: int = 200
    extra: Sequence[tuple[str, str]] = ()

    def headers(self) -> list[tuple[str, str]]:
        """All headers, as a list of its own."""
        headers = [("X-Content-Type-Options", "nosniff"), *self.extra]
        if self.length is not None:
            headers.append(("Content-Length", str(self.length)))
        if self.content_type is not None:
            headers.append(("Content-Type", self.content_type))
        return headers


_NO_DOCUMENTS: Final = NoDocuments()


class Front:
    """Routes requests, takes messages in, and sends answers out.

    Args:
        settings: the whole configuration.
        endpoints: what carries out the messages of each path.
        stager: takes the documents that come to the repository; other endpoints take none.
        ready: facts for ``/health``; ``"ready": False`` among them makes it answer 503. Must not raise.
        door: lets registered systems in, and no others; without it everybody.
        trail: records whom the door refuses; None where nothing is recorded.
    """

    def __init__(
        self,
        settings: Settings,
        endpoints: Mapping[Endpoint, SoapEndpoint],
        stager: Stager,
        ready: Ready,
        door: Door | None = None,
        trail: Trail | None = None,
    ) -> None:
        url = public_url(settings)
        self._limits = settings.limits
        self._body_timeout_s = settings.server.body_timeout_s
        self._endpoints = endpoints
        self._stagers: dict[Endpoint, Stager] = {Endpoint.REPOSITORY: stager}
        self._inline = settings.validation.tolerances().inline_documents
        self._certificate_of = certificates(settings)
        self._door = door
        self.trail: Final = trail
        common = _turns(settings.server.threads)
        # Who mostly waits for other communities must not keep those out who are served from here.
        waiting = _turns(settings.gateway.requests)
        self._turns = {
            endpoint: waiting if endpoint is Endpoint.INITIATING_GATEWAY else common for endpoint in endpoints
        }
        self._descriptions = Descriptions(url)
        self._ready = ready
        self._paths = {str(endpoint): endpoint for endpoint in endpoints}
        home = _html(pages.home(url, endpoints))
        self._pages: dict[str, Callable[[], Response]] = {
            "/": lambda: home,
            "/health": self._health,
            "/health/ready": self._health,
            "/health/live": lambda: _json({"live": True}),
        }
        self._endpoint_pages = {endpoint: _html(pages.endpoint(endpoint)) for endpoint in endpoints}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request (PEP 3333)."""
        method = environ["REQUEST_METHOD"]
        try:
            response = self._respond(method, environ)
        except Exception as error:  # the outermost guard; the pipeline has dealt with all that it could
            response = _broken(method, error)
        start_response(_STATUS[response.status], response.headers())
        return [] if method == "HEAD" else response.chunks

    def _respond(self, method: str, environ: Environ) -> Response:
        path = environ.get("PATH_INFO", "") or "/"
        endpoint = self._paths.get(path)
        if endpoint is None:
            return self._page(path, method)
        if method == "POST":
            certificate = self._certificate_of(environ)
            if self._door is None:
                return self._soap(endpoint, environ, certificate)
            return self._of_a_system(self._door, endpoint, environ, certificate)
        if method not in _READING:
            return _not_allowed("GET, HEAD, POST")
        return self._description(endpoint, environ.get("QUERY_STRING", ""))

    def _page(self, path: str, method: str) -> Response:
        page = self._pages.get(path)
        if page is None:
            return _text(
                404, f"Nothing is here. Endpoints: {', '.join(self._paths)}. See also / and /health."
            )
        return page() if method in _READING else _not_allowed("GET, HEAD")

    def _health(self) -> Response:
        facts = self._ready()
        return _json(facts, 200 if facts.get("ready", True) else 503)

    def _description(self, endpoint: Endpoint, query: str) -> Response:
        """``?wsdl``, ``?wsdl=key``, ``?xsd=name``, or the endpoint's page."""
        wanted = {name.lower(): value for name, value in parse_qsl(query, keep_blank_values=True)}
        if "wsdl" in wanted:
            wsdl = self._descriptions.wsdl(endpoint, wanted["wsdl"].lower())
            return _text(404, _no_wsdl(endpoint)) if wsdl is None else _whole(wsdl, _XML)
        if "xsd" not in wanted:
            return self._endpoint_pages[endpoint]
        schema = self._descriptions.schema(endpoint, wanted["xsd"])
        if schema is None:
            return _text(404, "There is no such schema; ?wsdl names those that exist.")
        return _whole(schema, _XML)

    def _of_a_system(self, door: Door, endpoint: Endpoint, environ: Environ, certificate: str) -> Response:
        """What a registered system sends; of others nothing is kept, and little is read."""
        try:
            with door.admitted(certificate) as system:
                return self._soap(endpoint, environ, certificate, system)
        except SoapFault as fault:
            if self.trail is not None and not isinstance(fault, Throttled):
                facts = described(certificate)
                address = environ.get("REMOTE_ADDR", "")
                self.trail.node_refused(address, facts["reason"], facts.get("subject", ""))
            with suppress(BadPackage):
                Body(environ, self._body_timeout_s).drain()
            again = [("Retry-After", str(fault.retry_s))] if isinstance(fault, Throttled) else []
            return _fault(fault, *again)

    def _soap(
        self, endpoint: Endpoint, environ: Environ, certificate: str, system: System | None = None
    ) -> Response:
        """A message in, its answer or fault out; documents that were not kept are forgotten."""
        stager = self._stagers.get(endpoint, _NO_DOCUMENTS)
        try:
            message = self._receive(environ, stager)
        except SoapFault as fault:
            _log.info("refused", path=endpoint, http_status=fault.http_status)
            return _fault(fault)
        turns = self._turns[endpoint]
        turns.get()
        try:
            address = environ.get("REMOTE_ADDR", "")
            reply = self._endpoints[endpoint].call(message, address, certificate, system)
        finally:
            turns.put(None)
            for part in message.parts.values():
                stager.discard(part)
        if reply is ACCEPTED:
            return Response((), 0, None, reply.http_status)
        if reply.transaction is None:
            _log.info("fault", path=endpoint, http_status=reply.http_status)
        return self._sent(reply, message.mtom)

    def _receive(self, environ: Environ, stager: Stager) -> mtom.Message:
        """The request's message, its documents staged.

        Raises:
            SoapFault: it is no SOAP message, broken, too large or too slow.
        """
        body = None
        try:
            body = Body(environ, self._body_timeout_s)
            body.check_size(self._limits.request_bytes)
            coding = environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
            if coding not in _CODINGS:
                raise BadPackage("Content-Encoding is not supported; allowed: identity", 415)
            return mtom.read(environ.get("CONTENT_TYPE") or "", body, stager, self._limits)
        except BadPackage as error:
            fault = sender_fault(str(error), error.http_status)
        except MalformedXml as error:
            fault = sender_fault(str(error))
        if body is not None:
            body.drain()
        raise fault

    def _sent(self, reply: Reply, came_as_mtom: bool) -> Response:
        """The reply in its form; a fault is simple SOAP, which every sender can read."""
        row = reply.transaction
        as_mtom = row is not None and in_mtom(row, came_as_mtom=came_as_mtom, inline=self._inline)
        if as_mtom:
            packaged = mtom.package(reply.envelope, reply.documents, reply.action, reply.room)
        else:
            packaged = mtom.plain(reply.envelope, reply.documents, reply.action)
        chunks: Iterable[bytes]
        if reply.close is not None:
            chunks = _Held(_watched(packaged.chunks), reply.close)
        else:
            chunks = _watched(packaged.chunks) if reply.documents else [b"".join(packaged.chunks)]
        return Response(chunks, packaged.length, packaged.content_type, reply.http_status)


def build_front(
    settings: Settings,
    handlers: Mapping[str, Handler],
    stager: Stager,
    ready: Ready,
    queue: DeliveryQueue | None = None,
    guards: Mapping[Endpoint, Guard] = MappingProxyType({}),
    trail: Trail | None = None,
    homes: Mapping[str, str] = MappingProxyType({}),
) -> WsgiApplication:
    """The WSGI callable of the whole server.

    Args:
        settings: the whole configuration.
        handlers: by transaction name, such as ``ITI-18``; an endpoint without any is not offered.
        stager: takes the documents that come to the repository.
        ready: facts for ``/health``; see ``Front``.
        queue: keeps answers that are sent elsewhere. A thread that delivers them is started, if the settings
            allow any host; without queue or hosts such answers are refused.
        guards: who checks the senders of requests to which endpoint.
        trail: the audit trail; None where nothing is recorded.
        homes: the location of the errors of gateways; see ``Pipeline``.

    Raises:
        ValueError: a transaction has no handler, a host in ``delivery.reply_hosts`` is none, or the table of
            systems cannot be used.
    """
    pipeline = Pipeline(handlers, settings.limits.findings, trail, homes)
    hosts = ReplyHosts(settings.delivery.reply_hosts)
    entrance = door(settings)
    later = None
    if queue is not None and hosts:
        inline = settings.validation.tolerances().inline_documents
        later = Later(pipeline.run, queue, hosts, inline=inline, guards=guards, door=entrance)
        DeliveryWorker(queue, hosts, later.compose, settings.delivery).start()
    served = offered(handlers)
    endpoints = {
        endpoint: SoapEndpoint(endpoint, pipeline.run, later, guards.get(endpoint), trail)
        for endpoint in Endpoint
        if endpoint in served
    }
    return Front(settings, endpoints, stager, ready, entrance, trail)


def _turns(number: int) -> SimpleQueue[None]:
    """A semaphore at a tenth of threading's cost."""
    turns: SimpleQueue[None] = SimpleQueue()
    for _ in range(number):
        turns.put(None)
    return turns


def _no_wsdl(endpoint: Endpoint) -> str:
    return f"There is no such WSDL; those here: {', '.join(each.query for each in of_endpoint(endpoint))}."


def _broken(method: str, error: Exception) -> Response:
    """The answer when something of ours failed outside a transaction; the log has the traceback."""
    reference = uuid.uuid4().hex
    _log.error("failed", reference=reference, exc_info=error)
    reason = f"internal error; reference {reference}"
    if method != "POST":
        return _text(500, reason)
    return _fault(SoapFault(FaultCode.RECEIVER, reason))


def _fault(fault: SoapFault, *extra: tuple[str, str]) -> Response:
    packaged = mtom.plain([fault_envelope(fault)], (), fault.action)
    return Response(packaged.chunks, packaged.length, packaged.content_type, fault.http_status, extra)


class _Held:
    """Chunks that come from elsewhere; the HTTP server closes them, sent or not (PEP 3333)."""

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None]) -> None:
        self._chunks = chunks
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        """Let go of what they come from."""
        self._close()


def _watched(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """``chunks``; a failure in their midst is logged, and the connection breaks off before Content-Length."""
    try:
        yield from chunks
    except Exception as error:  # raised on
        _log.error("answer broke off", exc_info=error)
        raise


def _whole(data: bytes, content_type: str, status: int = 200, *extra: tuple[str, str]) -> Response:
    return Response([data], len(data), content_type, status, extra)


def _text(status: int, text: str, *extra: tuple[str, str]) -> Response:
    return _whole(f"{text}\n".encode(), _TEXT, status, *extra)


def _not_allowed(allowed: str) -> Response:
    return _text(405, f"This method is not for this path; allowed: {allowed}.", ("Allow", allowed))


def _html(page: bytes) -> Response:
    return _whole(page, "text/html; charset=utf-8", 200, *pages.HEADERS)


def _json(facts: Mapping[str, object], status: int = 200) -> Response:
    text = json.dumps(facts, ensure_ascii=False, default=str)
    return _whole(text.encode(), "application/json", status, ("Cache-Control", "no-store"))
