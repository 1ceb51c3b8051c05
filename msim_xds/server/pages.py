"""The pages for people: what this server is, and what an endpoint takes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

from msim_xds.ihe.descriptions import BY_TRANSACTION
from msim_xds.ihe.transactions import TRANSACTIONS, Endpoint

_FILES: Final = files("msim_xds.server")
_STYLE: Final = _FILES.joinpath("page.css").read_text(encoding="utf-8")
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Final = (
    (
        "Content-Security-Policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'",
    ),
    ("Referrer-Policy", "no-referrer"),
)
"""Headers of a page: nothing but our own style is loaded or run."""


def home(public_url: str, endpoints: Collection[Endpoint]) -> bytes:
    """The page of ``/``, in Polish and English, with links that work below any prefix."""
    rows = "".join(
        f"<tr><td><code>{escape(public_url + row.endpoint)}</code></td>"
        f"<td>{row.name} {escape(row.title)}</td>"
        f'<td><a href="{escape(row.endpoint[1:] + BY_TRANSACTION[row.name].query)}">WSDL</a></td></tr>\n'
        for row in TRANSACTIONS
        if row.endpoint in endpoints
    )
    return _page("home.html", "IHE XDS.b", "pl", rows=rows, url=escape(public_url))


def endpoint(path: Endpoint) -> bytes:
    """The page of an endpoint: its transactions, and the WSDL of each."""
    rows = "".join(
        f"<tr><td>{row.name} {escape(row.title)}</td><td><code>{escape(row.action)}</code></td>"
        f"<td>{'MTOM/XOP' if row.mtom else 'SOAP'}</td>"
        f"<td>{_link(BY_TRANSACTION[row.name].query)}</td></tr>\n"
        for row in TRANSACTIONS
        if row.endpoint is path
    )
    return _page("endpoint.html", path, "en", rows=rows, path=escape(path))


def _link(query: str) -> str:
    return f'<a href="{escape(query)}">{escape(query)}</a>'


def _page(name: str, title: str, lang: str, **values: str) -> bytes:
    body = _template(name).substitute(values)
    return (
        _template("frame.html").substitute(title=escape(title), lang=lang, style=_STYLE, body=body).encode()
    )


def _template(name: str) -> Template:
    return Template(_FILES.joinpath(name).read_text(encoding="utf-8"))
