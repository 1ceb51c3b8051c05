"""HTTP to other servers: requests streamed from files with an exact length, answers streamed into files.

Nothing here holds a document in memory, and nothing waits for ever: connecting, silence and the whole
exchange have bounds, so have the sizes of answers. Redirects, proxies of the environment and compression are
not used.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import requests
import urllib3

from msim_xds import __version__
from msim_xds.federation.answers import RemoteUnavailable
from msim_xds.federation.watch import NOT_IN_TIME, Watch, WatchingAdapter
from msim_xds.findings import shorten
from msim_xds.ihe.transactions import Transaction
from msim_xds.settings import GIB, MIB, LimitSettings
from msim_xds.wire import mtom
from msim_xds.wire.exchange import OutgoingDocument, Stager
from msim_xds.wire.safexml import MalformedXml
from msim_xds.wire.staging import BadPackage

if TYPE_CHECKING:
    from lxml.etree import _Element

_CHUNK: Final = 256 * 1024
_SOAP_TYPES: Final = frozenset({mtom.SOAP_TYPE, "multipart/related", "text/xml"})
_BAD_URL: Final = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)
#: Alerts of TLS by which the other side refuses our certificate, or the want of one.
_ABOUT_US: Final = re.compile(
    "ALERT_(UNKNOWN_CA|ACCESS_DENIED|(BAD|UNSUPPORTED)_CERTIFICATE|"
    "CERTIFICATE_(REQUIRED|EXPIRED|REVOKED|UNKNOWN))$"
)
_NO_HTTP: Final = (http.client.BadStatusLine, http.client.UnknownProtocol)
_TOO_LATE: Final = (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError)

#: What an answer may hold at most; generous, for other communities' repositories.
ANSWER_LIMITS: Final = LimitSettings(
    root_part_bytes=64 * MIB,
    request_bytes=64 * GIB,
    document_bytes=16 * GIB,
    objects=200_000,
)


@dataclass(frozen=True, slots=True)
class Options:
    """How to talk to one server.

    Attributes:
        connect_timeout_s: longest wait for a connection, and for the server to take a piece of the request.
        read_timeout_s: longest silence while waiting for the answer, and in its midst.
        deadline_s: longest time for the whole exchange, from the name's look-up to the answer's last octet.
        verify: True for the system's authorities, or a file of trusted certificates (PEM).
        certificate: files of our own certificate and key (PEM) for mutual TLS.
        limits: bounds on answers.
        assertion: the user's SAML 2.0 assertion as its issuer gave it, sent with each request (XUA).
        sign: signs each complete envelope; None signs none.
    """

    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    deadline_s: float = 3600.0
    verify: bool | str = True
    certificate: tuple[str, str] | None = None
    limits: LimitSettings = ANSWER_LIMITS
    assertion: bytes = b""
    sign: Callable[[_Element], None] | None = None


class UnreadableDocument(Exception):
    """A file to send cannot be read. No OSError: ``requests`` would take it for one of the connection."""


def file_document(cid: str, mime_type: str, path: Path) -> OutgoingDocument:
    """A file as a document to send; it is read while it is sent. Raises UnreadableDocument."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UnreadableDocument(f"{path}: {error.strerror}") from None
    return OutgoingDocument(cid, mime_type, size, _file_chunks(path, size))


def _file_chunks(path: Path, size: int) -> Iterator[bytes]:
    left = size
    try:
        with path.open("rb") as file:
            while left >= 0 and (chunk := file.read(_CHUNK)):
                left -= len(chunk)
                if left >= 0:
                    yield chunk
    except OSError as error:
        raise UnreadableDocument(f"{path}: {error.strerror}") from None
    if left:
        raise UnreadableDocument(f"{path} changed while it was sent")


@dataclass(frozen=True, slots=True)
class _Body:
    """A request's body in the shape that ``requests`` sends with Content-Length instead of in chunks."""

    packaged: mtom.Packaged

    def __len__(self) -> int:
        if self.packaged.length is None:
            raise ValueError("a document to send has no size")
        return self.packaged.length

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.packaged.chunks)


