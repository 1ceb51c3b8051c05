"""RFC 3161 time-stamp tokens: reading them, and their own signature (RFC 5652 5.4, RFC 5816)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Final

from asn1crypto import algos, cms, core, tsp, x509

from msim_xds.security.signatures.certificates import BROKEN, Certificate, certificate, name_key, verifies
from msim_xds.security.signatures.reasons import Reason, reason
from msim_xds.security.signatures.table import DIGESTS, Scheme

_NAMES: Final = {row.name for row in DIGESTS.values()}
_SCHEMES: Final = {"rsassa_pkcs1v15": Scheme.RSA, "rsassa_pss": Scheme.PSS, "ecdsa": Scheme.EC}


class BadToken(ValueError):
    """The octets are no time-stamp token."""


class Token:
    """A time-stamp token.

    Attributes:
        gen_time: the time it proves.
        imprint: digest of what it is about.
        imprint_algorithm: hashlib's name of that digest.
        certificates: certificates it brings along.
        signer: the authority's certificate; None where it is not among them.
        scheme, digest: how it is signed.
    """

    __slots__ = (
        "_content",
        "_info",
        "certificates",
        "digest",
        "gen_time",
        "imprint",
        "imprint_algorithm",
        "scheme",
        "signer",
    )

    def __init__(self, der: bytes) -> None:
        """Read it; BER is read as well, and certificates may stand in any order.

        Raises:
            BadToken: it cannot be read.
        """
        try:
            self._read(der)
        except BROKEN as error:
            raise BadToken(str(error)) from None

    def _read(self, der: bytes) -> None:
        signed = cms.ContentInfo.load(der)["content"]
        content = signed["encap_content_info"]
        if content["content_type"].native != "tst_info" or len(signed["signer_infos"]) != 1:
            raise BadToken("not a time-stamp token")
        self._content = bytes(content["content"])
        info = tsp.TSTInfo.load(self._content)
        imprint = info["message_imprint"]
        self.imprint = imprint["hashed_message"].native
        self.imprint_algorithm = _digest_name(imprint["hash_algorithm"])
        self.gen_time: datetime = info["gen_time"].native.astimezone(UTC)
        self._info = signed["signer_infos"][0]
        self.digest = _digest_name(self._info["digest_algorithm"])
        self.scheme = _SCHEMES[self._info["signature_algorithm"].signature_algo]
        self.certificates = _certificates(signed["certificates"])
        self.signer = next((cert for cert in self.certificates if _identifies(self._info["sid"], cert)), None)

    def problem(self) -> Reason | None:
        """What is wrong with its own signature; None where that is right. Trust is another matter."""
        if self.signer is None:
            return reason("token-no-certificate")
        try:
            if not self._is_signed():
                return reason("token-signature")
            if not self._names_signer():
                return reason("token-binding")
        except BROKEN:
            return reason("token-signature")
        return None if _may_stamp(self.signer) else reason("token-usage")

    def _attribute(self, name: str) -> core.Asn1Value | None:
        found = [row["values"] for row in self._info["signed_attrs"] if row["type"].native == name]
        return found[0][0] if len(found) == 1 and len(found[0]) == 1 else None

    def _is_signed(self) -> bool:
        key = self.signer.key if self.signer is not None else None
        content_type, digest = self._attribute("content_type"), self._attribute("message_digest")
        if key is None or content_type is None or content_type.native != "tst_info" or digest is None:
            return False
        if digest.native != hashlib.new(self.digest, self._content, usedforsecurity=False).digest():
            return False
        algorithm, value = self._info["signature_algorithm"], self._info["signature"].native
        name, salt = _signing_digest(algorithm, self.digest)
        attributes = self._info["signed_attrs"].untag()
        return any(
            verifies(key, self.scheme, name, value, octets, salt=salt)
            for octets in (attributes.dump(), attributes.dump(force=True))
        )

    def _names_signer(self) -> bool:
        """signingCertificate(V2): the first entry is the authority's certificate."""
        der = self.signer.der if self.signer is not None else b""
        if (second := self._attribute("signing_certificate_v2")) is not None:
            row = second["certs"][0]
            name = _digest_name(row["hash_algorithm"])
        elif (first := self._attribute("signing_certificate")) is not None:
            row, name = first["certs"][0], "sha1"
        else:
            return False
        return bool(row["cert_hash"].native == hashlib.new(name, der, usedforsecurity=False).digest())


def _digest_name(algorithm: algos.DigestAlgorithm) -> str:
    name = str(algorithm["algorithm"].native)
    if name not in _NAMES:
        raise BadToken(f"unknown digest {name}")
    return name


def _signing_digest(algorithm: algos.SignedDigestAlgorithm, fallback: str) -> tuple[str, int | None]:
    """Digest of the signature itself and length of the salt; rsaEncryption leaves it to digestAlgorithm."""
    if algorithm.signature_algo == "rsassa_pss":
        return str(algorithm.hash_algo), int(algorithm["parameters"]["salt_length"].native)
    try:
        return str(algorithm.hash_algo), None
    except ValueError:
        return fallback, None


def _certificates(values: cms.CertificateSet) -> tuple[Certificate, ...]:
    found = []
    for value in values if isinstance(values, cms.CertificateSet) else ():
        if isinstance(value.chosen, x509.Certificate):
            try:
                found.append(certificate(value.chosen.dump()))
            except ValueError:
                continue
    return tuple(found)


def _identifies(sid: cms.SignerIdentifier, who: Certificate) -> bool:
    if sid.name == "subject_key_identifier":
        return bool(sid.native == who.key_id)
    wanted = sid.chosen
    return bool(
        wanted["serial_number"].native == who.serial and name_key(wanted["issuer"]) == who.issuer_name
    )


def _may_stamp(who: Certificate) -> bool:
    """The extended key usage is time-stamping, critical, and nothing else (RFC 3161 2.3)."""
    usage = who.asn1.extended_key_usage_value
    return (
        usage is not None
        and usage.native == ["time_stamping"]
        and "extended_key_usage" in who.asn1.critical_extensions
    )
