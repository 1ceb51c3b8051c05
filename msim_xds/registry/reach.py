"""Which objects of the registry a submission may refer to and replace where a policy restricts its sender."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection

from msim_xds.findings import Finding
from msim_xds.ihe.transactions import Transaction
from msim_xds.registry import disclosure
from msim_xds.registry.drafts import Draft
from msim_xds.registry.holdings import Held
from msim_xds.registry.store_rules import REPLACING
from msim_xds.wire.exchange import Request
from msim_xds.wire.view import View


class Reach(NamedTuple):
    """What the sender of a submission may see and change.

    Attributes:
        transaction: that brings it.
        view: what it may see besides its own; None is everything.
        owned: what is its own.
    """

    transaction: Transaction
    view: View | None
    owned: View


def reach_of(request: Request) -> Reach | None:
    """That of a request's sender; None is everything."""
    owned = request.owned
    return None if owned is None else Reach(request.transaction, request.view, owned)


def within(
    connection: Connection, reach: Reach, draft: Draft, held: Mapping[str, Held]
) -> tuple[Mapping[str, Held], tuple[Finding, ...]]:
    """What of ``held`` a submission may refer to, and a finding for each document it may not replace.

    What its sender neither owns nor sees is left out, so that it is answered as if it were not there. An id
    that the submission gives to an object of its own stays: it is taken, whoever has it.
    """
    inside = {thing.entry_uuid for thing in draft.submission.objects()}
    links = draft.submission.associations
    ends = {end for link in links for end in (link.source, link.target)} - inside
    outside = {uuid: held[uuid].id for uuid in ends if uuid in held}
    if not outside:
        return held, ()
    foreign = disclosure.foreign(connection, reach.owned, set(outside.values()))
    shown = foreign if reach.view is None else disclosure.shown_objects(connection, reach.view, foreign)
    seen = {uuid: each for uuid, each in held.items() if outside.get(uuid) not in foreign - shown}
    findings = tuple(
        disclosure.not_owned(reach.transaction, draft.places[link.entry_uuid], link.target)
        for link in links
        if link.type in REPLACING and link.target in seen and outside.get(link.target) in foreign
    )
    return seen, findings
