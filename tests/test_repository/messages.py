"""ITI-41 and ITI-43 payloads as a sender writes them."""

from __future__ import annotations

import base64
from xml.sax.saxutils import escape, quoteattr

XDS = "urn:ihe:iti:xds-b:2007"
XOP = "http://www.w3.org/2004/08/xop/include"


def provide(submit_objects: bytes, *documents: str) -> bytes:
    """xds:ProvideAndRegisterDocumentSetRequest."""
    inner = "".join(documents)
    name = "xds:ProvideAndRegisterDocumentSetRequest"
    return f'<{name} xmlns:xds="{XDS}">{submit_objects.decode()}{inner}</{name}>'.encode()


def inline(id: str, content: bytes) -> str:
    """xds:Document as base64."""
    return f"<xds:Document id={quoteattr(id)}>{base64.b64encode(content).decode()}</xds:Document>"


def include(id: str, cid: str) -> str:
    """xds:Document by reference."""
    reference = f'<xop:Include xmlns:xop="{XOP}" href={quoteattr("cid:" + cid)}/>'
    return f"<xds:Document id={quoteattr(id)}>{reference}</xds:Document>"


def wanted(repository: str | None, unique_id: str | None, home: str | None = None) -> str:
    """xds:DocumentRequest; None leaves an element out."""
    values = {"HomeCommunityId": home, "RepositoryUniqueId": repository, "DocumentUniqueId": unique_id}
    inner = "".join(
        f"<xds:{name}>{escape(value)}</xds:{name}>" for name, value in values.items() if value is not None
    )
    return f"<xds:DocumentRequest>{inner}</xds:DocumentRequest>"


def retrieve(*requests: str) -> bytes:
    """xds:RetrieveDocumentSetRequest."""
    name = "xds:RetrieveDocumentSetRequest"
    return f'<{name} xmlns:xds="{XDS}">{"".join(requests)}</{name}>'.encode()
