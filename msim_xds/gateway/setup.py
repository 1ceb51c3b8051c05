"""The gateways as the settings want them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from msim_xds.gateway.discovery import Directory, DiscoveryGateway
from msim_xds.gateway.responding import Deliver, RespondingGateway
from msim_xds.ihe.transactions import ITI_38, ITI_39, ITI_55
from msim_xds.settings import Settings
from msim_xds.wire.exchange import Handler


def handlers(
    settings: Settings,
    query: Handler,
    deliver: Deliver,
    directory: Directory,
    clock: Callable[[], datetime],
) -> Mapping[str, Handler]:
    """Who carries out the gateways' transactions; nothing where none is offered.

    Only a registry in this process that knows which community it is has gateways.

    Args:
        settings: the whole configuration.
        query: answers ITI-18 from the local registry.
        deliver: delivers documents of the local repository.
        directory: looks our patients up.
        clock: the time of day, UTC.
    """
    if not _has_community(settings):
        return {}
    found: dict[str, Handler] = {}
    if settings.gateway.responding:
        responding = RespondingGateway(settings, query, deliver)
        discovery = DiscoveryGateway(settings, directory, clock)
        found |= {
            ITI_38.name: responding.query,
            ITI_39.name: responding.retrieve,
            ITI_55.name: discovery.discover,
        }
    return found


def error_locations(settings: Settings) -> Mapping[str, str]:
    """The location of errors that tell other communities whose they are (ITI TF-2 3.38.4.1.3)."""
    return dict.fromkeys((ITI_38.name, ITI_39.name), settings.registry.home_community_id)


def _has_community(settings: Settings) -> bool:
    return bool(settings.registry.home_community_id) and not settings.registry.url
