"""The communities of ``demo --region``: three servers of this installation, and the double of P1."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from msim_xds.cli.demonstration import free_port, running_server

if TYPE_CHECKING:
    from msim_xds.testing.p1 import Double

PESEL: Final = "2.16.840.1.113883.3.4424.1.1.616"
PATIENT: Final = f"58831404726^^^&{PESEL}&ISO"
"""Whose documents the first five of the demonstration are."""
_ROOT: Final = "2.16.840.1.113883.3.4424.2.7.99999"  # the invented provider of the documents
_NUMBERS_OF_SOUTH: Final = f"{_ROOT}.17.3"
_PEOPLE: Final = {
    "west": (PATIENT, "Żółcińska", "Łucja"),
    "south": (f"77031^^^&{_NUMBERS_OF_SOUTH}&ISO", "ZOLCINSKA", "LUCJA"),
}
"""What patient feeds have told: by region CX, family and given name. They differ, as in real life."""
_BORN, _SEX = "18580314", "F"
_LOG: Final = "server.log"


class Place(NamedTuple):
    """A community before anything runs.

    Attributes:
        name: in the configuration of the own region.
        number: the last arc of its OIDs.
        patient: CX by which the patient is known there.
        found_by: how the own region's gateway comes to know that CX.
        documents: how the names of the files begin that are there.
    """

    name: str
    number: int
    patient: str
    found_by: str
    documents: tuple[str, ...]

    @property
    def home(self) -> str:
        """Its homeCommunityId."""
        return f"urn:oid:{_ROOT}.40.{self.number}"

    @property
    def repository(self) -> str:
        """Its repositoryUniqueId."""
        return f"{_ROOT}.24.{self.number}"


OWN: Final = Place("west", 1, PATIENT, "its own registry", ("01",))
EAST: Final = Place("east", 2, PATIENT, "shared PESEL domain", ("02", "03"))
SOUTH: Final = Place("south", 3, _PEOPLE["south"][0], "XCPD: name and birth date", ("04",))
P1: Final = Place("P1", 9, PATIENT, "PESEL", ("05",))
PLACES: Final = (OWN, EAST, SOUTH, P1)


class Region(NamedTuple):
    """A running server of one of the regions."""

    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End it at once, as a loss of power would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(frozen=True, slots=True)
class Regions:
    """All that runs.

    Attributes:
        directory: where all keep what they have.
        own: the region whose Initiating Gateway is asked.
        neighbours: the others by name, which it knows as partners.
        double: the double of P1.
        assertion: of P1's token service, for a doctor who treats the patient; each community verifies it.
    """

    directory: Path
    own: Region
    neighbours: Mapping[str, Region]
    double: Double
    assertion: bytes

    def log(self) -> list[str]:
        """What the own region has logged."""
        return (self.directory / OWN.name / _LOG).read_text("utf-8").splitlines()


@contextmanager
def running_regions(directory: Path) -> Iterator[Regions]:
    """All communities, ready to answer; ended and gone afterwards.

    Args:
        directory: an existing directory for their stores, keys and logs.

    Raises:
        Failure: a server does not start; the message holds what it says.
    """
    for name in [name for name in os.environ if name.startswith("MSIM_")]:
        del os.environ[name]  # the double reads settings in this process; none may come from outside
    from msim_xds.testing.p1 import start

    for place in PLACES:
        (directory / place.name).mkdir()
    urls = {place.name: f"http://127.0.0.1:{free_port()}" for place in (OWN, EAST, SOUTH)}
    with ExitStack() as stack:
        double = stack.enter_context(start(directory / P1.name))
        for name in _PEOPLE:
            _announce(directory / name, name)
        settings = {
            OWN.name: _settings(OWN, double) | _gateway(directory, urls, double),
            EAST.name: _settings(EAST, double),
            SOUTH.name: {
                **_settings(SOUTH, double),
                "MSIM_PATIENTS__AUTHORITIES": json.dumps([_NUMBERS_OF_SOUTH]),
            },
        }
        begin = partial(_begin, stack, directory, urls, settings)
        with ThreadPoolExecutor(len(urls)) as pool:  # starting is most of the time that this takes
            regions = dict(zip(urls, pool.map(begin, urls), strict=True))
        yield Regions(directory, regions.pop(OWN.name), regions, double, _assertion(double))


def _announce(folder: Path, name: str) -> None:
    """Tell a region's registry who the patient is, as `msim-xds patients add` does."""
    from msim_xds.app import open_identity
    from msim_xds.metadata.identity import Announcement, Demographics, Given, identifier
    from msim_xds.settings import load

    cx, family_name, given_name = _PEOPLE[name]
    data = folder / "var"
    data.mkdir()
    with open_identity(load(data=data)) as identity:
        person = Demographics(family_name, given_name, _BORN, _SEX)
        identity.announce(Announcement(Given("demo", (identifier(cx),)), person))


def _begin(
    stack: ExitStack,
    directory: Path,
    urls: Mapping[str, str],
    settings: Mapping[str, Mapping[str, str]],
    name: str,
) -> Region:
    url = urls[name]
    return Region(url, stack.enter_context(running_server(url, directory / name, "pl", settings[name])))


def _settings(place: Place, double: Double) -> dict[str, str]:
    """MSIM_ variables of a region: its ids, and that its gateways ask for an assertion of P1's."""
    trusted = {**double.xua(), "repository": "off"}
    return {
        "MSIM_REGISTRY__HOME_COMMUNITY_ID": place.home,
        "MSIM_REPOSITORY__UNIQUE_ID": place.repository,
        "MSIM_XUA": json.dumps(
            {**trusted, "responding_gateway": "required", "initiating_gateway": "required"}
        ),
    }


def _gateway(directory: Path, urls: Mapping[str, str], double: Double) -> dict[str, str]:
    """MSIM_ variables besides, of the region that asks the others."""
    folder = directory / OWN.name
    partners = folder / "partners.toml"
    partners.write_text(
        _partner(EAST, urls[EAST.name], f'patients.shared = ["{PESEL}"]')
        + _partner(SOUTH, urls[SOUTH.name], 'patients.discovery_url = "{gateway}"'),
        "utf-8",
    )
    return {
        "MSIM_GATEWAY__PARTNERS": str(partners),
        "MSIM_P1": json.dumps(double.section(home_community_id=P1.home)),
        "MSIM_LOG__LEVEL": "info",
        "MSIM_LOG__FORMAT": "json",
    }


def _partner(place: Place, url: str, patients: str) -> str:
    """A table of the partner file; ``{gateway}`` in ``patients`` is the partner's Responding Gateway."""
    from msim_xds.ihe.transactions import Endpoint

    gateway = url + Endpoint.RESPONDING_GATEWAY
    return (
        f'[[community]]\nname = "{place.name}"\nhomes = ["{place.home}"]\nquery_url = "{gateway}"\n'
        f"plain_http = true\n{patients.format(gateway=gateway)}\n\n"
    )


def _assertion(double: Double) -> bytes:
    """What P1's token service attests of a doctor who treats the patient."""
    from msim_xds.app import now
    from msim_xds.federation.p1.identifiers import as_written
    from msim_xds.federation.p1.providers import read_providers
    from msim_xds.federation.p1.tokens import Tokens, own_token
    from msim_xds.p1_settings import P1Settings

    settings = P1Settings.model_validate(double.section())
    provider = read_providers(settings, now).general
    wanted = own_token(provider, settings.purpose, as_written(PATIENT))
    return Tokens(settings, now).get(wanted, provider)
