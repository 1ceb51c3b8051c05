"""Guards as the settings want them: issuers from files, policy, limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from msim_xds.ihe.transactions import Endpoint
from msim_xds.security.signatures.certificates import Certificate
from msim_xds.security.signatures.trust import read_certificates
from msim_xds.security.xua.attributes import MEANINGS, Meaning
from msim_xds.security.xua.conditions import Policy
from msim_xds.security.xua.guard import Guard, MessageCheck
from msim_xds.security.xua.once import Once
from msim_xds.security.xua.validator import Bounds, Issuers, Validator
from msim_xds.xua_settings import Demand, XuaSettings

_ONE_TIME: Final = {"ignore": None, "marked": False, "all": True}
_RSA_BITS: Final = 2048
_EC_BITS: Final = 256


class UnusableXua(ValueError):
    """The section ``xua`` of the settings, or a file that it names, cannot be used."""


def check(settings: XuaSettings) -> None:
    """Whether guards can be made of these settings.

    Raises:
        UnusableXua: what is wrong with them, and in which file.
    """
    if _demands(settings):
        _issuers(settings)
        _meanings(settings)


def guards(
    settings: XuaSettings,
    data: Path,
    clock: Callable[[], datetime],
    messages: MessageCheck | None = None,
) -> Mapping[Endpoint, Guard]:
    """The guards of those endpoints that look at assertions.

    Args:
        settings: section ``xua``.
        data: the data directory.
        clock: gives the time of day with its zone.
        messages: see ``Guard``.

    Raises:
        UnusableXua: what is wrong with the settings, and in which file.
    """
    demands = _demands(settings)
    if not demands:
        return {}
    once = _ONE_TIME[settings.one_time]
    bounds = Bounds(settings.assertion_bytes, settings.remembered, once, _meanings(settings))
    validator = Validator(_issuers(settings), _policy(settings), bounds, Once(data / "xua-used"), clock)
    return {
        endpoint: Guard(validator, required=demand is Demand.REQUIRED, messages=messages)
        for endpoint, demand in demands.items()
    }


def _demands(settings: XuaSettings) -> Mapping[Endpoint, Demand]:
    """What is demanded where, except where nothing is."""
    demands = {endpoint: settings.demand(endpoint.name.lower()) for endpoint in Endpoint}
    return {endpoint: demand for endpoint, demand in demands.items() if demand is not Demand.OFF}


def _meanings(settings: XuaSettings) -> Mapping[str, Meaning]:
    """The attributes that are read, with those that the settings add."""
    allowed = {str(meaning): meaning for meaning in Meaning}
    for name, meaning in settings.attributes.items():
        if meaning not in allowed:
            raise UnusableXua(f"xua.attributes: {name}: {meaning!r} is none of {', '.join(allowed)}")
    return MEANINGS | {name: allowed[meaning] for name, meaning in settings.attributes.items()}


def _policy(settings: XuaSettings) -> Policy:
    audiences = frozenset(settings.audiences)
    return Policy(
        audiences=audiences,
        recipients=audiences.union(settings.recipients),
        skew=timedelta(seconds=settings.skew_s),
        lifetime=timedelta(seconds=settings.lifetime_s),
        single=settings.second_values == "refuse",
        contexts=frozenset(settings.authn_contexts),
        attributes=frozenset(settings.required_attributes),
    )


def _issuers(settings: XuaSettings) -> Issuers:
    for name in ("issuers", "audiences"):
        if not getattr(settings, name):
            raise UnusableXua(f"xua.{name}: must not be empty where assertions are looked at")
    issuers = {}
    for name, files in settings.issuers.items():
        if not files:
            raise UnusableXua(f"xua.issuers: {name} has no file of certificates")
        issuers[name] = tuple(each for path in files for each in _certificates(name, path))
    return issuers


def _certificates(issuer: str, path: Path) -> list[Certificate]:
    try:
        found = read_certificates(path)
    except OSError as error:
        raise UnusableXua(f"xua.issuers: {issuer}: {path}: {error.strerror}") from None
    except ValueError as error:
        raise UnusableXua(f"xua.issuers: {issuer}: {error}") from None
    for certificate in found:
        key = certificate.key
        if key is None:
            raise UnusableXua(f"xua.issuers: {issuer}: {path}: the key is neither RSA nor EC")
        least = _RSA_BITS if isinstance(key, rsa.RSAPublicKey) else _EC_BITS
        if key.key_size < least:
            raise UnusableXua(
                f"xua.issuers: {issuer}: {path}: the key has {key.key_size} bits; least: {least}"
            )
    return found
