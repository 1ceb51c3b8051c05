"""Settings of access; a section of ``settings``, kept apart for its length."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class AccessSettings(BaseModel):
    """Who may do what: systems ([more](security.md)), and rules about documents ([more](access.md))."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    systems: Path | None = Field(
        None,
        description="TOML file of the registered systems; with it requests of others are refused. Needs "
        "their certificates: `tls.client_certificates` or `tls.client_certificate_header`.",
    )
    requests_per_s: float | None = Field(
        None, gt=0, description="Requests that each worker takes of one system; empty is unlimited."
    )
    burst: int | None = Field(
        None, ge=1, description="Requests that may come at once; empty is those of one second."
    )
    concurrent: int | None = Field(
        None, ge=1, description="Requests of one system at a time in each worker; empty is unlimited."
    )

    policy: Path | None = Field(
        None,
        description="TOML file with the rules of who may see and change which documents; without one "
        "everybody who is let in sees and changes everything.",
    )

    consent_policies: dict[str, Literal["opt-in", "opt-out"]] = Field(
        default_factory=dict,
        description="Policies of the domain to which consent documents (APPC) may refer, by their ids, and "
        "what each says of the documents that it is about ([more](access.md#what-patients-say)).",
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        """Nothing that looks like protection may be without effect."""
        for name in ("requests_per_s", "concurrent"):
            if getattr(self, name) is not None and self.systems is None:
                raise ValueError(f"{name}: needs access.systems, by which systems are told apart")
        if self.burst is not None and self.requests_per_s is None:
            raise ValueError("burst: needs access.requests_per_s")
        return self
