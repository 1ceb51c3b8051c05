"""Payloads of answers (ITI TF-3 4.2.4; ebRS 3.0; child order as the schemas fix it)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msim_xds.findings import Finding
from msim_xds.ihe.names import QUERY, RIM, RS, XDS, ResponseStatus, Severity
from msim_xds.ihe.transactions import AnswerKind, Transaction
from msim_xds.settings import LimitSettings
from msim_xds.wire import discovery
from msim_xds.wire.acknowledgement import acknowledgement
from msim_xds.wire.xmltext import escape
from msim_xds.wire.xop import include

if TYPE_CHECKING:
    from lxml.etree import _Element

_LIMIT: Final[int] = LimitSettings.model_fields["findings"].default


@dataclass(frozen=True, slots=True)
class DeliveredDocument:
    """One document of an ITI-43 answer.

    ``home`` is the request's HomeCommunityId, None where it had none; ``cid`` is its part's Content-ID. Where
    the document was made on demand, ``new_document_unique_id`` is its own id and ``new_repository_unique_id``
    where it is kept, None where it is not (ITI TF-2 3.43.4.2.2).
    """

    home: str | None
    repository_unique_id: str
    document_unique_id: str
    mime_type: str
    cid: str
    new_repository_unique_id: str | None = None
    new_document_unique_id: str | None = None


def registry_response(status: ResponseStatus, findings: Sequence[Finding] = (), limit: int = _LIMIT) -> bytes:
    """An rs:RegistryResponse.

    Args:
        status: Success or Failure.
        findings: become RegistryErrors.
        limit: most RegistryErrors; errors go before warnings when it is exceeded.
    """
    return _registry_response(status, _capped(findings, limit)).encode()


def adhoc_query_response(
    status: ResponseStatus,
    findings: Sequence[Finding] = (),
    objects: Iterable[bytes] = (),
    limit: int = _LIMIT,
) -> list[bytes]:
    """A query:AdhocQueryResponse in pieces; its RegistryObjectList is there even when it is empty.

    Args:
        status: Success, Failure or PartialSuccess.
        findings: become RegistryErrors.
        objects: registry objects in the rim: prefix, ready as octets.
        limit: most RegistryErrors; errors go before warnings when it is exceeded.
    """
    head = (
        f'<query:AdhocQueryResponse xmlns:query="{QUERY}" xmlns:rim="{RIM}" xmlns:rs="{RS}" '
        f'status="{status}">{_error_list(_capped(findings, limit))}<rim:RegistryObjectList>'
    )
    return [head.encode(), *objects, b"</rim:RegistryObjectList></query:AdhocQueryResponse>"]


def retrieve_response(
    status: ResponseStatus, findings: Sequence[Finding] = (), documents: Sequence[DeliveredDocument] = ()
) -> bytes:
    """An xds:RetrieveDocumentSetResponse (ITI TF-2 3.43.5).

    Args:
        status: Success, Failure or PartialSuccess.
        findings: become RegistryErrors, all of them: each failed document must have its own.
        documents: become DocumentResponses that refer to their parts.
    """
    delivered = "".join(map(_document_response, documents))
    return (
        f'<xds:RetrieveDocumentSetResponse xmlns:xds="{XDS}">{_registry_response(status, findings)}'
        f"{delivered}</xds:RetrieveDocumentSetResponse>"
    ).encode()


def failure(
    transaction: Transaction,
    findings: Sequence[Finding],
    limit: int = _LIMIT,
    original: _Element | None = None,
) -> list[bytes]:
    """The transaction's answer with status Failure and nothing but the findings.

    Args:
        transaction: decides which payload it is.
        findings: become RegistryErrors.
        limit: most RegistryErrors, where the payload allows a limit.
        original: the request's payload, to which an acknowledgement refers.
    """
    match transaction.answer:
        case AnswerKind.REGISTRY_RESPONSE:
            return [registry_response(ResponseStatus.FAILURE, findings, limit)]
        case AnswerKind.ADHOC_QUERY_RESPONSE:
            return adhoc_query_response(ResponseStatus.FAILURE, findings, limit=limit)
        case AnswerKind.RETRIEVE_RESPONSE:
            return [retrieve_response(ResponseStatus.FAILURE, findings)]
        case AnswerKind.ACKNOWLEDGEMENT:
            return [acknowledgement(original, _capped(findings, limit))]
        case AnswerKind.PATIENT_DISCOVERY:
            return discovery.failed(original, _capped(findings, limit))


def _capped(findings: Sequence[Finding], limit: int) -> Sequence[Finding]:
    if len(findings) <= limit:
        return findings
    return sorted(findings, key=lambda finding: not finding.is_error)[:limit]


def _registry_response(status: ResponseStatus, findings: Sequence[Finding]) -> str:
    errors = _error_list(findings)
    return f'<rs:RegistryResponse xmlns:rs="{RS}" status="{status}">{errors}</rs:RegistryResponse>'


def _error_list(findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    highest = Severity.ERROR if any(finding.is_error for finding in findings) else Severity.WARNING
    rows = "".join(map(_registry_error, findings))
    return f'<rs:RegistryErrorList highestSeverity="{highest}">{rows}</rs:RegistryErrorList>'


def _registry_error(finding: Finding) -> str:
    location = finding.error_location
    return (
        f'<rs:RegistryError errorCode="{escape(finding.code)}" codeContext="{escape(finding.code_context)}" '
        f'severity="{finding.severity}"' + (f' location="{escape(location)}"/>' if location else "/>")
    )


def _document_response(document: DeliveredDocument) -> str:
    return (
        f"<xds:DocumentResponse>{_optional('HomeCommunityId', document.home)}"
        f"<xds:RepositoryUniqueId>{escape(document.repository_unique_id)}</xds:RepositoryUniqueId>"
        f"<xds:DocumentUniqueId>{escape(document.document_unique_id)}</xds:DocumentUniqueId>"
        f"{_optional('NewRepositoryUniqueId', document.new_repository_unique_id)}"
        f"{_optional('NewDocumentUniqueId', document.new_document_unique_id)}"
        f"<xds:mimeType>{escape(document.mime_type)}</xds:mimeType>"
        f"<xds:Document>{include(document.cid)}</xds:Document></xds:DocumentResponse>"
    )


def _optional(name: str, value: str | None) -> str:
    return "" if value is None else f"<xds:{name}>{escape(value)}</xds:{name}>"
