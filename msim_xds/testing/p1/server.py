"""The double's HTTP server: each of P1's services at its path, on loopback."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server

from msim_xds.app import Node, new_uuid, now, open_node
from msim_xds.federation.p1.decisions import Decision
from msim_xds.findings import Finding
from msim_xds.ihe.names import SOAP, SOAP11, WSA
from msim_xds.ihe.transactions import ITI_18, ITI_42, ITI_57, Endpoint
from msim_xds.p1_settings import NAMES, P1Settings
from msim_xds.security.signatures.trust import read_certificates
from msim_xds.security.wss.verification import BadSignature, verify
from msim_xds.security.xua.guard import Guard
from msim_xds.security.xua.refusal import SecurityFault
from msim_xds.security.xua.setup import guards
from msim_xds.server.front import WsgiApplication, build_front
from msim_xds.settings import RepositorySettings, Settings, ValidationSettings
from msim_xds.testing.p1 import assertions, rules
from msim_xds.testing.p1.keys import KeyPair, TlsKeys, make, make_tls
from msim_xds.testing.p1.sink import HandedOver, listening
from msim_xds.tls import server_context
from msim_xds.wire import answers, safexml
from msim_xds.wire.envelope import answer_envelope_parts
from msim_xds.wire.exchange import Caller
from msim_xds.wire.faults import fault_envelope, sender_fault
from msim_xds.wire.xmltext import escape
from msim_xds.xua_settings import Demand, XuaSettings

if TYPE_CHECKING:
    from lxml.etree import _Element

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]

SOURCE: Final = "2.16.840.1.113883.3.4424.2.7.99999"
REPOSITORY: Final = f"{SOURCE}.24.9"
"""The repository of another provider, which the double plays too."""
_PATHS: Final = P1Settings()
_INDEX: Final = {_PATHS.iti42: ITI_42, _PATHS.iti18: ITI_18, _PATHS.iti57: ITI_57}
_REPOSITORY_PATH: Final = "/provider/repository"
_OWN: Final = "urn:msim:p1-double"
_XML11: Final = "text/xml; charset=utf-8"
_XML12: Final = "application/soap+xml; charset=utf-8"
_MAX_BYTES: Final = 32 << 20
_HANG_S: Final = 60.0
_TEMPLATES: Final = {
    "lookup_template": f'<pobierz xmlns="{_OWN}"><repozytorium>{{repository}}</repozytorium></pobierz>',
    "repository_template": f'<rejestrujRepozytorium xmlns="{_OWN}"/>',
    "addresses_template": f'<rejestruj xmlns="{_OWN}"><repozytorium>{{repository}}</repozytorium>'
    "<parametr><klucz>{key}</klucz><wartosc>{address}</wartosc></parametr></rejestruj>",
}


class _Fault(Exception):
    """A SOAP 1.1 fault to be: its code and text."""


@dataclass
class Double:
    """The running double, and what makes it behave otherwise than usual.

    Attributes:
        url: its base address.
        directory: where its keys and stores are.
        provider: certificate and key of the provider that it knows.
        node: the stores of its index.
        lifetime: of assertions.
        consents: decisions by uniqueId of a document, or by a patient as the assertion names it; None hangs.
        unknown_events: medical events that do not exist.
        refusals: what a service of the index answers instead of doing its work, by its path.
        addresses: URL by repositoryUniqueId.
        before_answer: called with the path of a service when it has done its work and not answered yet.
        calls: paths of the services that were called, in order.
        tls: its certificates and the provider's; None where it speaks plain HTTP.
        peers: common names of the TLS certificates that were shown, in order of the calls.
        audit_url: where it takes audit records; empty where it speaks plain HTTP.
        handed_over: what has come there.
    """

    url: str
    directory: Path
    provider: KeyPair
    sts: KeyPair
    node: Node
    lifetime: timedelta = timedelta(minutes=30)
    consents: dict[str, Decision | None] = field(default_factory=dict)
    unknown_events: set[str] = field(default_factory=set)
    refusals: dict[str, Finding] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    before_answer: Callable[[str], None] = lambda path: None
    calls: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    tls: TlsKeys | None = None
    peers: list[str] = field(default_factory=list)
    audit_url: str = ""
    handed_over: list[HandedOver] = field(default_factory=list)

    def section(self, **changes: object) -> dict[str, Any]:
        """The section ``p1`` of settings that talk to this double; ``changes`` go over it."""
        provider = {
            "organization": "2.16.840.1.113883.3.4424.2.3.1#000000999901",
            "place": "2.16.840.1.113883.3.4424.2.3.3#000000999901-001",
            "worker": "2.16.840.1.113883.3.4424.1.6.2#2999999",
            "wss_certificate": str(self.provider.certificate),
            "wss_key": str(self.provider.key),
            "publish": True,
        }
        secure = {}
        if self.tls is not None:
            secure = {"ca_file": str(self.tls.authority), "audit_url": self.audit_url}
            provider["tls_certificate"] = str(self.tls.client.certificate)
            provider["tls_key"] = str(self.tls.client.key)
        templates = {name: str(self.directory / f"{name}.xml") for name in _TEMPLATES}
        common = {
            "enabled": True,
            "base": self.url,
            "provider": SOURCE,
            "providers": {SOURCE: provider},
            "issuers": [assertions.ISSUER],
        }
        return {**common, **templates, **secure, **changes}

    def xua(self, demand: Demand = Demand.OPTIONAL) -> dict[str, object]:
        """The section ``xua`` of a repository that takes the double's assertions."""
        return {
            "repository": demand.value,
            "issuers": {assertions.ISSUER: [str(self.sts.certificate)]},
            "audiences": [assertions.AUDIENCE],
        }


