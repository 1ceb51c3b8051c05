"""Stored queries: the handler of ITI-18 and ITI-51 (ITI TF-2 3.18, 3.51).

Answers are put together from the stored fragments; no object is parsed or built on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sqlalchemy import Connection

from msim_xds.database.deadline import deadline
from msim_xds.database.engine import Database
from msim_xds.database.schema import association, registry_object
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import ResponseStatus
from msim_xds.ihe.queries import Result, offered
from msim_xds.ihe.transactions import ITI_18, ITI_51
from msim_xds.metadata.fragments import home_attribute
from msim_xds.registry import patients
from msim_xds.registry.collect import SINGLE, Collector, Found, Terms, several_patients
from msim_xds.registry.compile import PATIENT, Dialect
from msim_xds.registry.fragment_codec import FragmentCodec
from msim_xds.registry.query_reader import Query, read
from msim_xds.registry.shelf import Shelf
from msim_xds.settings import Settings
from msim_xds.wire.answers import adhoc_query_response
from msim_xds.wire.exchange import Answer, Concerns, Request
from msim_xds.wire.view import View


class StoredQueries:
    """Answers the stored queries of ITI-18 and ITI-51.

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
        self._settings = settings
        self._offered = {
            row.name: offered(row.name, preview=settings.search.preview) for row in (ITI_18, ITI_51)
        }
        self._terms = Terms(Dialect(database.is_sqlite, settings.search.fold_authors), expand)
        self._home = settings.registry.home_community_id or None
        self._shelf = Shelf(codec, self._terms.dialect, self._home, settings.search.cache_bytes)

    def answer(self, request: Request) -> Answer:
        """Carry out one AdhocQueryRequest.

        Raises:
            Refused: the query is faulty, or its answer is not allowed as it stands (ITI TF-2 3.18.4.1.3).
        """
        query = read(request.body, self._offered[request.transaction.name], self._settings.limits)
        request.concerns = Concerns(query.patients)
        wide = query.row.result is Result.FIND and not query.patients
        single = query.row.result in SINGLE and not wide
        with self._database.read() if single else self._database.snapshot() as connection:
            collect = self._search if wide else self._collect
            found = collect(connection, query, request.view)
            if request.emergency:
                request.concerns = Concerns(_patients(connection, query, found))
            if query.leaf and query.row.single_patient and several_patients(found):
                raise Refused([_not_single_patient(query)])
            pieces = self._leaves(connection, found) if query.leaf else self._references(found)
            return Answer(adhoc_query_response(ResponseStatus.SUCCESS, (), pieces))

    def _collect(self, connection: Connection, query: Query, view: View | None) -> Found:
        limits = self._settings.limits
        limit = limits.query_results if query.leaf else limits.query_references
        collector = Collector(connection, self._terms, query, limit, self._shelf.has_any, view)
        unknown = collector.unknown_patients() if query.patients else ()
        if unknown and self._settings.search.unknown_patient == "error":
            raise Refused([_unknown_patient(query, cx) for cx in unknown])
        return collector.collect()

    def _search(self, connection: Connection, query: Query, view: View | None) -> Found:
        """Collect what is asked about all patients at once, for which there is no index, within a time."""
        seconds = self._settings.search.all_patients_timeout_s
        try:
            with deadline(connection, seconds):
                return self._collect(connection, query, view)
        except TimeoutError as error:
            raise Refused([_too_wide(query, seconds)]) from error

    def _leaves(self, connection: Connection, found: Found) -> list[bytes]:
        objects = self._shelf.texts(connection, registry_object, found.objects)
        return objects + self._shelf.texts(connection, association, found.associations)

    def _references(self, found: Found) -> Iterator[bytes]:
        for _, _, home, entry_uuid in (*found.objects, *found.associations):
            attribute = home_attribute(home or self._home)
            yield b'<rim:ObjectRef id="%b"%b/>' % (entry_uuid.encode(), attribute)


def _patients(connection: Connection, query: Query, found: Found) -> tuple[str, ...]:
    """Whom a query and its answer are about, for the record of an emergency."""
    keys = {row[PATIENT] for row in (*found.objects, *found.associations)}
    return tuple(sorted({*query.patients, *patients.names(connection, keys).values()}))


def _not_single_patient(query: Query) -> Finding:
    return Finding(
        "XDSResultNotSinglePatient",
        "the objects belong to several patients",
        place=f"AdhocQuery {query.row.name}",
        allowed="returnType ObjectRef, or the objects of one patient",
        source="ITI TF-2 3.18.4.1.3",
    )


def _too_wide(query: Query, seconds: float) -> Finding:
    return Finding(
        "XDSRegistryOutOfResources",
        f"the search through all patients was given up after {seconds:g} s",
        place=f"AdhocQuery {query.row.name}",
        allowed="patients in " + ", ".join(p.name for p in query.row.params if p.attribute == "patient_id"),
        source=query.row.section,
    )


def _unknown_patient(query: Query, cx: str) -> Finding:
    return Finding(
        "XDSUnknownPatientId",
        "the registry does not know this patient, or knows it as another",
        place=f"AdhocQuery {query.row.name}",
        source="ITI TF-2 3.18.4.1.3",
        context=cx,
    )
