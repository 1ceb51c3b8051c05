"""Whether the algorithms of a signature, its path and its time-stamps still prove something."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime

from asn1crypto import algos

from msim_xds.security.signatures.certificates import Certificate, key_scheme
from msim_xds.security.signatures.examine import Facts
from msim_xds.security.signatures.paths import Path, signature_algorithms
from msim_xds.security.signatures.reasons import Reason, reason
from msim_xds.security.signatures.table import Scheme, good_until
from msim_xds.security.signatures.tokens import Token

Use = tuple[str, int]
"""An algorithm of ``table.SUITE`` and the size of the key."""


def weakest(uses: Iterator[Use], at: datetime, overrides: Mapping[str, date]) -> Reason | None:
    """The first of these that proves nothing any more at that time; None when all do."""
    for algorithm, bits in uses:
        until = good_until(algorithm, bits, dict(overrides))
        name = f"{algorithm}-{bits}" if bits else algorithm.upper().replace("_", "-")
        if until is None:
            return reason("weak-always", algorithm=name)
        if at >= until:
            return reason("weak", algorithm=name, date=until.date().isoformat())
    return None


def of_signature(facts: Facts, path: Path | None) -> Iterator[Use]:
    """Digests, signature method and key of a signature, and those of its path."""
    for row in facts.placed:
        yield row.outcome.digest, 0
    if facts.info is not None and facts.info.method is not None:
        yield facts.info.method.digest, 0
        if facts.signer is not None:
            yield facts.info.method.scheme, _bits(facts.signer)
    yield from of_path(path)


def of_token(token: Token, path: Path | None) -> Iterator[Use]:
    """Imprint, digest and signature of a time-stamp, and its path."""
    yield token.imprint_algorithm, 0
    yield token.digest, 0
    if token.signer is not None:
        yield token.scheme, _bits(token.signer)
    yield from of_path(path)


def of_path(path: Path | None) -> Iterator[Use]:
    """How each certificate is signed; an anchor is trusted without."""
    for certificate, issuer in signature_algorithms(path) if path is not None else ():
        algorithm = certificate.asn1["signature_algorithm"]
        yield _digest(algorithm), 0
        yield _scheme(algorithm, issuer), _bits(issuer)


def _digest(algorithm: algos.SignedDigestAlgorithm) -> str:
    try:
        return str(algorithm.hash_algo)
    except ValueError:
        return "unknown"


def _scheme(algorithm: algos.SignedDigestAlgorithm, issuer: Certificate) -> Scheme:
    try:
        if algorithm.signature_algo == "rsassa_pss":
            return Scheme.PSS
    except ValueError:
        pass
    key = issuer.key
    return key_scheme(key) if key is not None else Scheme.RSA


def _bits(certificate: Certificate) -> int:
    key = certificate.key
    return key.key_size if key is not None else 0