@contextmanager
def start(directory: Path, port: int = 0, *, tls: bool = False) -> Iterator[Double]:
    """A double on loopback, ready to be called; ended at the end of the block.

    Args:
        directory: an existing directory for its keys and stores.
        port: 0 takes a free one.
        tls: speak https, and let in nobody but the provider by its TLS certificate, as P1 does.
    """
    provider, sts = make(directory, "provider"), make(directory, "sts")
    for name, template in _TEMPLATES.items():
        (directory / f"{name}.xml").write_text(template, "utf-8")
    settings = _index_settings(directory, sts)
    node = open_node(settings)
    server = Server(("127.0.0.1", port), lambda environ, start: [], numthreads=16)
    double = Double("", directory, provider, sts, node, tls=make_tls(directory, SOURCE) if tls else None)
    if double.tls is not None:
        server.ssl_adapter = _adapter(double.tls)
    server.wsgi_app = _Services(double, settings)
    server.prepare()
    double.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.bind_addr[1]}"
    double.addresses[REPOSITORY] = double.url + _REPOSITORY_PATH
    thread = threading.Thread(target=server.serve, name="p1-double")
    thread.start()
    try:
        with _audit_sink(double):
            yield double
    finally:
        double.stopped.set()
        server.stop()
        thread.join()
        node.close()


@contextmanager
def _audit_sink(double: Double) -> Iterator[None]:
    """Its audit sink, where it has TLS: there is none without."""
    if double.tls is None:
        yield
        return
    with listening(server_context(double.tls.settings), double.handed_over.append) as port:
        double.audit_url = f"tls://127.0.0.1:{port}"
        yield


def _adapter(keys: TlsKeys) -> BuiltinSSLAdapter:
    adapter = BuiltinSSLAdapter(str(keys.server.certificate), str(keys.server.key))
    adapter.context = server_context(keys.settings)
    return adapter


def _index_settings(directory: Path, sts: KeyPair) -> Settings:
    return Settings(
        data=directory / "index",
        repository=RepositorySettings(unique_id=REPOSITORY),
        validation=ValidationSettings(
            profile="pl", local_time_sources=frozenset({SOURCE})
        ),  # P1 takes Polish local time
        xua=XuaSettings(
            registry=Demand.REQUIRED,
            repository=Demand.REQUIRED,
            issuers={assertions.ISSUER: (sts.certificate,)},
            audiences=(assertions.AUDIENCE,),
        ),
    )


