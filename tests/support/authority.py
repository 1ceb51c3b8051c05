"""A certification authority of its own for each test run: certificates, CRLs, OCSP answers, time-stamps."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from asn1crypto import algos, cms, tsp
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from msim_xds.security.signatures.certificates import Certificate

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
START = datetime(2024, 1, 1, tzinfo=UTC)
END = datetime(2028, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
OCSP_URL = "http://ocsp.invalid/"
CRL_URL = "http://crl.invalid/ca.crl"
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_serials = itertools.count(1000)


@functools.cache
def key(name: str) -> Key:
    """A key by name: 'rsa-2048 signer', 'ec ca'. Made once for the run."""
    kind = name.split()[0]
    if kind.startswith("rsa-"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("rsa-")))
    return ec.generate_private_key(ec.SECP384R1() if kind == "ec384" else ec.SECP256R1())


@dataclass(frozen=True)
class Identity:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def ours(self) -> Certificate:
        return Certificate(self.der)


def _usage(**on: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})


def name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "PL"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def issue(
    common_name: str,
    issuer: Identity | None,
    *,
    key_name: str = "",
    ca: bool = False,
    start: datetime = START,
    end: datetime = END,
    usage: Mapping[str, bool] | None = None,
    eku: x509.ObjectIdentifier | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> Identity:
    """A certificate; without issuer it signs itself."""
    own = key(key_name or ("ec " if ca else "rsa-2048 ") + common_name)
    signer = issuer.key if issuer else own
    usage = usage or ({"key_cert_sign": True, "crl_sign": True} if ca else {"content_commitment": True})
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common_name))
        .issuer_name(issuer.certificate.subject if issuer else name(common_name))
        .public_key(own.public_key())
        .serial_number(next(_serials))
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(_usage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if issuer and not eku:
        access = x509.AccessDescription(
            AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(OCSP_URL)
        )
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(CRL_URL)], None, None, None)
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    if eku:
        builder = builder.add_extension(x509.ExtendedKeyUsage([eku]), critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return Identity(builder.sign(signer, hashes.SHA256()), own)


def crl(
    issuer: Identity,
    revoked: Mapping[int, datetime] | None = None,
    *,
    issued: datetime = NOW - DAY,
    until: datetime | None = None,
    signed_by: Identity | None = None,
    only: str = "",
) -> bytes:
    """A CRL of ``issuer``; ``revoked`` maps serial numbers to times, ``only`` limits it to 'ca', 'user' or a 'point'."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(issued)
        .next_update(until or issued + 7 * DAY)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
        )
    )
    if only:
        names = [x509.UniformResourceIdentifier(CRL_URL)] if only == "point" else None
        part = x509.IssuingDistributionPoint(names, None, only == "user", only == "ca", None, False, False)
        builder = builder.add_extension(part, critical=True)
    for serial, when in (revoked or {}).items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when)
        entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign((signed_by or issuer).key, hashes.SHA256()).public_bytes(Encoding.DER)


def ocsp_answer(
    subject: Identity,
    issuer: Identity,
    responder: Identity | None = None,
    *,
    revoked: datetime | None = None,
    issued: datetime = NOW - DAY,
    until: datetime | None = None,
) -> bytes:
    """An OCSP response of the authority or of its responder."""
    by = responder or issuer
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=subject.certificate,
        issuer=issuer.certificate,
        algorithm=hashes.SHA1(),
        cert_status=ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
        this_update=issued,
        next_update=until or issued + 7 * DAY,
        revocation_time=revoked,
        revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, by.certificate)
    if responder:
        builder = builder.certificates([responder.certificate])
    return builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.DER)


def stamp(
    octets: bytes,
    at: datetime,
    authority: Identity,
    *,
    digest: str = "sha256",
    binding: bytes | None = None,
    spoil: bool = False,
    bare: bool = False,
    unbound: bool = False,
) -> bytes:
    """A time-stamp token over ``octets`` (RFC 3161)."""
    info = tsp.TSTInfo(
        {
            "version": "v1",
            "policy": "1.2.3.4",
            "message_imprint": {
                "hash_algorithm": {"algorithm": digest},
                "hashed_message": hashlib.new(digest, octets).digest(),
            },
            "serial_number": next(_serials),
            "gen_time": at,
        }
    )
    octets = info.dump()
    bound = hashlib.sha256(binding or authority.der).digest()
    rows = [
        {"type": "content_type", "values": ["tst_info"]},
        {"type": "message_digest", "values": [hashlib.new(digest, octets).digest()]},
        {"type": "signing_certificate_v2", "values": [{"certs": [{"cert_hash": bound}]}]},
    ]
    attributes = cms.CMSAttributes(rows[:2] if unbound else rows)
    certificate = asn1.Certificate.load(authority.der)
    value = _sign(authority.key, attributes.dump())
    return bytes(
        cms.ContentInfo(
            {
                "content_type": "signed_data",
                "content": cms.SignedData(
                    {
                        "version": "v3",
                        "digest_algorithms": [{"algorithm": digest}],
                        "encap_content_info": {"content_type": "tst_info", "content": info},
                        "certificates": [] if bare else [certificate],
                        "signer_infos": [
                            {
                                "version": "v1",
                                "sid": cms.IssuerAndSerialNumber(
                                    {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
                                ),
                                "digest_algorithm": {"algorithm": digest},
                                "signed_attrs": attributes,
                                "signature_algorithm": _algorithm(authority.key),
                                "signature": value[:-1] + bytes([value[-1] ^ 1]) if spoil else value,
                            }
                        ],
                    }
                ),
            }
        ).dump()
    )


def _sign(private: Key, octets: bytes) -> bytes:
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(octets, padding.PKCS1v15(), hashes.SHA256())
    return private.sign(octets, ec.ECDSA(hashes.SHA256()))


def _algorithm(private: Key) -> algos.SignedDigestAlgorithm:
    kind = "sha256_rsa" if isinstance(private, rsa.RSAPrivateKey) else "sha256_ecdsa"
    return algos.SignedDigestAlgorithm({"algorithm": kind})


@dataclass(frozen=True)
class World:
    """One hierarchy: root, authority, signer, time-stamping authority, OCSP responder."""

    root: Identity = field(default_factory=lambda: issue("Test Root", None, ca=True))
    ca: Identity = field(init=False)
    signer: Identity = field(init=False)
    tsa: Identity = field(init=False)
    responder: Identity = field(init=False)

    def __post_init__(self) -> None:
        def put(attribute: str, value: Identity) -> None:
            object.__setattr__(self, attribute, value)

        put("ca", issue("Test CA", self.root, ca=True))
        put("signer", issue("Łucja Lekarz", self.ca))
        put("tsa", issue("Test TSA", self.ca, key_name="ec tsa", usage={"digital_signature": True}, eku=ExtendedKeyUsageOID.TIME_STAMPING))  # fmt: skip
        put("responder", issue("Test OCSP", self.ca, key_name="ec ocsp", usage={"digital_signature": True}, eku=ExtendedKeyUsageOID.OCSP_SIGNING, extensions=[(x509.OCSPNoCheck(), False)]))  # fmt: skip

    def crls(self, issued: datetime = NOW - DAY) -> list[bytes]:
        """CRLs of root and authority, current if not told otherwise."""
        return [crl(self.root, issued=issued), crl(self.ca, issued=issued)]


@functools.cache
def world() -> World:
    """The hierarchy of this run."""
    return World()
