"""What other servers answer, as small frozen values; answers are untrusted and read with the hardened parser.

Errors and warnings of the other side become ``Finding`` values whose codeContext, location and severity are
what it sent, so that they can be relayed unchanged (ITI TF-2 3.41.4.2.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msim_xds.findings import Finding, shorten
from msim_xds.ihe.names import RIM, RS, SOAP, SOAP11, XDS, ResponseStatus, Severity
from msim_xds.ihe.transactions import AnswerKind, Transaction
from msim_xds.metadata import ebrim
from msim_xds.metadata.model import RegistryObject
from msim_xds.settings import LimitSettings
from msim_xds.wire.safexml import MalformedXml, parse

if TYPE_CHECKING:
    from lxml.etree import _Element

_XML_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"


class RemoteError(Exception):
    """The other server did not carry out the request; the text says which server and why."""


class RemoteUnavailable(RemoteError):
    """No usable answer: not reached, too slow, too large, broken off, or not one of this transaction.

    ``sent`` says whether the request may have arrived, and so may have been carried out.
    """

    def __init__(self, url: str, reason: str, *, sent: bool = True) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason
        self.sent = sent


class NotAsked(RemoteUnavailable):
    """The other server was not asked, for a reason of the request or of ours. It may be in good health."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason, sent=False)


class Unusable(RemoteUnavailable):
    """The other server has answered in good order, but this request cannot go on with what it says."""


class RemoteFault(RemoteError):
    """The other server answered with a SOAP fault.

    ``code`` and ``subcode`` are local names such as ``Sender``, ``ActionNotSupported``; subcode may be empty.
    ``said`` is all of it for people, without the URL.
    """

    def __init__(self, url: str, code: str, subcode: str, reason: str) -> None:
        self.said = f"SOAP fault {'/'.join(filter(None, (code, subcode)))}: {reason}"
        super().__init__(f"{url}: {self.said}")
        self.code = code
        self.subcode = subcode
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RegistryAnswer:
    """Status and findings of a RegistryResponse (ITI TF-3 4.2.4.2)."""

    status: ResponseStatus
    findings: tuple[Finding, ...]

    @property
    def succeeded(self) -> bool:
        """Whether the status is Success."""
        return self.status is ResponseStatus.SUCCESS


@dataclass(frozen=True, slots=True)
class QueryAnswer(RegistryAnswer):
    """Answer of a stored query.

    Attributes:
        objects: entries, sets, folders and associations, read.
        references: ids of rim:ObjectRef.
        elements: the members of the RegistryObjectList as they came.
    """

    objects: tuple[RegistryObject, ...] = ()
    references: tuple[str, ...] = ()
    elements: Sequence[_Element] = ()


@dataclass(frozen=True, slots=True)
class RetrievedDocument:
    """A document that was retrieved: its identity, and the file that holds its octets."""

    home: str | None
    repository_unique_id: str
    document_unique_id: str
    mime_type: str
    path: Path
    size: int
    sha1: str


@dataclass(frozen=True, slots=True)
class RetrieveAnswer(RegistryAnswer):
    """Answer of ITI-43."""

    documents: tuple[RetrievedDocument, ...] = ()


def payload(root: bytes, transaction: Transaction, url: str) -> _Element:
    """The child of soap:Body, which is what the transaction's row says.

    Raises:
        RemoteFault: it is a SOAP fault.
        RemoteUnavailable: it is anything else.
    """
    child = content(root, url, (SOAP,))
    if child.tag != transaction.answer.value:
        raise RemoteUnavailable(
            url, f"its answer is no answer of {transaction.name}: {shorten(str(child.tag))}"
        )
    return child


