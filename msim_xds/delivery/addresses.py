"""Where answers may be sent: addresses are taken apart once, and what was compared is what is connected to.

An allowed host is the name as it is spelt, or the number. A name stands for whatever address it has when an
answer is sent: who names it trusts whoever answers for it in DNS. It does not stand for this machine or its
link: ``check_peer`` looks at the address that the connection has in the end. Such addresses are allowed as
numbers, or as ``localhost``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_PORTS: Final = {"http": 80, "https": 443}
_LONGEST: Final = 2048
_NAME_CHARS: Final = 253
_LOCAL: Final = "localhost"
#: RFC 3986 without user information and fragment; a path has no character that could end a line or a header.
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[0-9a-z._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[0-9a-z._~!$&'()*+,;=:@%/-]*)?(?P<query>\?[0-9a-z._~!$&'()*+,;=:@%/?-]*)?",
    re.ASCII | re.IGNORECASE,
)
_ENTRY: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>[0-9]+))?")
_LABEL: Final = re.compile(r"(?!-)[0-9a-z_-]{1,63}(?<!-)", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


class BadAddress(ValueError):
    """Nothing is sent to this address; the text says why, for the sender of the request."""


class ForbiddenPeer(Exception):
    """An allowed name has an address that names may not stand for. No OSError: it is not the connection's."""


@dataclass(frozen=True, slots=True)
class Target:
    """An allowed address in the parts that a connection needs.

    ``host`` is spelt as the list of allowed hosts has it, IPv6 without brackets; ``path`` begins with a slash
    and holds the query.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_name(self) -> bool:
        """Whether ``host`` is a name, which DNS may give any address."""
        return not _is_number(self.host)

    def check_peer(self, address: str) -> None:
        """Nothing, when a connection to ``host`` may have ended at this IP address.

        Raises:
            ForbiddenPeer: a name stands for this machine, its link, or no single machine.
        """
        peer = ipaddress.ip_address(address.partition("%")[0])
        peer = getattr(peer, "ipv4_mapped", None) or peer
        special = peer.is_loopback or peer.is_link_local or peer.is_multicast or peer.is_unspecified
        if special and self.is_name and self.host != _LOCAL:
            raise ForbiddenPeer(f"the name stands for {peer}, which is allowed as a number only")


class ReplyHosts:
    """The hosts to which answers may be sent.

    Args:
        entries: ``host`` for any port of it, or ``host:port``; IPv6 addresses in brackets.

    Raises:
        ValueError: an entry is no host.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._allowed: set[tuple[str, int | None]] = set()
        for entry in entries:
            match = _ENTRY.fullmatch(entry)
            host = _canonical(match["host"]) if match else None
            if match is None or host is None or not _is_port(match["port"]):
                raise ValueError(f"delivery.reply_hosts: {entry!r} is not host or host:port")
            self._allowed.add((host, None if match["port"] is None else int(match["port"])))

    def __bool__(self) -> bool:
        """Whether answers may be sent anywhere."""
        return bool(self._allowed)

    def target(self, address: str) -> Target:
        """The parts of an address to which answers may be sent.

        Raises:
            BadAddress: it is malformed, or its host is not among the allowed ones.
        """
        if len(address) > _LONGEST:
            raise BadAddress(f"it is over {_LONGEST} characters")
        match = _URL.fullmatch(address)
        host = _canonical(match["host"]) if match else None
        if match is None or host is None or not _is_port(match["port"]):
            raise BadAddress(
                "allowed: http://host:port/path or https://…, a plain URL without user information"
            )
        scheme = match["scheme"].lower()
        port = int(match["port"] or _PORTS[scheme])
        if not self._allowed.intersection(((host, None), (host, port))):
            raise BadAddress("answers are sent only to hosts that this server's operator has allowed")
        return Target(scheme, host, port, (match["path"] or "/") + (match["query"] or ""))

    def problem(self, address: str) -> str | None:
        """Why nothing is sent to this address; None when it is allowed. A ``wire.envelope.AddressCheck``."""
        try:
            self.target(address)
        except BadAddress as error:
            return str(error)
        return None


def _canonical(host: str) -> str | None:
    """The one spelling of a host; None when it is none.

    Numbers in the forms that only C libraries read (127.1, 0x7f000001, 017700000001) are no hosts.
    """
    if host.startswith("["):
        try:
            return ipaddress.IPv6Address(host[1:-1]).compressed
        except ValueError:
            return None
    name = host.lower().removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return name if _is_number(name) else None
    return name if len(name) <= _NAME_CHARS and all(map(_LABEL.fullmatch, labels)) else None


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_port(digits: str | None) -> bool:
    return digits is None or 0 < int(digits) < 1 << 16
