"""The transactions this server speaks, one row each (ITI TF-2 3.x; Appendix V)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Final

from msim_xds.ihe.discovery import ANSWER_INTERACTION, QUERY_INTERACTION
from msim_xds.ihe.names import HL7V3, LCM, QUERY, RMD, RS, XDS, ObjectKind


class Endpoint(StrEnum):
    """Paths on which actors listen; the value is the URL path."""

    REGISTRY = "/xds/registry"
    REPOSITORY = "/xds/repository"
    PATIENTS = "/xds/registry/patients"
    RESPONDING_GATEWAY = "/xca/responding-gateway"
    INITIATING_GATEWAY = "/xca/initiating-gateway"


class AnswerKind(Enum):
    """Which payload carries the answer, and so how findings are reported."""

    REGISTRY_RESPONSE = f"{{{RS}}}RegistryResponse"
    ADHOC_QUERY_RESPONSE = f"{{{QUERY}}}AdhocQueryResponse"
    RETRIEVE_RESPONSE = f"{{{XDS}}}RetrieveDocumentSetResponse"
    ACKNOWLEDGEMENT = f"{{{HL7V3}}}MCCI_IN000002UV01"
    PATIENT_DISCOVERY = f"{{{HL7V3}}}{ANSWER_INTERACTION}"


_READING: Final = frozenset(
    {AnswerKind.ADHOC_QUERY_RESPONSE, AnswerKind.RETRIEVE_RESPONSE, AnswerKind.PATIENT_DISCOVERY}
)


@dataclass(frozen=True, slots=True)
class Transaction:
    """One row of the transaction table.

    ``action`` is the request's wsa:Action, ``body`` the Clark name of the payload, ``mtom`` whether the
    transaction is an MTOM/XOP message in both directions. ``invalid`` and ``failure`` are the fallback
    error codes for an invalid request and for an internal failure. ``registers`` is the kind of DocumentEntry
    that it adds to the registry, if any.
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
    registers: ObjectKind = ObjectKind.STABLE_DOCUMENT_ENTRY

    @property
    def reads(self) -> bool:
        """Whether it changes nothing, so that it may be carried out later, and more than once."""
        return self.answer in _READING


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
ITI_38: Final = Transaction(
    name="ITI-38",
    title="Cross Gateway Query",
    action="urn:ihe:iti:2007:CrossGatewayQuery",
    answer_action="urn:ihe:iti:2007:CrossGatewayQueryResponse",
    body=f"{{{QUERY}}}AdhocQueryRequest",
    answer=AnswerKind.ADHOC_QUERY_RESPONSE,
    endpoint=Endpoint.RESPONDING_GATEWAY,
    mtom=False,
    invalid="XDSRegistryError",
    failure="XDSRegistryError",
    section="ITI TF-2 3.38",
)
ITI_39: Final = Transaction(
    name="ITI-39",
    title="Cross Gateway Retrieve",
    action="urn:ihe:iti:2007:CrossGatewayRetrieve",
    answer_action="urn:ihe:iti:2007:CrossGatewayRetrieveResponse",
    body=f"{{{XDS}}}RetrieveDocumentSetRequest",
    answer=AnswerKind.RETRIEVE_RESPONSE,
    endpoint=Endpoint.RESPONDING_GATEWAY,
    mtom=True,
    invalid="XDSRepositoryError",
    failure="XDSRepositoryError",
    section="ITI TF-2 3.39",
)
ITI_55: Final = Transaction(
    name="ITI-55",
    title="Cross Gateway Patient Discovery",
    action=f"urn:hl7-org:v3:{QUERY_INTERACTION}:CrossGatewayPatientDiscovery",
    answer_action=f"urn:hl7-org:v3:{ANSWER_INTERACTION}:CrossGatewayPatientDiscovery",
    body=f"{{{HL7V3}}}{QUERY_INTERACTION}",
    answer=AnswerKind.PATIENT_DISCOVERY,
    endpoint=Endpoint.RESPONDING_GATEWAY,
    mtom=False,
    invalid="XDSRegistryError",
    failure="XDSRegistryError",
    section="ITI TF-2 3.55",
)
#: The same messages as to a registry or repository, answered for all communities (ITI TF-1 18.2.2).
ITI_18_GATEWAY: Final = replace(ITI_18, name="ITI-18 gateway", endpoint=Endpoint.INITIATING_GATEWAY)
ITI_43_GATEWAY: Final = replace(ITI_43, name="ITI-43 gateway", endpoint=Endpoint.INITIATING_GATEWAY)


def _iti_44(event: str, title: str, message: str) -> Transaction:
    return Transaction(
        name=f"ITI-44 {event}",
        title=f"Patient Identity Feed HL7 V3: {title}",
        action=f"urn:hl7-org:v3:{message}",
        answer_action="urn:hl7-org:v3:MCCI_IN000002UV01",
        body=f"{{{HL7V3}}}{message}",
        answer=AnswerKind.ACKNOWLEDGEMENT,
        endpoint=Endpoint.PATIENTS,
        mtom=False,
        invalid="XDSRegistryError",
        failure="XDSRegistryError",
        section="ITI TF-2 3.44",
    )


