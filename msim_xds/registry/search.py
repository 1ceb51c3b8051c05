"""Registry Stored Query: the handler of ITI-18 (ITI TF-2 3.18).

Answers are put together from the stored fragments; no object is parsed or built on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msim_xds.database.engine import Database
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import ObjectKind, ResponseStatus
from msim_xds.metadata.fragments import fill, home_attribute, opening
from msim_xds.registry.collect import SINGLE, Collector, Found, Rows, Terms, several_patients
from msim_xds.registry.columns import STATUS
from msim_xds.registry.compile import Dialect
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.query_reader import Query, read
from msim_xds.settings import Settings
from msim_xds.wire.answers import adhoc_query_response
from msim_xds.wire.exchange import Answer, Request

_OPENINGS: Final = {
    (kind.value, number): opening(kind, status) for kind in ObjectKind for status, number in STATUS.items()
}


class StoredQueries:
    """Answers the stored queries of ITI-18.

    Args:
        database: where the registry is.
        codec: unpacks stored fragments.
        settings: limits, policies and the homeCommunityId.
        expand: every spelling of a ``code^^scheme`` that means the same, itself included; None when codes are
            taken as they are.
    """

    def __init__(
        self,
        database: Database,
        codec: FragmentCodec,
        settings: Settings,
        expand: Callable[[str], Iterable[str]] | None = None,
    ) -> None:
        self._database = database
        self._codec = codec
        self._settings = settings
        self._terms = Terms(Dialect(database.is_sqlite, settings.search.fold_authors), expand)
        self._home = home_attribute(settings.registry.home_community_id or None)

    def answer(self, request: Request) -> Answer:
        """Carry out one AdhocQueryRequest.

        Raises:
            Refused: the query is faulty, or its answer is not allowed as it stands (ITI TF-2 3.18.4.1.3).
        """
        query = read(request.body, self._settings.limits)
        found = self._collect(query)
        if query.leaf and query.row.single_patient and several_patients(found):
            raise Refused([_not_single_patient(query)])
        return Answer(adhoc_query_response(ResponseStatus.SUCCESS, (), self._objects(query.leaf, found)))

    def _collect(self, query: Query) -> Found:
        limits = self._settings.limits
        limit = limits.query_results if query.leaf else limits.query_references
        database = self._database
        opened = database.read() if query.row.result in SINGLE else database.snapshot()
        with opened as connection:
            collector = Collector(connection, self._terms, query, limit)
            cx = query.patient_id
            if cx is None or collector.patient(cx):
                return collector.collect()
        if self._settings.search.unknown_patient == "error":
            raise Refused([_unknown_patient(query, cx)])
        return Found(())

    def _objects(self, leaf: bool, found: Found) -> Iterator[bytes]:
        """Every object in pieces."""
        pieces = self._leaves if leaf else self._references
        yield from pieces(found.objects)
        yield from pieces(found.associations)

    def _leaves(self, rows: Rows) -> Iterator[bytes]:
        unpackers: dict[int, Callable[[bytes], bytes]] = {}
        for _, _, home, kind, status, last_update_time, dictionary, fragment in rows:
            unpack = unpackers.get(dictionary)
            if unpack is None:
                unpack = unpackers[dictionary] = self._codec.unpacker(dictionary)
            yield _OPENINGS[kind, status]
            yield self._home if home is None else home_attribute(home)
            whole = unpack(fragment)
            yield whole if last_update_time is None else fill(whole, last_update_time)

    def _references(self, rows: Rows) -> Iterator[bytes]:
        for _, _, home, entry_uuid in rows:
            attribute = self._home if home is None else home_attribute(home)
            yield b'<rim:ObjectRef id="%b"%b/>' % (entry_uuid.encode(), attribute)


def _not_single_patient(query: Query) -> Finding:
    return Finding(
        "XDSResultNotSinglePatient",
        "the objects belong to several patients",
        place=f"AdhocQuery {query.row.name}",
        allowed="returnType ObjectRef, or the objects of one patient",
        source="ITI TF-2 3.18.4.1.3",
    )


def _unknown_patient(query: Query, cx: str) -> Finding:
    return Finding(
        "XDSUnknownPatientId",
        "the registry does not know this patient",
        place=f"AdhocQuery {query.row.name}",
        source="ITI TF-2 3.18.4.1.3",
        context=cx,
    )
