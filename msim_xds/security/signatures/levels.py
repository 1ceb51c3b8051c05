"""Names of a signature's level: by what is there and well-formed, not by whether it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msim_xds.security.signatures.certificates import Certificate
from msim_xds.security.signatures.names import CERTIFICATE_PATH, XADES, ds, local, text
from msim_xds.security.signatures.properties import Properties, is_archive_stamp
from msim_xds.security.signatures.references import decode_base64
from msim_xds.security.signatures.stamps import Stamp
from msim_xds.security.signatures.structure import Placed, Role

if TYPE_CHECKING:
    from lxml.etree import _Element

NOT_XADES = "XML-NOT-ETSI"
_REFS = ("CompleteCertificateRefs", "CompleteCertificateRefsV2", "CompleteRevocationRefs")
_REFS_STAMPS = ("SigAndRefsTimeStamp", "SigAndRefsTimeStampV2", "RefsOnlyTimeStamp", "RefsOnlyTimeStampV2")
_NEEDS_NO_FORMAT = frozenset(
    [Role.SIGNED_PROPERTIES, Role.KEY_INFO, Role.SIGNATURE_PROPERTIES, Role.COUNTERSIGNED, Role.MANIFEST]
)


def level(
    signature: _Element,
    properties: Properties | None,
    placed: Sequence[Placed],
    stamps: Sequence[Stamp],
    signer: Certificate | None,
    has_lt_material: bool,
) -> str:
    """The level's name.

    Args:
        signature: the signature.
        properties: its properties.
        placed: its references.
        stamps: its time-stamps.
        signer: the signing certificate.
        has_lt_material: whether certificates and revocation data of the whole chain are inside.
    """
    if properties is None or not _is_bes(properties, placed, signature):
        return NOT_XADES
    baseline = _is_baseline(signature, properties, placed, signer)
    names = {local(element) for element in properties.unsigned}
    if "SignatureTimeStamp" not in names and not any(map(is_archive_stamp, properties.unsigned)):
        if baseline:
            return "XAdES-BASELINE-B"
        return "XAdES-BES" if properties.policy is None else "XAdES-EPES"
    archived = any(map(is_archive_stamp, properties.unsigned))
    refs = bool(names & set(_REFS))
    if (
        baseline
        and has_lt_material
        and not refs
        and not names & set(_REFS_STAMPS)
        and _one_token_each(properties)
    ):
        return "XAdES-BASELINE-LTA" if archived else "XAdES-BASELINE-LT"
    values = {"CertificateValues", "RevocationValues"} <= names
    if refs:
        return _extended(names, archived, values)
    if archived and (values or has_lt_material):
        return "XAdES-A"
    if values or has_lt_material:
        return "XAdES-LT"
    return "XAdES-BASELINE-T" if baseline and _stamped_in_time(properties, stamps, signer) else "XAdES-T"


def _extended(names: set[str], archived: bool, values: bool) -> str:
    if archived:
        return "XAdES-A"
    if names & set(_REFS_STAMPS):
        return "XAdES-XL" if values else "XAdES-X"
    return "XAdES-C"


def _is_bes(properties: Properties, placed: Sequence[Placed], signature: _Element) -> bool:
    if properties.signed is None:
        return False
    ids = {f"#{row.outcome.element.get('Id')}" for row in placed if row.outcome.element.get("Id")}
    if any(target not in ids or not said for target, _, said in properties.formats):
        return False
    return bool(properties.certificates) or any(row.role is Role.KEY_INFO for row in placed)


def _is_baseline(
    signature: _Element, properties: Properties, placed: Sequence[Placed], signer: Certificate | None
) -> bool:
    key_infos = signature.findall(ds("KeyInfo"))
    if len(key_infos) != 1 or len(placed) < 2 or signer is None:
        return False
    inside = [decode_base64(text(one)) for one in key_infos[0].findall(CERTIFICATE_PATH)]
    if signer.der not in inside:
        return False
    if not properties.signing_time or properties.certificate_properties != 1 or properties.namespace != XADES:
        return False
    described = {target for target, mime, _ in properties.formats if mime}
    if any(not mime for _, mime, _ in properties.formats):
        return False
    return all(
        f"#{row.outcome.element.get('Id')}" in described for row in placed if row.role not in _NEEDS_NO_FORMAT
    )


def _one_token_each(properties: Properties) -> bool:
    return all(
        len(list(one.iterchildren("{*}EncapsulatedTimeStamp"))) == 1
        for one in properties.named("SignatureTimeStamp")
    )


def _stamped_in_time(properties: Properties, stamps: Sequence[Stamp], signer: Certificate | None) -> bool:
    if signer is None or not _one_token_each(properties):
        return False
    end = signer.end
    return all(
        stamp.token is not None and stamp.token.gen_time <= end
        for stamp in stamps
        if stamp.name == "SignatureTimeStamp"
    )
