"""Settings of the XCA gateways; a section of ``settings``, kept apart for its length."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

_HOME: Final = r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+"
HomeId = Annotated[str, StringConstraints(pattern=f"^{_HOME}$", max_length=72)]
"""A homeCommunityId (ITI TF-3 4.2.3.2.12)."""
OptionalHomeId = Annotated[str, StringConstraints(pattern=f"^({_HOME})?$", max_length=72)]
"""The same, or nothing."""


class GatewaySettings(BaseModel):
    """XCA gateways; they are offered where `registry.home_community_id` is set ([more](federation.md))."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    responding: bool = Field(True, description="Offer the Responding Gateway, `/xca/responding-gateway`.")
    initiating: bool = Field(True, description="Offer the Initiating Gateway, `/xca/initiating-gateway`.")
    correlation_days: int = Field(
        0,
        ge=0,
        le=365,
        description="How long others may remember what a patient discovery found (CorrelationTimeToLive); 0 "
        "asks them not to.",
    )
    further_homes: tuple[HomeId, ...] = Field(
        (), description="homeCommunityIds besides `registry.home_community_id` that are answered for here."
    )
    retrieve_location: Literal["home", "document-and-home"] = Field(
        "home",
        description="What an error of ITI-39 has as its location: the homeCommunityId alone, with the "
        "DocumentUniqueId in codeContext (some receivers take nothing else), or both, parted by a blank.",
    )
    partners: Path | None = Field(
        None,
        description="TOML file of the partner communities, or a directory whose `*.toml` are read; without "
        "it the Initiating Gateway answers for this community alone.",
    )
    nothing_found: Literal["PartialSuccess", "Failure"] = Field(
        "PartialSuccess",
        description="Status of a query for which one community failed and no other found anything. The "
        "transaction's own text asks for PartialSuccess, the general table of statuses for Failure.",
    )
    requests: int = Field(
        64,
        ge=1,
        description="Requests to the Initiating Gateway under way in each worker; further ones wait.",
    )
    threads: int = Field(
        128, ge=1, description="Communities asked at a time by each worker, over all requests."
    )
    breaker_failures: int = Field(
        5, ge=1, description="After so many failures in a row a community is not asked for a while."
    )
    breaker_pause_s: float = Field(
        30.0, gt=0, description="How long it is not asked; one request then tries again."
    )
