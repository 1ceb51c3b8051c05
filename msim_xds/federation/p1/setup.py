"""P1's parts as the settings want them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.audit_settings import AuditRepositorySettings
from msim_xds.database.engine import Database
from msim_xds.federation.p1 import hand_over
from msim_xds.federation.p1.addresses import AddressBook
from msim_xds.federation.p1.consent import ConsentOfP1
from msim_xds.federation.p1.decisions import Decisions
from msim_xds.federation.p1.outbox import Outbox as Outbox
from msim_xds.federation.p1.providers import UnusableP1, read_keys, read_providers
from msim_xds.federation.p1.publication import Publisher
from msim_xds.federation.p1.scratch import Scratch
from msim_xds.federation.p1.tokens import Tokens
from msim_xds.ihe.queries import QUERIES
from msim_xds.registry.announcement import Announce
from msim_xds.security.signatures.certificates import Certificate
from msim_xds.security.signatures.trust import read_certificates
from msim_xds.security.wss.demand import SignedMessages
from msim_xds.settings import Settings
from msim_xds.xua_settings import Demand

if TYPE_CHECKING:
    from msim_xds.federation.p1.community import P1Community
    from msim_xds.federation.p1.sender import Sender

_log: FilteringBoundLogger = structlog.get_logger()


def check(settings: Settings) -> None:
    """Whether P1 can be talked to with these settings.

    Raises:
        UnusableP1: what is wrong with them, and in which file.
    """
    if not settings.p1.enabled:
        return
    if settings.p1.publishing and settings.registry.url:
        raise UnusableP1(
            "p1.providers: documents are published where their registry is; this one is at registry.url"
        )
    if settings.p1.decisions != "off" and settings.xua.repository is Demand.OFF:
        raise UnusableP1("p1.decisions: needs xua.repository optional or required, with P1's issuer")
    home = settings.p1.home_community_id
    if home and home == settings.registry.home_community_id:
        raise UnusableP1("p1.home_community_id: is registry.home_community_id; P1 needs one of its own")
    if home in settings.gateway.further_homes:
        raise UnusableP1("p1.home_community_id: is one of gateway.further_homes; P1 needs one of its own")
    if unknown := sorted(set(settings.p1.queries) - {row.name for row in QUERIES.values()}):
        raise UnusableP1(f"p1.queries: {unknown[0]} is no stored query")
    if settings.p1.message_signatures != "off" and settings.xua.repository is Demand.OFF:
        raise UnusableP1("p1.message_signatures: needs xua.repository optional or required")
    _signers(settings.p1.signers)
    read_keys(settings.p1)
    hand_over.check(settings.p1, settings.audit)
    AddressBook(settings.p1)


def open_outbox(settings: Settings, database: Database, clock: Callable[[], datetime]) -> Outbox | None:
    """The outbox on the configured database; None where nothing is published.

    Raises:
        UnusableP1: see ``check``.
    """
    check(settings)
    return Outbox(database, settings.p1.lease_s, clock) if settings.p1.publishing else None


def announcer(settings: Settings, outbox: Outbox | None) -> Announce | None:
    """Who hears of what the registry takes; None where there is no outbox."""
    return None if outbox is None else Publisher(outbox, settings.p1.publishing).announce


def decisions(settings: Settings, clock: Callable[[], datetime]) -> ConsentOfP1 | None:
    """Who decides about retrievals; None where P1 is not asked.

    Raises:
        UnusableP1: a file cannot be used.
    """
    if not settings.p1.enabled or settings.p1.decisions == "off":
        return None
    check(settings)
    provider = read_providers(settings.p1, clock).general
    return ConsentOfP1(settings.p1, Decisions(settings.p1), provider, settings.repository.unique_id)


def signed_messages(settings: Settings, clock: Callable[[], datetime]) -> SignedMessages | None:
    """Who checks the signatures of messages that come in with P1's assertions; None where nobody does.

    Raises:
        UnusableP1: a file cannot be used.
    """
    p1 = settings.p1
    if not p1.enabled or p1.message_signatures == "off":
        return None
    required = p1.message_signatures == "required"
    skew = timedelta(seconds=settings.xua.skew_s)
    return SignedMessages(p1.issuers, _signers(p1.signers), required=required, clock=clock, skew=skew)


def _signers(files: Iterable[Path]) -> list[Certificate]:
    try:
        return [each for path in files for each in read_certificates(path)]
    except (OSError, ValueError) as error:
        raise UnusableP1(f"p1.signers: {error}") from None


def audit_feeds(settings: Settings) -> Sequence[AuditRepositorySettings]:
    """Where audit records are handed over to P1; nowhere where none are."""
    return hand_over.feeds(settings.p1)


def communities(settings: Settings, clock: Callable[[], datetime]) -> Sequence[P1Community]:
    """P1 for a gateway; nothing where it is not shown as a community.

    What a killed process has left of documents on their way is removed.

    Raises:
        UnusableP1: a file cannot be used.
        OSError: neither can what was left behind.
    """
    if not settings.p1.enabled or not settings.p1.home_community_id:
        return ()
    from msim_xds.federation.p1.community import P1Community  # zeep is heavy

    check(settings)
    providers = read_providers(settings.p1, clock)
    issued = Tokens(settings.p1, clock)
    scratch = Scratch(settings.data / "p1-spool")
    if removed := scratch.remove_stale():
        _log.info("documents on their way from P1 were left behind and are removed", retrievals=removed)
    return (P1Community(settings.p1, providers, issued, AddressBook(settings.p1), scratch),)


def sender(settings: Settings, outbox: Outbox, clock: Callable[[], datetime]) -> Sender:
    """Who publishes what is in the outbox.

    Raises:
        UnusableP1: a file cannot be used.
    """
    from msim_xds.federation.p1.sender import Sender  # zeep is heavy

    providers = read_providers(settings.p1, clock)
    return Sender(outbox, settings, providers, Tokens(settings.p1, clock), clock)
