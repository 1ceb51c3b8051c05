"""A client written against WSGI: it builds messages by hand and reads answers with its own eyes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email import message_from_bytes
from typing import Any, cast
from wsgiref.util import setup_testing_defaults

from lxml import etree

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://www.w3.org/2005/08/addressing"
NS = {"s": SOAP, "a": WSA}
QUERY_ACTION = "urn:ihe:iti:2007:RegistryStoredQuery"
PROVIDE_ACTION = "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b"
RETRIEVE_ACTION = "urn:ihe:iti:2007:RetrieveDocumentSet"
QUERY = (
    '<q:AdhocQueryRequest xmlns:q="urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0"'
    ' xmlns:r="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0">'
    '<q:ResponseOption returnType="LeafClass" returnComposedObjects="true"/>'
    '<r:AdhocQuery id="urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"/></q:AdhocQueryRequest>'
)
RETRIEVE = '<x:RetrieveDocumentSetRequest xmlns:x="urn:ihe:iti:xds-b:2007"/>'
PROVIDE = (
    '<x:ProvideAndRegisterDocumentSetRequest xmlns:x="urn:ihe:iti:xds-b:2007">'
    '<x:Document id="d"><i:Include xmlns:i="http://www.w3.org/2004/08/xop/include" href="cid:d%40x"/>'
    "</x:Document></x:ProvideAndRegisterDocumentSetRequest>"
)
SIMPLE = "application/soap+xml; charset=UTF-8"

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


def envelope(
    body: str = QUERY, action: str | None = QUERY_ACTION, headers: str = "", message_id: str = "urn:uuid:m"
) -> bytes:
    """A SOAP 1.2 request as IHE wants it."""
    wsa = f'<a:Action s:mustUnderstand="1">{action}</a:Action>' if action is not None else ""
    return (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:a="{WSA}"><s:Header>{wsa}<a:MessageID>{message_id}</a:MessageID>'
        f"{headers}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def mtom(root: bytes, *parts: tuple[str, bytes]) -> tuple[str, bytes]:
    """Content-Type and octets of an MTOM message."""
    head = b'--b\r\nContent-Type: application/xop+xml; charset=UTF-8; type="application/soap+xml"\r\n'
    out = head + b"Content-Transfer-Encoding: binary\r\nContent-ID: <root@x>\r\n\r\n" + root
    for cid, content in parts:
        out += b"\r\n--b\r\nContent-Type: text/xml\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <"
        out += cid.encode() + b">\r\n\r\n" + content
    return (
        'multipart/related; type="application/xop+xml"; start="<root@x>"; start-info="application/soap+xml";'
        " boundary=b",
        out + b"\r\n--b--\r\n",
    )


@dataclass(frozen=True)
class Response:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def root(self) -> bytes:
        """The SOAP part, also out of an MTOM message."""
        return self.parts()[0][1] if self.is_mtom else self.body

    @property
    def is_mtom(self) -> bool:
        return self.headers["content-type"].startswith("multipart/related")

    def parts(self) -> list[tuple[str, bytes]]:
        """Content-ID and octets of each MIME part, as the standard library sees them."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        found = message_from_bytes(head + self.body)
        assert found.get_content_type() == "multipart/related"
        parts = list(found.walk())[1:]
        return [(str(part["Content-ID"]), cast(bytes, part.get_payload(decode=True))) for part in parts]

    def xml(self) -> etree._Element:
        return etree.fromstring(self.root)

    def header(self, name: str) -> str | None:
        return self.xml().findtext(f"s:Header/a:{name}", namespaces=NS)

    def fault(self) -> tuple[str, str | None, str]:
        """Code and subcode in Clark notation, and the reason; asserts a well-formed SOAP 1.2 fault."""
        assert self.headers["content-type"].startswith("application/soap+xml")
        body = self.xml().find("s:Body", NS)
        assert body is not None
        assert [e.tag for e in body] == [f"{{{SOAP}}}Fault"]
        fault = body[0]
        assert [etree.QName(e).localname for e in fault][:2] == ["Code", "Reason"]
        assert self.header("Action") == f"{WSA}/fault" or self.header("Action") == f"{WSA}/soap/fault"
        code = fault.find("s:Code/s:Value", NS)
        subcode = fault.find("s:Code/s:Subcode/s:Value", NS)
        reason = fault.find("s:Reason/s:Text", NS)
        assert code is not None
        assert reason is not None
        assert reason.get("{http://www.w3.org/XML/1998/namespace}lang")
        return str(_clark(code)), _clark(subcode), reason.text or ""


def _clark(value: etree._Element | None) -> str | None:
    if value is None:
        return None
    prefix, _, local = (value.text or "").strip().partition(":")
    return f"{{{value.nsmap[prefix]}}}{local}"


def call(app: WsgiApp, environ: dict[str, Any]) -> Response:
    """One WSGI call, with what PEP 3333 demands of the answer."""
    started: list[tuple[str, list[tuple[str, str]]]] = []
    environ = {**environ}
    setup_testing_defaults(environ)
    answer = app(environ, lambda status, headers, exc_info=None: started.append((status, headers)))
    try:
        body = b"".join(answer)
    finally:
        if hasattr(answer, "close"):
            answer.close()
    assert len(started) == 1
    status, pairs = started[0]
    headers = {name.lower(): value for name, value in pairs}
    assert len(headers) == len(pairs)
    if environ["REQUEST_METHOD"] != "HEAD":
        assert headers.get("content-length", str(len(body))) == str(len(body))
    return Response(int(status[:3]), headers, body)


def get(app: WsgiApp, path: str, query: str = "", method: str = "GET") -> Response:
    return call(app, {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query})


def post(
    app: WsgiApp, path: str, body: bytes, content_type: str = SIMPLE, environ: Mapping[str, Any] | None = None
) -> Response:
    """POST with a Content-Length; ``environ`` adds or replaces keys."""
    return call(
        app,
        {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "CONTENT_TYPE": content_type,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "REMOTE_ADDR": "192.0.2.7",
            **(environ or {}),
        },
    )
