"""The WSDL files, one row each (ITI TF-2 Appendix V.2).

A WSDL has one targetNamespace, and each supplement brought one of its own; so an endpoint has several files.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msim_xds.ihe.discovery import XCPD
from msim_xds.ihe.names import RMD, XDS
from msim_xds.ihe.transactions import (
    ITI_18,
    ITI_18_GATEWAY,
    ITI_38,
    ITI_39,
    ITI_41,
    ITI_42,
    ITI_43,
    ITI_43_GATEWAY,
    ITI_44_ADD,
    ITI_44_MERGE,
    ITI_44_REVISE,
    ITI_51,
    ITI_55,
    ITI_57,
    ITI_61,
    ITI_62,
    ITI_86,
    ITI_92,
    Endpoint,
    Transaction,
)


class Description(NamedTuple):
    """One WSDL file.

    Attributes:
        endpoint: whose operations it describes.
        key: what stands behind ``?wsdl=`` to get it; empty for the endpoint's main file.
        file: its name.
        stem: with what the names of portType, binding, service and operations begin.
        namespace: its targetNamespace.
        transactions: what can be called by it.
    """

    endpoint: Endpoint
    key: str
    file: str
    stem: str
    namespace: str
    transactions: tuple[Transaction, ...]

    @property
    def query(self) -> str:
        """What follows the endpoint's path in its URL."""
        return f"?wsdl={self.key}" if self.key else "?wsdl"


DESCRIPTIONS: Final = (
    Description(
        Endpoint.REGISTRY,
        "",
        "registry.wsdl",
        "DocumentRegistry",
        XDS,
        (ITI_42, ITI_61, ITI_18, ITI_51),
    ),
    Description(
        Endpoint.REGISTRY,
        "2010",
        "registry-2010.wsdl",
        "DocumentRegistry",
        "urn:ihe:iti:xds-b:2010",
        (ITI_57, ITI_62),
    ),
    Description(
        Endpoint.REGISTRY,
        "rmu",
        "update-responder.wsdl",
        "UpdateResponder",
        "urn:ihe:iti:rmu:2018",
        (ITI_92,),
    ),
    Description(
        Endpoint.PATIENTS,
        "",
        "patients.wsdl",
        "DocumentRegistry",
        XDS,
        (ITI_44_ADD, ITI_44_REVISE, ITI_44_MERGE),
    ),
    Description(Endpoint.REPOSITORY, "", "repository.wsdl", "DocumentRepository", XDS, (ITI_41, ITI_43)),
    Description(Endpoint.REPOSITORY, "rmd", "repository-rmd.wsdl", "DocumentRepository", RMD, (ITI_86,)),
    Description(
        Endpoint.RESPONDING_GATEWAY,
        "",
        "responding-gateway.wsdl",
        "RespondingGateway",
        XDS,
        (ITI_38, ITI_39),
    ),
    Description(
        Endpoint.RESPONDING_GATEWAY, "xcpd", "patient-discovery.wsdl", "RespondingGateway", XCPD, (ITI_55,)
    ),
    Description(
        Endpoint.INITIATING_GATEWAY,
        "",
        "initiating-gateway.wsdl",
        "InitiatingGateway",
        XDS,
        (ITI_18_GATEWAY, ITI_43_GATEWAY),
    ),
)

#: By transaction name, the file by which it can be called.
BY_TRANSACTION: Final = {row.name: each for each in DESCRIPTIONS for row in each.transactions}


def of_endpoint(endpoint: Endpoint) -> tuple[Description, ...]:
    """The files of an endpoint, the main one first."""
    return tuple(each for each in DESCRIPTIONS if each.endpoint is endpoint)
