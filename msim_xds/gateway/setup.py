"""The gateways as the settings want them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from msim_xds.federation.community import Community
from msim_xds.federation.discovery import Discovery
from msim_xds.federation.partners import LoadedPartner, load_partners
from msim_xds.federation.xca import XcaCommunity
from msim_xds.gateway.breaker import Breaker
from msim_xds.gateway.discovery import DiscoveryGateway
from msim_xds.gateway.initiating import InitiatingGateway
from msim_xds.gateway.neighbours import Neighbour, Neighbours
from msim_xds.gateway.responding import Deliver, RespondingGateway
from msim_xds.gateway_settings import GatewaySettings
from msim_xds.ihe.transactions import ITI_18_GATEWAY, ITI_38, ITI_39, ITI_43_GATEWAY, ITI_55
from msim_xds.registry.correlations import Correlations
from msim_xds.registry.discovery import PatientDirectory
from msim_xds.settings import Settings
from msim_xds.wire.exchange import Handler


def partners(settings: Settings) -> tuple[LoadedPartner, ...]:
    """The partners that the settings name; none where there is no Initiating Gateway.

    Raises:
        UnusablePartner: a partner file cannot be used; names file, table and key.
    """
    gateway = settings.gateway
    if not (_has_community(settings) and gateway.initiating):
        return ()
    own = (settings.registry.home_community_id, *gateway.further_homes)
    return load_partners(gateway.partners, own)


def check(settings: Settings) -> None:
    """Whether the gateways can be made of these settings. Raises as ``partners``."""
    partners(settings)


@dataclass(frozen=True, slots=True)
class OurPatients:
    """What patient discovery works with, here and at partners.

    Attributes:
        directory: looks our patients up.
        correlations: what was discovered before.
        clock: the time of day, UTC.
    """

    directory: PatientDirectory
    correlations: Correlations
    clock: Callable[[], datetime]


def open_neighbours(
    settings: Settings, patients: OurPatients, platforms: Sequence[Community] = ()
) -> Neighbours:
    """The communities that the settings name.

    Args:
        settings: the whole configuration.
        patients: for partners that are asked for our patients' ids.
        platforms: those that speak something else than XCA, such as P1.

    Raises:
        UnusablePartner: a partner file cannot be used; names file, table and key.
        ValueError: a platform has the homeCommunityId of a partner, or one of ours.
    """
    gateway = settings.gateway
    home = settings.registry.home_community_id
    members = [_neighbour(partner, home, patients, gateway) for partner in partners(settings)]
    taken = {home, *gateway.further_homes}.union(*(member.community.homes for member in members))
    for platform in platforms:
        if taken & platform.homes:
            raise ValueError(f"{platform.name}: this community or a partner has its homeCommunityId")
        breaker = Breaker(gateway.breaker_failures, gateway.breaker_pause_s)
        members.append(Neighbour(platform, settings.p1.deadline_s, breaker))
        taken |= platform.homes
    return Neighbours(members, gateway.threads, date.today)


def _neighbour(
    partner: LoadedPartner, home: str, patients: OurPatients, gateway: GatewaySettings
) -> Neighbour:
    table = partner.table
    discovery = None
    if table.patients.discovery_url:
        discovery = Discovery(partner, home, patients.directory, patients.correlations, patients.clock)
    community = XcaCommunity(partner, discovery)
    breaker = Breaker(gateway.breaker_failures, gateway.breaker_pause_s)
    return Neighbour(community, table.deadline_s, breaker, table.is_valid, community.close)


def handlers(
    settings: Settings,
    query: Handler,
    deliver: Deliver,
    patients: OurPatients,
    neighbours: Neighbours | None = None,
) -> Mapping[str, Handler]:
    """Who carries out the gateways' transactions; nothing where none is offered.

    Only a registry in this process that knows which community it is has gateways.

    Args:
        settings: the whole configuration.
        query: answers ITI-18 from the local registry.
        deliver: delivers documents of the local repository.
        patients: ours.
        neighbours: the other communities; without them there is no Initiating Gateway.
    """
    if not _has_community(settings):
        return {}
    found: dict[str, Handler] = {}
    if settings.gateway.responding:
        responding = RespondingGateway(settings, query, deliver)
        discovery = DiscoveryGateway(settings, patients.directory, patients.clock)
        found |= {
            ITI_38.name: responding.query,
            ITI_39.name: responding.retrieve,
            ITI_55.name: discovery.discover,
        }
    if settings.gateway.initiating and neighbours is not None:
        initiating = InitiatingGateway(settings, query, deliver, neighbours)
        found |= {ITI_18_GATEWAY.name: initiating.query, ITI_43_GATEWAY.name: initiating.retrieve}
    return found


def error_locations(settings: Settings) -> Mapping[str, str]:
    """The location of errors that tell other communities whose they are (ITI TF-2 3.38.4.1.3)."""
    return dict.fromkeys((ITI_38.name, ITI_39.name), settings.registry.home_community_id)


def _has_community(settings: Settings) -> bool:
    return bool(settings.registry.home_community_id) and not settings.registry.url
