"""What a validation says: values after ETSI EN 319 102-1, and the form that goes out as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from msim_xds.security.signatures.reasons import Reason


class Indication(StrEnum):
    """Main status indication (EN 319 102-1, 5.1.3)."""

    TOTAL_PASSED = "TOTAL_PASSED"
    INDETERMINATE = "INDETERMINATE"
    TOTAL_FAILED = "TOTAL_FAILED"


class Sub(StrEnum):
    """Sub-indication, in the order in which one hides another."""

    FORMAT_FAILURE = "FORMAT_FAILURE"
    NO_SIGNING_CERTIFICATE_FOUND = "NO_SIGNING_CERTIFICATE_FOUND"
    SIGNED_DATA_NOT_FOUND = "SIGNED_DATA_NOT_FOUND"
    HASH_FAILURE = "HASH_FAILURE"
    SIG_CRYPTO_FAILURE = "SIG_CRYPTO_FAILURE"
    NO_CERTIFICATE_CHAIN_FOUND = "NO_CERTIFICATE_CHAIN_FOUND"
    CERTIFICATE_CHAIN_GENERAL_FAILURE = "CERTIFICATE_CHAIN_GENERAL_FAILURE"
    CHAIN_CONSTRAINTS_FAILURE = "CHAIN_CONSTRAINTS_FAILURE"
    REVOKED = "REVOKED"
    REVOKED_NO_POE = "REVOKED_NO_POE"
    REVOKED_CA_NO_POE = "REVOKED_CA_NO_POE"
    EXPIRED = "EXPIRED"
    NOT_YET_VALID = "NOT_YET_VALID"
    OUT_OF_BOUNDS_NO_POE = "OUT_OF_BOUNDS_NO_POE"
    OUT_OF_BOUNDS_NOT_REVOKED = "OUT_OF_BOUNDS_NOT_REVOKED"
    TRY_LATER = "TRY_LATER"
    SIG_CONSTRAINTS_FAILURE = "SIG_CONSTRAINTS_FAILURE"
    CRYPTO_CONSTRAINTS_FAILURE = "CRYPTO_CONSTRAINTS_FAILURE"
    CRYPTO_CONSTRAINTS_FAILURE_NO_POE = "CRYPTO_CONSTRAINTS_FAILURE_NO_POE"
    TIMESTAMP_ORDER_FAILURE = "TIMESTAMP_ORDER_FAILURE"


FAILING = frozenset(
    [
        Sub.FORMAT_FAILURE,
        Sub.HASH_FAILURE,
        Sub.SIG_CRYPTO_FAILURE,
        Sub.REVOKED,
        Sub.EXPIRED,
        Sub.NOT_YET_VALID,
    ]
)
"""Sub-indications of TOTAL_FAILED; all others only say that something could not be established."""


def indication(sub: Sub | None) -> Indication:
    """The indication that goes with a sub-indication."""
    if sub is None:
        return Indication.TOTAL_PASSED
    return Indication.TOTAL_FAILED if sub in FAILING else Indication.INDETERMINATE


@dataclass(frozen=True, slots=True)
class ReferenceReport:
    """One reference: found and unchanged, and whether it is about the whole document."""

    uri: str | None
    type: str
    intact: bool
    covers_document: bool
    reasons: tuple[Reason, ...] = ()

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {"uri": self.uri, "intact": self.intact, "covers_document": self.covers_document}


@dataclass(frozen=True, slots=True)
class TimestampReport:
    """One time-stamp token: right in itself, and whether its authority is trusted."""

    type: str
    intact: bool
    trusted: bool
    gen_time: datetime | None
    authority: str
    reasons: tuple[Reason, ...] = ()

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "type": self.type,
            "intact": self.intact,
            "trusted": self.trusted,
            "gen_time": _time(self.gen_time),
        }


@dataclass(frozen=True, slots=True)
class SignerReport:
    """The signing certificate and whom it stands for.

    Attributes:
        subject: the certificate's subject.
        sha256: of the certificate, for logs that must not name people.
        qualifications: qualified, QSCD, eSign, eSeal.
        asserted: the person whom a trusted signature names; asserted by the seal, not by the certificate.
        trust_set: the set of anchors in which the chain ended; '' for none.
    """

    subject: str
    sha256: str
    qualifications: tuple[str, ...] = ()
    asserted: str = ""
    trust_set: str = ""

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "sha256": self.sha256,
            "qualifications": list(self.qualifications),
            "asserted": self.asserted or None,
            "trust_set": self.trust_set or None,
        }


@dataclass(frozen=True, slots=True)
class SignatureReport:
    """One signature.

    Attributes:
        id: ds:Signature/@Id.
        intact: technical verdict: nothing was changed and everything is in its place.
        level: the level's name.
        signer: the signing certificate; None where there is none.
        signing_certificate_bound: whether the signature itself names that certificate.
        packaging: enveloped, enveloping, detached, internally-detached; several where references differ.
        covers_document: whether a valid reference covers the whole document as stored, less signatures.
        signing_time: the time that the signer claims.
        best_time: when the signature is proven to have existed, or the time of the validation.
        policy: identifier of the signature policy.
        commitments: identifiers of the signer's commitments.
        references: its references.
        manifest: entries of its manifests.
        timestamps: its time-stamps.
        counter_signatures: signatures over its value.
        sub_indication: why it did not pass; None for TOTAL_PASSED.
        reasons: what is wrong, the deciding one first.
        warnings: what is noteworthy and decides nothing.
    """

    id: str | None
    intact: bool
    level: str
    signer: SignerReport | None
    signing_certificate_bound: bool
    packaging: tuple[str, ...]
    covers_document: bool
    signing_time: str
    best_time: datetime
    policy: str
    commitments: tuple[str, ...]
    references: tuple[ReferenceReport, ...]
    manifest: tuple[ReferenceReport, ...]
    timestamps: tuple[TimestampReport, ...]
    counter_signatures: tuple[SignatureReport, ...]
    sub_indication: Sub | None
    reasons: tuple[Reason, ...]
    warnings: tuple[Reason, ...]

    @property
    def indication(self) -> Indication:
        """The main indication."""
        return indication(self.sub_indication)

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "id": self.id,
            "intact": self.intact,
            "level": self.level,
            "signer": self.signer.subject if self.signer else None,
            "signing_certificate_bound": self.signing_certificate_bound,
            "packaging": self.packaging[0] if len(self.packaging) == 1 else list(self.packaging),
            "covers_document": self.covers_document,
            "signing_time": self.signing_time or None,
            "references": [one.json() for one in self.references],
            "timestamps": [one.json() for one in self.timestamps],
            "counter_signatures": [one.json() for one in self.counter_signatures],
            "indication": str(self.indication),
            "sub_indication": str(self.sub_indication) if self.sub_indication else None,
            "reasons": [_reason(one) for one in self.reasons],
            "details": {
                "signer": self.signer.json() if self.signer else None,
                "best_signature_time": _time(self.best_time),
                "policy": self.policy or None,
                "commitments": list(self.commitments),
                "manifest": [one.json() for one in self.manifest],
                "warnings": [_reason(one) for one in self.warnings],
            },
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one document.

    Attributes:
        signatures: its top-level signatures.
        verified_at: the moment of validation.
        algorithms: date of issue of the table of algorithms.
    """

    signatures: tuple[SignatureReport, ...]
    verified_at: datetime
    algorithms: date

    @property
    def worst(self) -> SignatureReport | None:
        """The signature that decides about the document: the worst of the top-level ones."""
        order = list(Indication)
        return max(self.signatures, key=lambda one: order.index(one.indication), default=None)

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {"signatures": [one.json() for one in self.signatures]}


def _reason(one: Reason) -> dict[str, str]:
    return {"code": one.code, "en": one.text(), "pl": one.text("pl")}


def _time(value: datetime | None) -> str | None:
    return value.isoformat().replace("+00:00", "Z") if value else None
