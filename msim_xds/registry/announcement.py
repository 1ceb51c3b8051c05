"""How others hear of what the registry has taken: in its own transaction, so that neither happens alone."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from msim_xds.ihe.transactions import Transaction
from msim_xds.registry.drafts import Draft

Announce = Callable[[Connection, Draft, Transaction], None]
"""Told of a registration (ITI-42, whichever way it came) or an update (ITI-57, ITI-92 included).

It is called when everything is written and may write more; what it raises undoes all of it.
"""
