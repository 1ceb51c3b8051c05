"""The caller's side of a decision: what is proven of who asks, and for what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from msim_xds.wire.exchange import Caller, System

_KEPT: Final = 1024  # what callers prove, for those who ask again


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks for what; empty where it is not proven.

    Attributes:
        transaction: name of the transaction, such as ``ITI-18``.
        system: name of the registered system.
        kind: what that is, a value of ``SystemKind``.
        roles: code and coding scheme of each role.
        purposes: the same of each purpose of use.
        organization: id of the user's organization.
        institutions: ids of the institutions whose documents are the caller's own.
        emergency: the request has passed as emergency access.
    """

    transaction: str = ""
    system: str = ""
    kind: str = ""
    roles: frozenset[tuple[str, str]] = frozenset()
    purposes: frozenset[tuple[str, str]] = frozenset()
    organization: str = ""
    institutions: frozenset[str] = frozenset()
    emergency: bool = False


@lru_cache(_KEPT)
def subject_of(transaction: str, caller: Caller | None, system: System | None) -> Subject:
    """What a request says of who asks.

    An organization that an assertion names is believed, unless the sending system is registered for other
    institutions: then the caller has none of its own (ITI TF-2 3.40; local policy). Without one, a system
    stands for the institutions that it is registered for.
    """
    registered = None if system is None else system.institutions
    claimed = "" if caller is None else caller.organization_id
    if claimed:
        own = frozenset([claimed]) if registered is None or claimed in registered else frozenset[str]()
    else:
        own = registered or frozenset()
    return Subject(
        transaction=transaction,
        system="" if system is None else system.name,
        kind="" if system is None else system.kind.value,
        roles=frozenset() if caller is None else frozenset(role[:2] for role in caller.roles),
        purposes=frozenset() if caller is None else frozenset(each[:2] for each in caller.purposes),
        organization=next(iter(own), "") if claimed else "",
        institutions=own,
    )
