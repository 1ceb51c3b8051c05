"""Settings of signature validation; a section of ``settings``, kept apart for its length."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

MIB = 1 << 20


class SignaturePolicy(StrEnum):
    """What is done about the signatures of submitted documents."""

    IGNORE = "ignore"  # not looked at
    RECORD = "record"  # looked at; the result is kept
    WARN = "warn"  # and the answer says what is wrong
    REJECT = "reject"  # and what is wrong refuses the submission


class SignatureRule(BaseModel):
    """One row of the table of policies: what it leaves open fits every document."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    source_id: str | None = Field(None, description="sourceId of the SubmissionSet.")
    format_code: str | None = Field(None, description="formatCode, as `code` or `code^^scheme`.")
    class_code: str | None = Field(None, description="classCode, as `code` or `code^^scheme`.")
    mime_type: str | None = Field(None, description="mimeType.")
    policy: SignaturePolicy = Field(description="What holds for these documents.")


class SignatureSettings(BaseModel):
    """Validation of XAdES signatures: whom to trust, how much to look at ([more](signatures.md))."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    policy: SignaturePolicy = Field(
        SignaturePolicy.RECORD,
        description="What ITI-41 does about signatures: `ignore`, `record`, `warn` or `reject`.",
    )
    rules: tuple[SignatureRule, ...] = Field(
        (),
        description="Table of policies by `source_id`, `format_code`, `class_code`, `mime_type`; the first "
        "row that fits holds, else `policy`.",
    )
    undecided: tuple[str, ...] = Field(
        ("NO_CERTIFICATE_CHAIN_FOUND", "TRY_LATER", "OUT_OF_BOUNDS_NO_POE", "GENERIC"),
        description="Sub-indications of INDETERMINATE with which `reject` only warns.",
    )
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
    attempts: int = Field(
        5,
        ge=1,
        description="How often the validation of a document under `record` is begun, if its octets cannot be "
        "read or the validator fails or dies, before it is given up as INDETERMINATE.",
    )
    retry_s: float = Field(
        60.0, gt=0, description="Pause before the second attempt; each later one doubles it."
    )

    @property
    def is_off(self) -> bool:
        """Whether no document at all is looked at."""
        return self._policies == {SignaturePolicy.IGNORE}

    @property
    def speaks(self) -> bool:
        """Whether there are documents whose signatures decide on what their sender hears."""
        return bool(self._policies & {SignaturePolicy.WARN, SignaturePolicy.REJECT})

    @property
    def _policies(self) -> set[SignaturePolicy]:
        return {self.policy, *(rule.policy for rule in self.rules)}
