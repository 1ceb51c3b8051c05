"""Settings of signature validation; a section of ``settings``, kept apart for its length."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

MIB = 1 << 20


class SignatureSettings(BaseModel):
    """Validation of XAdES signatures: whom to trust, how much to look at ([more](signatures.md))."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    trust: Path | None = Field(
        None, description="Directory of trusted certificates; each folder in it is a set by its name."
    )
    anchors: dict[str, Path] = Field(
        default_factory=dict,
        description="Further sets of trusted certificates (zus, p1, …): a file or directory each.",
    )
    trusted_lists: tuple[Path, ...] = Field(
        (), description="Trusted lists (ETSI TS 119 612) as files; nothing is downloaded."
    )
    list_signers: Path | None = Field(
        None, description="File or directory of the certificates by which trusted lists must be signed."
    )
    fetch_hosts: tuple[str, ...] = Field(
        (),
        description="Hosts that may be asked for CRLs and OCSP responses; empty keeps the network out of it.",
    )
    fetch_timeout_s: float = Field(5.0, gt=0, description="Longest time for one CRL or OCSP response.")
    key_usages: tuple[Literal["digital_signature", "non_repudiation"], ...] = Field(
        ("digital_signature", "non_repudiation"),
        min_length=1,
        description="keyUsage bits of which a signer's certificate needs one.",
    )
    algorithm_ends: dict[str, date] = Field(
        default_factory=dict,
        description="Days from which algorithms prove nothing, instead of the table's: `RSA-1900`, `sha1`, …",
    )
    filter2: bool = Field(
        True, description="Carry out the XPath Filter 2.0 that takes out all signatures, as DSS writes it."
    )
    document_bytes: int = Field(20 * MIB, ge=1024, description="Largest document that is looked at.")
    references: int = Field(100, ge=1, le=1000, description="Most references of one signature.")
    signatures: int = Field(20, ge=1, description="Most signatures of one document.")
    crl_bytes: int = Field(10 * MIB, ge=1024, description="Largest CRL, embedded or fetched.")
    time_s: float = Field(30.0, gt=0, description="Longest time for one document.")