class Channel:
    """A pooled connection to one URL; to be used by one thread at a time."""

    def __init__(self, url: str, options: Options) -> None:
        self.url = url
        self.options = options
        self._watch = Watch()
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, WatchingAdapter(self._watch))
        self._session.trust_env = False
        self._session.verify = options.verify
        self._session.cert = options.certificate
        self._session.headers = requests.structures.CaseInsensitiveDict(
            {"User-Agent": f"msim-xds/{__version__}", "Accept-Encoding": "identity"}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def post(
        self, transaction: Transaction, envelope: bytes, documents: Sequence[OutgoingDocument], stager: Stager
    ) -> mtom.Message:
        """Send one request and read its answer; documents of the answer go to ``stager``.

        Raises:
            RemoteUnavailable: there is no SOAP message for an answer, whatever the reason.
            UnreadableDocument: a file to send cannot be read.
            OSError: the stager cannot keep a document of the answer.
        """
        package = mtom.package if transaction.mtom else mtom.plain
        packaged = package([envelope], documents, transaction.action)
        return self._exchange(_Body(packaged), {"Content-Type": packaged.content_type}, stager)

    def ask(self, envelope: bytes, headers: Mapping[str, str], stager: Stager) -> mtom.Message:
        """Send one envelope that is no transaction of ours and read its answer. Raises as ``post``."""
        return self._exchange(envelope, headers, stager)

    def _exchange(self, data: _Body | bytes, headers: Mapping[str, str], stager: Stager) -> mtom.Message:
        with self._watch.during(self.options.deadline_s), self._answer(data, headers) as response:
            self._check(response)
            try:
                content_type = response.headers.get("Content-Type", "")
                return mtom.read(content_type, self._chunks(response), stager, self.options.limits)
            except (BadPackage, MalformedXml) as error:
                raise RemoteUnavailable(self.url, f"its answer is broken: {error}") from None

    def _answer(self, data: _Body | bytes, headers: Mapping[str, str]) -> requests.Response:
        """Send the request; returns when the head of its answer is there."""
        options = self.options
        connect_s = max(0.001, min(options.connect_timeout_s, options.deadline_s))  # 0 is an error
        try:
            response = self._session.post(
                self.url,
                data=data,
                headers=headers,
                stream=True,
                timeout=(connect_s, options.read_timeout_s),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            why = NOT_IN_TIME if self._watch.late else reason(error)
            raise RemoteUnavailable(self.url, why, sent=_may_have_arrived(error)) from None
        if self._watch.late:  # a connection that was broken off reads as the end of the headers
            response.close()
            raise RemoteUnavailable(self.url, NOT_IN_TIME)
        return response

    def _check(self, response: requests.Response) -> None:
        """Only a SOAP message may go on to the parser; faults come with 400, 413, 500 and others."""
        content_type = response.headers.get("Content-Type", "")
        if content_type.partition(";")[0].strip().lower() not in _SOAP_TYPES:
            kind = shorten(content_type) or "no content"
            raise RemoteUnavailable(self.url, f"it answers HTTP {response.status_code} ({kind}) and not SOAP")
        if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise RemoteUnavailable(self.url, "its answer is compressed, which was not asked for")

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        """The answer's octets as they come, until the deadline."""
        try:
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                if self._watch.late:
                    break
                yield chunk
        except urllib3.exceptions.HTTPError as error:
            if not self._watch.late:
                raise RemoteUnavailable(self.url, reason(error)) from None
        if self._watch.late:  # a connection that was broken off may read as an end
            raise RemoteUnavailable(self.url, f"its answer takes over {self.options.deadline_s:g} s")


def _may_have_arrived(error: requests.RequestException) -> bool:
    """Whether there was a connection at all."""
    if isinstance(error, (requests.ConnectTimeout, *_BAD_URL)):
        return False
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    return not isinstance(cause, urllib3.exceptions.NewConnectionError)


def reason(error: Exception) -> str:
    """What went wrong with a connection, in words for people; the libraries' own text names objects."""
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)  # which urllib3 takes for a time-out
    if isinstance(error, _TOO_LATE) and not refused:
        return NOT_IN_TIME
    if isinstance(error, _BAD_URL):
        return "this is no URL of a server; expected http://… or https://…"
    inner = _innermost(error)
    if isinstance(inner, _NO_HTTP) and not isinstance(inner, OSError):  # its text is what was sent instead
        return f"the connection fails: it does not keep to HTTP ({type(inner).__name__})"
    words = shorten(getattr(inner, "strerror", None) or str(inner) or type(inner).__name__)
    if isinstance(inner, ssl.SSLError) and _ABOUT_US.search(inner.reason or ""):
        return f"it does not accept our TLS certificate: {words}"
    if isinstance(inner, ssl.SSLEOFError):
        return f"it breaks the TLS connection off, as some do that want another certificate of ours: {words}"
    if isinstance(inner, ssl.SSLError) or isinstance(error, requests.exceptions.SSLError):
        return f"the TLS connection fails: {words}"
    return f"the connection fails: {words}"


def _innermost(error: BaseException) -> BaseException:
    """What the operating system or the TLS library has said, below the wrappers of two HTTP libraries."""
    inner: BaseException | None = error
    while inner is not None:
        error = inner
        inner = error.__cause__ or error.__context__ or getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
    return error