ITI_44_ADD: Final = _iti_44("add", "Patient Registry Record Added", "PRPA_IN201301UV02")
ITI_44_REVISE: Final = _iti_44("revise", "Patient Registry Record Revised", "PRPA_IN201302UV02")
ITI_44_MERGE: Final = _iti_44("merge", "Patient Registry Duplicates Resolved", "PRPA_IN201304UV02")
ITI_44: Final = (ITI_44_ADD, ITI_44_REVISE, ITI_44_MERGE)
ITI_51: Final = Transaction(
    name="ITI-51",
    title="Multi-Patient Stored Query",
    action="urn:ihe:iti:2009:MultiPatientStoredQuery",
    answer_action="urn:ihe:iti:2009:MultiPatientStoredQueryResponse",
    body=f"{{{QUERY}}}AdhocQueryRequest",
    answer=AnswerKind.ADHOC_QUERY_RESPONSE,
    endpoint=Endpoint.REGISTRY,
    mtom=False,
    invalid="XDSRegistryError",
    failure="XDSRegistryError",
    section="ITI TF-2 3.51",
)
ITI_57: Final = Transaction(
    name="ITI-57",
    title="Update Document Set",
    action="urn:ihe:iti:2010:UpdateDocumentSet",
    answer_action="urn:ihe:iti:2010:UpdateDocumentSetResponse",
    body=f"{{{LCM}}}SubmitObjectsRequest",
    answer=AnswerKind.REGISTRY_RESPONSE,
    endpoint=Endpoint.REGISTRY,
    mtom=False,
    invalid="XDSRegistryMetadataError",
    failure="XDSRegistryError",
    section="ITI TF-2 3.57",
)
ITI_61: Final = Transaction(
    name="ITI-61",
    title="Register On-Demand Document Entry",
    action="urn:ihe:iti:2010:RegisterOnDemandDocumentEntry",
    answer_action="urn:ihe:iti:2010:RegisterOnDemandDocumentResponse",
    body=f"{{{LCM}}}SubmitObjectsRequest",
    answer=AnswerKind.REGISTRY_RESPONSE,
    endpoint=Endpoint.REGISTRY,
    mtom=False,
    invalid="XDSRegistryMetadataError",
    failure="XDSRegistryError",
    section="ITI TF-2 3.61",
    registers=ObjectKind.ON_DEMAND_DOCUMENT_ENTRY,
)
ITI_62: Final = Transaction(
    name="ITI-62",
    title="Remove Metadata",
    action="urn:ihe:iti:2010:DeleteDocumentSet",
    answer_action="urn:ihe:iti:2010:DeleteDocumentSetResponse",
    body=f"{{{LCM}}}RemoveObjectsRequest",
    answer=AnswerKind.REGISTRY_RESPONSE,
    endpoint=Endpoint.REGISTRY,
    mtom=False,
    invalid="XDSRegistryError",
    failure="XDSRegistryError",
    section="ITI TF-2 3.62",
)
ITI_86: Final = Transaction(
    name="ITI-86",
    title="Remove Documents",
    action="urn:ihe:iti:2017:RemoveDocuments",
    answer_action="urn:ihe:iti:2017:RemoveDocumentsResponse",
    body=f"{{{RMD}}}RemoveDocumentsRequest",
    answer=AnswerKind.REGISTRY_RESPONSE,
    endpoint=Endpoint.REPOSITORY,
    mtom=False,
    invalid="XDSRepositoryError",
    failure="XDSRepositoryError",
    section="ITI TF-2 3.86",
)
ITI_92: Final = Transaction(
    name="ITI-92",
    title="Restricted Update Document Set",
    action="urn:ihe:iti:2018:RestrictedUpdateDocumentSet",
    answer_action="urn:ihe:iti:2018:RestrictedUpdateDocumentSetResponse",
    body=f"{{{LCM}}}SubmitObjectsRequest",
    answer=AnswerKind.REGISTRY_RESPONSE,
    endpoint=Endpoint.REGISTRY,
    mtom=False,
    invalid="XDSRegistryMetadataError",
    failure="XDSRegistryError",
    section="ITI TF-2 3.92",
)

TRANSACTIONS: Final = (
    ITI_18,
    ITI_41,
    ITI_42,
    ITI_43,
    ITI_51,
    ITI_57,
    ITI_61,
    ITI_62,
    ITI_86,
    ITI_92,
    *ITI_44,
    ITI_38,
    ITI_39,
    ITI_55,
    ITI_18_GATEWAY,
    ITI_43_GATEWAY,
)
