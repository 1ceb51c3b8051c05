"""The policy that the settings name, where it can be kept."""

from __future__ import annotations

from msim_xds.ihe.codes import CodeTable
from msim_xds.security.access.policy import Policy
from msim_xds.security.access.reader import UnusablePolicy, read
from msim_xds.settings import Settings


def access_policy(settings: Settings) -> Policy | None:
    """The policy; None where there is none and everything may be seen.

    Raises:
        OSError: the file cannot be read.
        UnusablePolicy: what is wrong with it, or which other setting does not go with it.
    """
    path = settings.access.policy
    if path is None:
        return None
    if settings.registry.url:
        raise UnusablePolicy("access.policy: needs the registry in this process; registry.url names another")
    if settings.on_demand.persist:
        raise UnusablePolicy(
            "access.policy: on_demand.persist must be off: a snapshot that is kept would show everybody what "
            "the first to ask might see"
        )
    return read(path, CodeTable.load(settings.codes.table))