class _Services:
    """The WSGI callable."""

    def __init__(self, double: Double, settings: Settings) -> None:
        self._double = double
        checks = guards(settings.xua, settings.data, now)
        node = double.node
        self._front: WsgiApplication = build_front(
            settings, node.handlers(), node.store, node.ready, guards=checks
        )
        self._guard: Guard = checks[Endpoint.REGISTRY]
        self._trusted = read_certificates(double.provider.certificate)
        self._own: Mapping[str, Callable[[_Element, _Element], str]] = {
            _PATHS.token: self._issue,
            _PATHS.szar_register: self._register,
            _PATHS.szar_lookup: self._look_up,
            _PATHS.soz: self._decide,
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request (PEP 3333)."""
        path = environ["PATH_INFO"]
        if self._double.tls is not None:
            self._double.peers.append(environ["SSL_CLIENT_S_DN_CN"])
        if path == _REPOSITORY_PATH:
            return self._front({**environ, "PATH_INFO": str(Endpoint.REPOSITORY)}, start_response)
        octets = environ["wsgi.input"].read(min(int(environ.get("CONTENT_LENGTH") or 0), _MAX_BYTES))
        self._double.calls.append(path)
        if path in _INDEX:
            return self._index(path, octets, environ, start_response)
        status, body = self._answer(path, octets)
        self._double.before_answer(path)
        return _send(start_response, status, body, _XML11)

    def _answer(self, path: str, octets: bytes) -> tuple[str, bytes]:
        try:
            carry_out = self._own.get(path)
            if carry_out is None:
                raise _Fault("no service is here")
            envelope = safexml.parse(octets)
            verify(envelope, self._trusted, now())
            payload = envelope.find(f"{{{SOAP11}}}Body/*")
            if payload is None:
                raise _Fault("no SOAP 1.1 message")
            inner = carry_out(envelope, payload)
        except (_Fault, BadSignature, SecurityFault, safexml.MalformedXml, assertions.NoToken) as error:
            fault = f"<faultcode>s:Client</faultcode><faultstring>{escape(str(error))}</faultstring>"
            return "500 Internal Server Error", _envelope11(f"<s:Fault>{fault}</s:Fault>")
        return "200 OK", _envelope11(inner)

    def _index(
        self, path: str, octets: bytes, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """The index: signature, P1's own rules, then a registry of the Polish profile."""
        try:
            envelope = safexml.parse(octets)
            verify(envelope, self._trusted, now())
        except (BadSignature, safexml.MalformedXml) as error:
            fault = fault_envelope(sender_fault(str(error)))
            return _send(start_response, "400 Bad Request", fault, _XML12)
        refusal = self._refusal(path, envelope)
        if refusal is not None:
            return _send(start_response, "200 OK", refusal, _XML12)
        inner = {**environ, "PATH_INFO": str(Endpoint.REGISTRY), "wsgi.input": io.BytesIO(octets)}
        answer = self._front(inner, start_response)
        self._double.before_answer(path)
        return answer

    def _refusal(self, path: str, envelope: _Element) -> bytes | None:
        """A RegistryResponse where a rule of P1 is broken."""
        row, payload = _INDEX[path], envelope.find(f"{{{SOAP}}}Body/*")
        if payload is None or payload.tag != row.body:
            return None
        if path in self._double.refusals:
            found = [self._double.refusals[path]]
        elif row is ITI_18 or not (found := rules.broken(payload, self._double.unknown_events)):
            return None
        relates_to = envelope.findtext(f"{{{SOAP}}}Header/{{{WSA}}}MessageID")
        head, tail = answer_envelope_parts(row.answer_action, relates_to, new_uuid())
        return b"".join([head, *answers.failure(row, found, len(found), payload), tail])

    def _caller(self, envelope: _Element) -> Caller:
        caller = self._guard.check(envelope.find(f"{{{SOAP11}}}Header"))
        if caller is None:
            raise _Fault("no assertion")
        return caller

    def _issue(self, _envelope: _Element, request: _Element) -> str:
        return assertions.issue(assertions.claims(request), self._double.sts.key, self._double.lifetime)

    def _register(self, _envelope: _Element, request: _Element) -> str:
        """A new repository, or its addresses, all of them in place of those before."""
        repository = request.findtext(f"{{{_OWN}}}repozytorium")
        if repository is None:
            repository = f"{SOURCE}.24.{len(self._double.addresses) + 100}"
        else:
            key = request.findtext(f"{{{_OWN}}}parametr/{{{_OWN}}}klucz")
            if key != NAMES["szar.address_key"]:
                raise _Fault(f"unknown key {key}")
            self._double.addresses[repository] = request.findtext(f"{{{_OWN}}}parametr/{{{_OWN}}}wartosc", "")
        said = {"identyfikatorRepozytorium": repository, "status": "OK", "opis": "zarejestrowano"}
        inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in said.items())
        return f'<odpowiedz xmlns="{_OWN}">{inner}</odpowiedz>'

    def _look_up(self, _envelope: _Element, request: _Element) -> str:
        repository = request.findtext(f"{{{_OWN}}}repozytorium", "")
        address = self._double.addresses.get(repository)
        if address is None:
            raise _Fault(f"unknown repository {repository}")
        key = NAMES["szar.address_key"]
        return (
            f'<odpowiedz xmlns="{_OWN}"><parametr><klucz>{key}</klucz><wartosc>{escape(address)}</wartosc>'
            "</parametr></odpowiedz>"
        )

    def _decide(self, envelope: _Element, request: _Element) -> str:
        patient = self._caller(envelope).patient
        core = NAMES["soz.core"]
        documents = [each.text or "" for each in request.iter(f"{{{core}}}AttributeValue")]
        given = [self._double.consents.get(each, Decision.PERMIT) for each in (patient, *documents)]
        if None in given:
            self._double.stopped.wait(_HANG_S)
        results = "".join(f"<x:Result><x:Decision>{each}</x:Decision></x:Result>" for each in given)
        protocol = NAMES["soz.protocol"]
        return (
            f'<p:XACMLAuthzDecisionQueryResponse xmlns:p="{protocol}" xmlns:x="{core}"><x:Response>{results}'
            "</x:Response></p:XACMLAuthzDecisionQueryResponse>"
        )


def _envelope11(inner: str) -> bytes:
    return f'<s:Envelope xmlns:s="{SOAP11}"><s:Body>{inner}</s:Body></s:Envelope>'.encode()


def _send(start_response: StartResponse, status: str, body: bytes, content_type: str) -> Iterable[bytes]:
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [body]
