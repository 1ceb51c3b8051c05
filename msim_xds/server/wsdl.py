"""The WSDL and XSD files that the server shows, with its own address and working schema imports in them."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final
from xml.sax.saxutils import escape

from msim_xds.ihe.descriptions import DESCRIPTIONS
from msim_xds.ihe.transactions import Endpoint
from msim_xds.settings import Settings

SCHEMAS: Final = (
    "XDS.b_DocumentRepository.xsd",
    "hl7v3.xsd",
    "lcm.xsd",
    "query.xsd",
    "rim.xsd",
    "rmd.xsd",
    "rs.xsd",
    "xml.xsd",
)
"""The schema files; a client can name only these."""

_ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104  # not bound here, only recognised
_ADDRESS: Final = re.compile(r'(<soap12:address location=")[^"]*')
_IMPORT: Final = re.compile(r'(schemaLocation=")(?:\.\./schemas/)?([^"/]+)')


def public_url(settings: Settings) -> str:
    """Base URL under which clients reach this server, without a slash at its end.

    Taken from the settings only: a request's Host header is what anybody likes to send.
    """
    server = settings.server
    if server.public_url:
        return server.public_url.rstrip("/")
    if server.uds is not None:
        return "http://localhost"
    host = "127.0.0.1" if server.host in _ANY_ADDRESS else server.host
    scheme = "https" if settings.tls.certificate else "http"
    return f"{scheme}://[{host}]:{server.port}" if ":" in host else f"{scheme}://{host}:{server.port}"


class Descriptions:
    """The files with the addresses under which clients reach this server.

    In the files themselves the schema locations are relative, so that tools can also read them from disk.
    """

    def __init__(self, public_url: str) -> None:
        self._wsdl = {
            (each.endpoint, each.key): _ADDRESS.sub(
                rf"\g<1>{_attribute(public_url + each.endpoint)}",
                _with_imports(_read("msim_xds.wsdl", each.file), public_url + each.endpoint),
            ).encode()
            for each in DESCRIPTIONS
        }
        self._schemas = {
            (endpoint, name): _with_imports(_read("msim_xds.schemas", name), public_url + endpoint).encode()
            for endpoint in Endpoint
            for name in SCHEMAS
        }

    def wsdl(self, endpoint: Endpoint, key: str = "") -> bytes | None:
        """A WSDL of an endpoint, the main one or that of ``key``; None when there is no such file."""
        return self._wsdl.get((endpoint, key))

    def schema(self, endpoint: Endpoint, name: str) -> bytes | None:
        """A schema file with its imports pointing to the same endpoint; None when there is no such file."""
        return self._schemas.get((endpoint, name))


def _read(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _with_imports(text: str, endpoint_url: str) -> str:
    return _IMPORT.sub(rf"\g<1>{_attribute(endpoint_url)}?xsd=\g<2>", text)


def _attribute(url: str) -> str:
    """``url`` as an attribute value and as a replacement of ``re.sub``."""
    return escape(url, {'"': "&quot;"}).replace("\\", r"\\")
