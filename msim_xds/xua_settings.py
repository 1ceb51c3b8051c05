"""Settings of user assertions (XUA); a section of ``settings``, kept apart for its length."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


class Demand(StrEnum):
    """Whether an endpoint looks at assertions."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class XuaSettings(BaseModel):
    """User assertions: SAML 2.0 in WS-Security headers (ITI-40, XUA) ([more](security.md))."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    def demand(self, name: str) -> Demand:
        """What is demanded at an endpoint; at a gateway nothing less than behind it, unless it is said."""
        chosen: Demand | None = getattr(self, name)
        if chosen is None:
            return max(self.registry, self.repository, key=list(Demand).index)
        return chosen

    registry: Demand = Field(
        Demand.OFF,
        description="off does not know wsse:Security; optional checks an assertion that comes; required "
        "refuses requests without one. This one is for `/xds/registry`.",
    )
    repository: Demand = Field(Demand.OFF, description="The same for `/xds/repository`.")
    patients: Demand = Field(Demand.OFF, description="The same for `/xds/registry/patients`.")
    responding_gateway: Demand | None = Field(
        None,
        description="The same for `/xca/responding-gateway`; unset takes the stricter of registry and "
        "repository.",
    )
    initiating_gateway: Demand | None = Field(None, description="The same for `/xca/initiating-gateway`.")
    issuers: dict[str, tuple[Path, ...]] = Field(
        default_factory=dict,
        description="Who may issue assertions: the Issuer's name, and the PEM files of the certificates with "
        "which it signs.",
    )
    audiences: tuple[str, ...] = Field(
        (), description="Names of this server, one of which each AudienceRestriction must name."
    )
    recipients: tuple[str, ...] = Field(
        (), description="What a SubjectConfirmationData may name as Recipient, besides the audiences."
    )
    skew_s: int = Field(60, ge=0, le=600, description="Difference of clocks that is allowed for.")
    lifetime_s: int = Field(14400, ge=60, description="Longest validity of an assertion.")
    second_values: Literal["accept", "refuse"] = Field(
        "accept",
        description="What a second role, purpose of use or AuthnStatement does. The framework has them "
        "accepted; the XUA plans of the NIST toolkit expect a fault.",
    )
    authn_contexts: tuple[str, ...] = Field(
        (), description="Allowed AuthnContextClassRefs or AuthnContextDeclRefs; empty allows any."
    )
    required_attributes: tuple[str, ...] = Field((), description="Names of attributes that must be there.")
    attributes: dict[str, str] = Field(
        default_factory=dict,
        description="Further attributes: name, and what its value is (name, organization, organization id, "
        "role, purpose of use, reason, …).",
    )
    one_time: Literal["ignore", "marked", "all"] = Field(
        "marked",
        description="Which assertions are taken once only: none, those with OneTimeUse, or all. All "
        "processes with one data directory keep one record.",
    )
    remembered: int = Field(
        1000, ge=1, description="Assertions that each worker recognises without verifying them again."
    )
    assertion_bytes: int = Field(65536, ge=1024, description="Largest assertion, in canonical form.")
