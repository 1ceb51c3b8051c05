"""Which documents of a retrieval the policy lets leave; the others are answered as if they were not there."""

from __future__ import annotations

from collections.abc import Sequence

from msim_xds.database.engine import Database
from msim_xds.registry.disclosure import shown_documents
from msim_xds.repository.requests import Wanted
from msim_xds.wire.view import View


def hidden(database: Database, view: View, wanted: Sequence[Wanted], repository: str) -> list[Wanted]:
    """The documents of this repository that the view does not show.

    Raises:
        OSError, TimeoutError: the database cannot say it now.
    """
    here = [each for each in wanted if each.repository_unique_id == repository]
    with database.read() as connection:
        shown = shown_documents(connection, view, {each.unique_id for each in here})
    return [each for each in here if each.unique_id not in shown]
