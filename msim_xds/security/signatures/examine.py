"""Everything that can be found out about a signature without trusting anybody: the facts of a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msim_xds.security.signatures import certificates, levels, material, properties, stamps, structure
from msim_xds.security.signatures.canonical import NotCanonical
from msim_xds.security.signatures.certificates import Certificate
from msim_xds.security.signatures.core import SignedInfo, second_opinion
from msim_xds.security.signatures.document import Document, OverLimit
from msim_xds.security.signatures.material import RevocationItem
from msim_xds.security.signatures.names import REFERENCE, SIGNATURE, ds, local
from msim_xds.security.signatures.properties import Properties
from msim_xds.security.signatures.reasons import Reason, reason
from msim_xds.security.signatures.references import Outcome
from msim_xds.security.signatures.references import check as check_reference
from msim_xds.security.signatures.report import Sub
from msim_xds.security.signatures.stamps import Stamp
from msim_xds.security.signatures.structure import Placed, Role

if TYPE_CHECKING:
    from lxml.etree import _Element

_HASH: Final = dict.fromkeys(("digest-differs", "digest-malformed"), Sub.HASH_FAILURE)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that decides the verdict, before any trust is looked at."""

    sub: Sub
    why: Reason


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found out about one signature.

    Attributes:
        element: the ds:Signature.
        properties: its XAdES properties; None without.
        info: its SignedInfo; None where that has no octets.
        placed: its references.
        manifests: entries of its manifests, which are not part of core validation.
        signer: the certificate whose key verifies the value; or, where none does, the one it names.
        value_right: whether the signature value is right.
        bound: whether the signature itself names that certificate.
        intact: the technical verdict.
        problems: what is wrong, in the order of EN 319 102-1.
        stamps: its time-stamps.
        material: certificates inside.
        revocations: revocation data inside.
        level: the level's name.
        counters: its counter-signatures.
    """

    element: _Element
    properties: Properties | None
    info: SignedInfo | None
    placed: tuple[Placed, ...]
    manifests: tuple[Outcome, ...]
    signer: Certificate | None
    value_right: bool
    bound: bool
    intact: bool
    problems: tuple[Problem, ...]
    stamps: tuple[Stamp, ...]
    material: tuple[Certificate, ...]
    revocations: tuple[RevocationItem, ...]
    level: str
    counters: tuple[Facts, ...]


def examine(
    document: Document,
    signature: _Element,
    *,
    parent: _Element | None = None,
    known: Sequence[Certificate] = (),
) -> Facts:
    """The facts about one signature and its counter-signatures.

    Args:
        document: where it stands.
        signature: the ds:Signature.
        parent: the signature that it counter-signs.
        known: configured certificates that may be the signer's.

    Raises:
        OverLimit: there is more to do than is allowed.
    """
    problems: list[Problem] = []
    props = _properties(document, signature, problems)
    info = _signed_info(signature, problems)
    outcomes = _references(document, signature)
    placed = structure.place(outcomes, signature, props, parent)
    problems += _structural(placed, props, parent)
    inside = certificates.embedded(signature, document.limits)
    signer, value_right = _signer(info, props, inside, known)
    bound = _is_bound(signer, props, placed, signature) if value_right and signer is not None else False
    problems += _cryptographic(document, signature, info, signer, value_right, placed)
    found = (
        tuple(stamps.check(stamps.Signed(document, signature, props, placed))) if props is not None else ()
    )
    inside = [*inside, *(cert for stamp in found if stamp.token for cert in stamp.token.certificates)]
    revocations = material.embedded(signature, document.limits)
    return Facts(
        element=signature,
        properties=props,
        info=info,
        placed=tuple(placed),
        manifests=tuple(_manifests(document, signature)),
        signer=signer,
        value_right=value_right,
        bound=bound,
        intact=value_right and not problems,
        problems=tuple(problems),
        stamps=found,
        material=tuple(inside),
        revocations=tuple(revocations),
        level=levels.level(
            signature, props, placed, found, signer, _has_lt_material(signer, found, inside, revocations)
        ),
        counters=tuple(_counters(document, signature, props, parent, known)),
    )


def _properties(document: Document, signature: _Element, problems: list[Problem]) -> Properties | None:
    try:
        found = properties.read(signature)
    except properties.Ambiguous:
        problems.append(Problem(Sub.FORMAT_FAILURE, reason("properties-ambiguous")))
        return None
    if found is not None and any(one is not signature for one in document.with_id(found.target)):
        problems.append(Problem(Sub.FORMAT_FAILURE, reason("properties-target")))
    return found


def _signed_info(signature: _Element, problems: list[Problem]) -> SignedInfo | None:
    counts = [len(signature.findall(ds(name))) for name in ("SignedInfo", "SignatureValue")]
    if counts != [1, 1] or len(signature.findall(ds("KeyInfo"))) > 1:
        problems.append(Problem(Sub.FORMAT_FAILURE, reason("structure")))
    try:
        return SignedInfo(signature)
    except NotCanonical as error:
        problems.append(Problem(Sub.FORMAT_FAILURE, reason("no-canonical-form", detail=str(error))))
        return None


def _references(document: Document, signature: _Element) -> list[Outcome]:
    found = signature.findall(f"{ds('SignedInfo')}/{REFERENCE}")
    if len(found) > document.limits.references:
        raise OverLimit(f"a signature has more than {document.limits.references} references")
    return [check_reference(document, one, signature) for one in found]


def _structural(placed: Sequence[Placed], props: Properties | None, parent: _Element | None) -> list[Problem]:
    found = []
    for row in placed:
        if row.outcome.target is None and row.outcome.why is not None:
            ambiguous = row.outcome.why.code == "id-ambiguous"
            found.append(
                Problem(Sub.FORMAT_FAILURE if ambiguous else Sub.SIGNED_DATA_NOT_FOUND, row.outcome.why)
            )
        elif row.why is not None:
            found.append(Problem(Sub.SIGNED_DATA_NOT_FOUND, row.why))
    found += [
        Problem(Sub.SIG_CONSTRAINTS_FAILURE, why) for why in structure.set_problems(placed, props, parent)
    ]
    return found


def _signer(
    info: SignedInfo | None,
    props: Properties | None,
    inside: Sequence[Certificate],
    known: Sequence[Certificate],
) -> tuple[Certificate | None, bool]:
    """The signing certificate and whether its key verifies the value; those named come first."""
    candidates = list(dict.fromkeys([*inside, *known]))
    named = [cert for cert in candidates if _is_named(cert, props)]
    for cert in dict.fromkeys([*named, *inside]):
        if info is not None and info.signed_by(cert):
            return cert, True
    return next(iter([*named, *inside]), None), False


def _is_named(certificate: Certificate, props: Properties | None) -> bool:
    return props is not None and bool(props.certificates) and props.certificates[0].names(certificate.der)


def _is_bound(
    signer: Certificate, props: Properties | None, placed: Sequence[Placed], signature: _Element
) -> bool:
    """Whether the signature itself says whose it is: by digest, or by signing KeyInfo."""
    if props is not None and props.certificates:
        return _is_named(signer, props)
    inside = certificates.in_key_info(signature)
    return signer.der in inside and any(row.role is Role.KEY_INFO and row.outcome.intact for row in placed)


def _cryptographic(
    document: Document,
    signature: _Element,
    info: SignedInfo | None,
    signer: Certificate | None,
    value_right: bool,
    placed: Sequence[Placed],
) -> list[Problem]:
    found = [
        Problem(_HASH.get(row.outcome.why.code, Sub.SIGNED_DATA_NOT_FOUND), row.outcome.why)
        for row in placed
        if row.outcome.why is not None and row.outcome.target is not None
    ]
    if signer is None:
        return [*found, Problem(Sub.NO_SIGNING_CERTIFICATE_FOUND, reason("no-certificate"))]
    if not value_right or info is None:
        if info is not None and info.method is None:
            return [*found, Problem(Sub.SIG_CRYPTO_FAILURE, reason("method-refused", algorithm=info.uri))]
        return [*found, Problem(Sub.SIG_CRYPTO_FAILURE, reason("value-wrong"))]
    if (
        not found
        and second_opinion(document, signature, info, signer, [row.outcome for row in placed]) is False
    ):
        found.append(Problem(Sub.SIG_CRYPTO_FAILURE, reason("second-opinion")))
    return found


def _manifests(document: Document, signature: _Element) -> list[Outcome]:
    entries = signature.findall(f"{ds('Object')}/{ds('Manifest')}/{REFERENCE}")
    if len(entries) > document.limits.manifest_entries:
        raise OverLimit(f"manifests have more than {document.limits.manifest_entries} entries")
    return [check_reference(document, one, signature) for one in entries]


def _has_lt_material(
    signer: Certificate | None,
    found: Sequence[Stamp],
    inside: Sequence[Certificate],
    revocations: Sequence[RevocationItem],
) -> bool:
    authorities = [
        stamp.token.signer
        for stamp in found
        if not stamp.is_archive and stamp.token is not None and stamp.token.signer is not None
    ]
    return signer is not None and material.covers_chains([signer, *authorities], inside, revocations)


def _counters(
    document: Document,
    signature: _Element,
    props: Properties | None,
    parent: _Element | None,
    known: Sequence[Certificate],
) -> list[Facts]:
    found = [
        inner
        for one in (props.unsigned if props is not None else ())
        if local(one) == "CounterSignature"
        for inner in one.iterchildren(SIGNATURE)
    ]
    depth = sum(1 for ancestor in signature.iterancestors(SIGNATURE))
    if found and depth >= document.limits.counter_depth:
        raise OverLimit(f"counter-signatures are nested deeper than {document.limits.counter_depth}")
    if len(found) > document.limits.signatures:
        raise OverLimit(f"a signature has more than {document.limits.signatures} counter-signatures")
    return [examine(document, inner, parent=signature, known=known) for inner in found]
