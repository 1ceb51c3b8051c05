"""The providers for which this server speaks to P1: their ids and certificates, ready to be used."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from msim_xds.federation.transport import Options
from msim_xds.metadata.institution import institution
from msim_xds.p1_settings import P1Provider, P1Settings
from msim_xds.security.wss.signing import Credentials, Form, Signer, UnusableKey, read_credentials
from msim_xds.security.xua.attributes import as_cx
from msim_xds.settings import LimitSettings
from msim_xds.wire.exchange import Caller


class UnusableP1(ValueError):
    """The section ``p1`` of the settings, or a file that it names, cannot be used."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider.

    Attributes:
        key: its sourceId.
        facts: what the settings say of it.
        options: how it talks: its TLS certificate and its signature.
    """

    key: str
    facts: P1Provider
    options: Options

    def with_assertion(self, assertion: bytes) -> Options:
        """The same options with an assertion in each message."""
        return replace(self.options, assertion=assertion)


@dataclass(frozen=True, slots=True)
class Providers:
    """All of them by sourceId, and the one that asks where no other does."""

    by_source: Mapping[str, Provider]
    general: Provider

    def of_organization(self, caller: Caller | None) -> Provider:
        """The provider whose worker asks, by its id in any written form; else the general one."""
        asking = "" if caller is None else caller.organization_id or institution(caller.organization)
        for provider in self.by_source.values():
            if as_cx(asking) == as_cx(provider.facts.organization):
                return provider
        return self.general


def read_keys(settings: P1Settings) -> Mapping[str, Credentials]:
    """What each provider signs with, by sourceId.

    Raises:
        UnusableP1: a file cannot be used.
    """
    keys = {}
    for key, facts in settings.providers.items():
        try:
            keys[key] = read_credentials(facts.wss_certificate, facts.wss_key)
        except UnusableKey as error:
            raise UnusableP1(f"p1.providers.{key}: {error}") from None
        _check_tls(key, facts)
    if settings.ca_file is not None:
        try:
            ssl.create_default_context(cafile=settings.ca_file)
        except OSError as error:
            raise UnusableP1(f"p1.ca_file: {settings.ca_file}: {error.strerror or error}") from None
    return keys


def _check_tls(key: str, facts: P1Provider) -> None:
    """Whether the provider can show its TLS certificate. Raises UnusableP1."""
    if facts.tls_certificate is None or facts.tls_key is None:
        return
    try:
        # Without a password OpenSSL would ask for one at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
            facts.tls_certificate, facts.tls_key, password=""
        )
    except OSError as error:
        files = f"{facts.tls_certificate}, {facts.tls_key}"
        raise UnusableP1(f"p1.providers.{key}: {files}: {error.strerror or error}") from None


def read_providers(settings: P1Settings, clock: Callable[[], datetime]) -> Providers:
    """The providers with their keys.

    Raises:
        UnusableP1: a file cannot be used.
    """
    validity = timedelta(seconds=settings.timestamp_s)
    form = Form(
        settings.signature_method,
        settings.signature_digest,
        settings.signature_canonicalization,
        settings.signature_parts,
        settings.assertion_first,
        validity,
    )
    known = {
        key: _provider(key, settings, Signer(credentials, form, clock))
        for key, credentials in read_keys(settings).items()
    }
    return Providers(known, known[settings.provider])


def _provider(key: str, settings: P1Settings, signer: Signer) -> Provider:
    facts = settings.providers[key]
    options = Options(
        connect_timeout_s=min(10.0, settings.deadline_s),
        read_timeout_s=settings.deadline_s,
        deadline_s=settings.deadline_s,
        verify=str(settings.ca_file) if settings.ca_file else True,
        certificate=(str(facts.tls_certificate), str(facts.tls_key)) if facts.tls_certificate else None,
        limits=LimitSettings(
            root_part_bytes=settings.answer_bytes,
            request_bytes=settings.retrieve_bytes,
            document_bytes=settings.document_bytes,
            objects=settings.answer_objects,
        ),
        sign=signer.sign,
    )
    return Provider(key, facts, options)
