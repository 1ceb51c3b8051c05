"""demo --region: one question to four communities, and what becomes of it when one of them fails."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib.resources import as_file
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

from msim_xds.cli.console import print_line, print_table
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.region_servers import (
    EAST,
    OWN,
    P1,
    PATIENT,
    PLACES,
    SOUTH,
    Place,
    Regions,
    running_regions,
)

if TYPE_CHECKING:
    from msim_xds.cli.publication import Publication
    from msim_xds.federation.answers import QueryAnswer, RetrievedDocument
    from msim_xds.federation.client import DocumentConsumer
    from msim_xds.metadata.model import DocumentEntry

_HEADING: Final = "bold cyan"
_UNAVAILABLE: Final = "XDSUnavailableCommunity"

Published = Mapping[Place, "Publication"]
"""By community, what it has of the patient: the latest version."""


class Told(NamedTuple):
    """An answer to the question to all: what it says, by community.

    Attributes:
        answer: as it came.
        entries: what was found, by homeCommunityId.
        times: milliseconds that the gateway waited for each, by name.
        ms: for all, as the client sees it.
    """

    answer: QueryAnswer
    entries: Mapping[str, Sequence[DocumentEntry]]
    times: Mapping[str, float]
    ms: float

    def status(self, place: Place) -> str:
        """What became of asking a community: the code of the error that names it, if there is one."""
        named = (each.code for each in self.answer.findings if each.is_error and place.home in each.text())
        return next(named, "Success")

    def unique_ids(self, place: Place) -> list[str | None]:
        """The uniqueIds of what a community has."""
        return [entry.unique_id for entry in self.entries.get(place.home, ())]


def show_regions() -> None:
    """The whole story; all that it shows is checked, and everything that it starts ends with it.

    Raises:
        Failure: something is not as it should be.
    """
    from msim_xds.server.log import configure_if_nobody_has

    configure_if_nobody_has()  # the double answers in this process: its requests are not the story
    with TemporaryDirectory(prefix="msim-xds-demo-") as name:
        directory = Path(name)
        print_line(f"Starting three regions and a double of P1 with empty stores in {directory} …", _HEADING)
        with running_regions(directory) as regions:
            published = _publish(regions)
            documents = directory / "documents"
            documents.mkdir()
            with _consumer(regions) as consumer:
                told = _ask_all(regions, consumer, published)
                _retrieve(consumer, told, published, documents)
                _lose_one(regions, consumer, published)
    print_line("\nAll servers have ended and their data is gone.", _HEADING)


def _consumer(regions: Regions) -> DocumentConsumer:
    """A client of the own region, with the doctor's assertion."""
    from msim_xds.federation.client import DocumentConsumer, Options
    from msim_xds.ihe.transactions import Endpoint

    gateway = regions.own.url + Endpoint.INITIATING_GATEWAY
    return DocumentConsumer(gateway, gateway, Options(assertion=regions.assertion))


def _publish(regions: Regions) -> Published:
    print_line("\n1. One patient's documents, in four communities (ITI-41)", _HEADING)
    print_line("Each region has a registry and a repository of its own; P1 is a double, not the platform.")
    with ExitStack() as stack:
        paths = _files(stack)
        published = {place: _publish_at(regions, place, paths) for place in PLACES}
    print_table(
        ("community", "homeCommunityId", "the patient there", "document"),
        [
            (place.name, place.home, place.patient, each.entry.title[0].value)
            for place, each in published.items()
        ],
    )
    return published


def _files(stack: ExitStack) -> list[Path]:
    from msim_xds.demo import documents

    return [stack.enter_context(as_file(document)) for document in documents()]


def _publish_at(regions: Regions, place: Place, paths: Sequence[Path]) -> Publication:
    """Submit the documents of one community; the last of them."""
    from msim_xds.cli.partner import Partner, accepted
    from msim_xds.cli.publication import Wishes, prepare

    wishes = Wishes(profile="pl", patient_id=place.patient)
    prepared = [prepare(path, wishes) for path in paths if path.name.startswith(place.documents)]
    if place is P1:
        _provide(regions, prepared)
        return prepared[-1]
    region = regions.own if place is OWN else regions.neighbours[place.name]
    with Partner(region.url) as partner:
        for each in prepared:
            outcome = partner.publish(each, replace=True, keep_id=True)
            accepted(outcome.answer, f"the submission of {each.path.name} to {place.name}")
    return prepared[-1]


def _provide(regions: Regions, publications: Sequence[Publication]) -> None:
    """Submit to the repository of P1's double, which asks for an assertion too."""
    from msim_xds.cli.partner import accepted
    from msim_xds.federation.client import DocumentSource, Options

    with DocumentSource(
        regions.double.addresses[P1.repository], Options(assertion=regions.assertion)
    ) as source:
        for each in publications:
            answer = source.provide_and_register(each.submission(None), {each.entry.entry_uuid: each.path})
            accepted(answer, f"the submission of {each.path.name} to {P1.name}")


