"""Audit records that P1 wants of retrievals under its rules: from both ends of each ITI-43, in its own form.

Each provider hands its records over by syslog over TLS (ITI-20), with its own certificate. They wait in the
audit trail, so no retrieval waits for P1, and nothing is lost while it is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from msim_xds.audit_settings import AuditRepositorySettings, AuditSettings, Confirmation
from msim_xds.federation.p1.providers import Provider, UnusableP1
from msim_xds.metadata.institution import institution
from msim_xds.p1_settings import P1Settings
from msim_xds.security.xua.attributes import as_cx
from msim_xds.wire.exchange import Caller, HandOver

_PORT: Final = 6514


def feeds(settings: P1Settings) -> Sequence[AuditRepositorySettings]:
    """Where each provider hands over; nowhere where the settings want none.

    Raises:
        ValueError: ``audit_url`` has a port beyond 65535.
    """
    if not settings.enabled or not settings.audit:
        return ()
    url = settings.audit_url or f"tls://{urlsplit(settings.base).hostname}:{_PORT}"
    return [
        AuditRepositorySettings(
            name=feed(key),
            url=url,
            ca_file=settings.ca_file,
            certificate=facts.tls_certificate,
            key=facts.tls_key,
            confirmation=Confirmation(settings.audit_confirmation),
        )
        for key, facts in settings.providers.items()
    ]


def feed(provider: str) -> str:
    """Under which name records of a provider wait for P1; ``provider`` is its sourceId."""
    return f"P1 {provider}"


def check(settings: P1Settings, audit: AuditSettings) -> None:
    """Whether records can be handed over.

    Raises:
        UnusableP1: what is missing.
    """
    if not settings.audit:
        return
    if not audit.enabled:
        raise UnusableP1("p1.audit: needs audit.enabled; what is handed over is kept in the audit trail")
    if settings.ca_file is None:
        raise UnusableP1("p1.audit: needs p1.ca_file: whom to trust")
    for key, facts in settings.providers.items():
        if facts.tls_certificate is None:
            raise UnusableP1(f"p1.providers.{key}: p1.audit needs its tls_certificate")
    for each in audit.repositories:
        if each.name in {feed(key) for key in settings.providers}:
            raise UnusableP1(f"audit.repositories: the name {each.name!r} is that of P1's own records")


def of_repository(provider: Provider, receiver: Caller | None) -> HandOver:
    """What the side that hands documents out tells: its provider, and that of whoever receives them."""
    named = "" if receiver is None else receiver.organization_id or institution(receiver.organization)
    return HandOver(feed(provider.key), as_cx(provider.facts.organization), named)


def of_receiver(provider: Provider, worker: str) -> HandOver:
    """What the side that receives tells: its provider, and the worker (``root#extension``).

    Whose the other repository is the address book does not say in a form that is known.
    """
    return HandOver(feed(provider.key), as_cx(provider.facts.organization), human=as_cx(worker))
