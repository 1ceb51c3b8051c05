"""The transactions this server speaks, one row each (ITI TF-2 3.18, 3.41, 3.42, 3.43; Appendix V)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from msim_xds.ihe.names import LCM, QUERY, RS, XDS


class Endpoint(StrEnum):
    """Paths on which actors listen; the value is the URL path."""

    REGISTRY = "/xds/registry"
    REPOSITORY = "/xds/repository"


class AnswerKind(Enum):
    """Which payload carries the answer, and so how findings are reported."""

    REGISTRY_RESPONSE = f"{{{RS}}}RegistryResponse"
    ADHOC_QUERY_RESPONSE = f"{{{QUERY}}}AdhocQueryResponse"
    RETRIEVE_RESPONSE = f"{{{XDS}}}RetrieveDocumentSetResponse"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One row of the transaction table.

    ``action`` is the request's wsa:Action, ``body`` the Clark name of the payload, ``mtom`` whether the
    transaction is an MTOM/XOP message in both directions. ``invalid`` and ``failure`` are the fallback
    error codes for an invalid request and for an internal failure.
    """

    name: str
    title: str
    action: str
    answer_action: str
    body: str
    answer: AnswerKind
    endpoint: Endpoint
    mtom: bool
    invalid: str
    failure: str
    section: str


ITI_18: Final = Transaction(
    name="ITI-18",
    title="Registry Stored Query",
    action="urn:ihe:iti:2007:RegistryStoredQuery",
    answer_action="urn:ihe:iti:2007:RegistryStoredQueryResponse",
    body=f"{{{QUERY}}}AdhocQueryRequest",
    answer=AnswerKind.ADHOC_QUERY_RESPONSE,
    endpoint=Endpoint.REGISTRY,
    mtom=False,
    invalid="XDSRegistryError",
    failure="XDSRegistryError",
    section="ITI TF-2 3.18",
)
ITI_41: Final = Transaction(
    name="ITI-41",
    title="Provide and Register Document Set-b",
    action="urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b",
    answer_action="urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-bResponse",
    body=f"{{{XDS}}}ProvideAndRegisterDocumentSetRequest",
    answer=AnswerKind.REGISTRY_RESPONSE,
    endpoint=Endpoint.REPOSITORY,
    mtom=True,
    invalid="XDSRepositoryMetadataError",
    failure="XDSRepositoryError",
    section="ITI TF-2 3.41",
)
ITI_42: Final = Transaction(
    name="ITI-42",
    title="Register Document Set-b",
    action="urn:ihe:iti:2007:RegisterDocumentSet-b",
    answer_action="urn:ihe:iti:2007:RegisterDocumentSet-bResponse",
    body=f"{{{LCM}}}SubmitObjectsRequest",
    answer=AnswerKind.REGISTRY_RESPONSE,
    endpoint=Endpoint.REGISTRY,
    mtom=False,
    invalid="XDSRegistryMetadataError",
    failure="XDSRegistryError",
    section="ITI TF-2 3.42",
)
ITI_43: Final = Transaction(
    name="ITI-43",
    title="Retrieve Document Set",
    action="urn:ihe:iti:2007:RetrieveDocumentSet",
    answer_action="urn:ihe:iti:2007:RetrieveDocumentSetResponse",
    body=f"{{{XDS}}}RetrieveDocumentSetRequest",
    answer=AnswerKind.RETRIEVE_RESPONSE,
    endpoint=Endpoint.REPOSITORY,
    mtom=True,
    invalid="XDSRepositoryError",
    failure="XDSRepositoryError",
    section="ITI TF-2 3.43",
)

TRANSACTIONS: Final = (ITI_18, ITI_41, ITI_42, ITI_43)
BY_ENDPOINT_AND_ACTION: Final = {(t.endpoint, t.action): t for t in TRANSACTIONS}