def _ask_all(regions: Regions, consumer: DocumentConsumer, published: Published) -> Told:
    print_line("\n2. One query for all of them (ITI-18 to the Initiating Gateway)", _HEADING)
    print_line(
        f"A doctor of {OWN.name} asks {OWN.name}, with an assertion. Its gateway asks all others at once:"
    )
    print_line(
        f"the regions by ITI-38 with that assertion, {SOUTH.name} for its number of the patient before that,"
    )
    print_line("by ITI-55; and P1's index by ITI-18, with an assertion that P1 issues for the same doctor.")
    told = _asked(regions, consumer)
    _show(told)
    _must(told.answer.succeeded, f"the query is answered {_status(told.answer)}")
    _must_have(told, published, PLACES)
    return told


def _retrieve(consumer: DocumentConsumer, told: Told, published: Published, directory: Path) -> None:
    from msim_xds.cli.partner import accepted
    from msim_xds.federation.client import DocumentRequest

    print_line("\n3. Documents from elsewhere (ITI-43 to the Initiating Gateway)", _HEADING)
    print_line(
        f"In one request: {EAST.name} is asked by ITI-39; P1's address book says where its document is."
    )
    wanted = {place: told.entries[place.home][0] for place in (EAST, P1)}
    answer = consumer.retrieve([DocumentRequest(*_place_of(each)) for each in wanted.values()], directory)
    accepted(answer, "the retrieval")
    received = {document.home: document for document in answer.documents}
    print_table(("from", "document", "bytes", "sha1"), _compared(wanted, published, received))
    for place in wanted:
        same = received[place.home].sha1 == published[place].entry.hash
        _must(same, f"the document of {place.name} came with other octets than were sent")
    print_line("Equal.", "bold green")


def _place_of(entry: DocumentEntry) -> tuple[str, str, str]:
    return entry.repository_unique_id or "", entry.unique_id or "", entry.home or ""


def _compared(
    wanted: Mapping[Place, DocumentEntry],
    published: Published,
    received: Mapping[str | None, RetrievedDocument],
) -> Iterator[tuple[str, str, str, str]]:
    for place in wanted:
        sent, document = published[place], received.get(place.home)
        _must(document is not None, f"no document of {place.name} has come")
        if document is not None:
            yield f"sent to {place.name}", sent.path.name, str(sent.entry.size), str(sent.entry.hash)
            yield f"received from {place.name}", document.mime_type, str(document.size), document.sha1


def _lose_one(regions: Regions, consumer: DocumentConsumer, published: Published) -> None:
    from msim_xds.ihe.names import ResponseStatus

    print_line(f"\n4. {SOUTH.name} fails", _HEADING)
    regions.neighbours[SOUTH.name].kill()
    print_line("Its server has been killed. The same question tells what is missing, beside all the rest.")
    told = _asked(regions, consumer)
    _show(told)
    for finding in told.answer.findings:
        print_line(f"{finding.code}: {finding.text()}")
    partial = told.answer.status is ResponseStatus.PARTIAL_SUCCESS
    _must(partial, f"the query is answered {_status(told.answer)}")
    codes = [finding.code for finding in told.answer.findings]
    _must(codes == [_UNAVAILABLE] and told.status(SOUTH) == _UNAVAILABLE, f"the errors are {codes}")
    _must_have(told, published, [place for place in PLACES if place is not SOUTH])


def _asked(regions: Regions, consumer: DocumentConsumer) -> Told:
    """The question, put to the own region's Initiating Gateway."""
    from msim_xds.metadata.model import DocumentEntry

    before, started = len(regions.log()), time.perf_counter()
    answer = consumer.find_documents(PATIENT)
    ms = (time.perf_counter() - started) * 1000
    entries: dict[str, list[DocumentEntry]] = {}
    for each in answer.objects:
        if isinstance(each, DocumentEntry):
            entries.setdefault(each.home or "", []).append(each)
    return Told(answer, entries, dict(_times(regions.log()[before:])), ms)


def _times(log: Sequence[str]) -> Iterator[tuple[str, float]]:
    """How long the gateway says that each community took."""
    from msim_xds.gateway import initiating

    for line in log:
        if '"community asked"' in line:
            facts = json.loads(line)
            name = facts["community"]
            yield OWN.name if name == initiating.OWN else name, facts["ms"]


def _show(told: Told) -> None:
    rows = [
        (
            place.name,
            place.home,
            place.found_by,
            str(len(told.unique_ids(place))),
            told.status(place),
            f"{told.times[place.name]:.0f}" if place.name in told.times else "too long",
        )
        for place in PLACES
    ]
    print_table(("community", "homeCommunityId", "patient known by", "entries", "status", "ms"), rows)
    found = sum(map(len, told.entries.values()))
    print_line(f"{_status(told.answer)}: {found} documents in {told.ms:.0f} ms.", "bold green")


def _status(answer: QueryAnswer) -> str:
    return answer.status.rpartition(":")[2]


def _must_have(told: Told, published: Published, places: Sequence[Place]) -> None:
    """That each of these communities tells of its document, and no other tells of any."""
    expected = {place.home: [published[place].entry.unique_id] for place in places}
    seen = {home: [entry.unique_id for entry in entries] for home, entries in told.entries.items()}
    _must(seen == expected, f"the documents found are {seen}, and should be {expected}")


def _must(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Failure(f"{otherwise}: the demonstration has failed", REFUSED)