def content(root: bytes, url: str, versions: Sequence[str] = (SOAP, SOAP11)) -> _Element:
    """The child of soap:Body, in a message of these versions of SOAP.

    Raises:
        RemoteFault: it is a SOAP fault, of either version.
        RemoteUnavailable: there is none.
    """
    try:
        envelope = parse(root)
    except MalformedXml as error:
        raise RemoteUnavailable(url, f"its answer is broken: {error}") from None
    if (old := envelope.find(f"{{{SOAP11}}}Body/{{{SOAP11}}}Fault")) is not None:
        raise RemoteFault(
            url, _local(old.findtext("faultcode")), "", shorten(old.findtext("faultstring") or "")
        )
    bodies = (envelope.find(f"{{{soap}}}Body") for soap in versions)
    child = next((each for body in bodies if body is not None for each in body), None)
    if child is None:
        wanted = "1.2" if SOAP11 not in versions else "1.1 or 1.2"
        raise RemoteUnavailable(url, f"its answer is not a SOAP {wanted} message")
    if child.tag == f"{{{SOAP}}}Fault":
        raise _fault(child, url)
    return child


def _fault(fault: _Element, url: str) -> RemoteFault:
    code = fault.findtext(f"{{{SOAP}}}Code/{{{SOAP}}}Value")
    subcode = fault.findtext(f"{{{SOAP}}}Code/{{{SOAP}}}Subcode/{{{SOAP}}}Value")
    texts = fault.findall(f"{{{SOAP}}}Reason/{{{SOAP}}}Text")
    english = [text for text in texts if text.get(_XML_LANG, "").startswith("en")]
    reason = next(((text.text or "") for text in (*english, *texts)), "")
    return RemoteFault(url, _local(code), _local(subcode), shorten(" ".join(reason.split()), 500))


def _local(qname: str | None) -> str:
    return (qname or "").strip().rpartition(":")[2]


def registry_answer(element: _Element, url: str) -> RegistryAnswer:
    """Status and errors of a RegistryResponse, or of the answer that contains or extends one.

    Raises:
        RemoteUnavailable: it has no status that XDS knows.
    """
    response = element.find(AnswerKind.REGISTRY_RESPONSE.value)
    holder = element if response is None else response
    try:
        status = ResponseStatus(holder.get("status", "").strip())
    except ValueError:
        seen = shorten(holder.get("status", ""))
        raise RemoteUnavailable(url, f"its answer has an unknown status {seen!r}") from None
    errors = holder.iterfind(f"{{{RS}}}RegistryErrorList/{{{RS}}}RegistryError")
    return RegistryAnswer(status, tuple(map(_finding, errors)))


def _finding(error: _Element) -> Finding:
    """A RegistryError; its codeContext is ``problem``, so that ``Finding`` writes back what was read."""
    warning = error.get("severity", "").strip() == Severity.WARNING
    return Finding(
        code=error.get("errorCode", "").strip(),
        problem=error.get("codeContext", ""),
        severity=Severity.WARNING if warning else Severity.ERROR,
        location=error.get("location", ""),
    )


def query_answer(element: _Element, url: str, limits: LimitSettings) -> QueryAnswer:
    """An AdhocQueryResponse; a missing RegistryObjectList counts as empty. Raises as ``registry_answer``."""
    answer = registry_answer(element, url)
    members = element.find(f"{{{RIM}}}RegistryObjectList")
    if members is None:
        return QueryAnswer(answer.status, answer.findings)
    references = tuple(ref.get("id", "") for ref in members.iterfind(f"{{{RIM}}}ObjectRef"))
    objects = ebrim.read(element, limits).submission.objects()
    return QueryAnswer(answer.status, answer.findings, objects, references, list(members))


def document_responses(element: _Element) -> list[tuple[_Element, dict[str, str]]]:
    """Document elements of a RetrieveDocumentSetResponse with the texts beside them, by local name."""
    found = []
    for response in element.iterfind(f"{{{XDS}}}DocumentResponse"):
        texts = {_clark_local(child): (child.text or "").strip() for child in response}
        document = response.find(f"{{{XDS}}}Document")
        if document is not None:
            found.append((document, texts))
    return found


def _clark_local(element: _Element) -> str:
    return str(element.tag).rpartition("}")[2]
