"""Audit records as syslog messages (RFC 5424; ITI TF-2 3.20.4.1.2).

A message is made of its record and of settings alone. So one that is sent twice, by whatever process, is the
same octet by octet, and its receiver can tell it from a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from lxml import etree

from msim_xds.wire import safexml

_PRIORITY: Final = 10 * 8 + 5  # facility security/authorization, severity notice
_MESSAGE_ID: Final = "IHE+RFC-3881"
_DECLARATION: Final = b'<?xml version="1.0" encoding="UTF-8"?>'
_HOST_LENGTH, _APPLICATION_LENGTH = 255, 48
_LAST_SEQUENCE_ID: Final = 2_147_483_647


class Sealed(NamedTuple):
    """A record that has its place in the chain."""

    position: int
    recorded_at: str
    message: bytes


@dataclass(frozen=True, slots=True)
class Syslog:
    """How records become messages.

    Attributes:
        host: HOSTNAME.
        application: APP-NAME.
        longest: octets of a message; None for no bound.
        sequence_ids: whether a message says its record's position, as ``[meta sequenceId="…"]``.
    """

    host: str
    application: str
    longest: int | None = None
    sequence_ids: bool = False

    def message(self, record: Sealed) -> bytes:
        """The whole message. Where it would be too long it has no queries, and then if need be no end."""
        header = self._header(record)
        whole = header + record.message
        if self.longest is None or len(whole) <= self.longest:
            return whole
        return (header + _without_queries(record.message))[: self.longest]

    def _header(self, record: Sealed) -> bytes:
        """Everything before the record. PROCID is nil: the record says who acted; who sends may change."""
        data = "-"
        if self.sequence_ids:
            data = f'[meta sequenceId="{(record.position - 1) % _LAST_SEQUENCE_ID + 1}"]'
        text = (
            f"<{_PRIORITY}>1 {record.recorded_at} {_name(self.host, _HOST_LENGTH)}"
            f" {_name(self.application, _APPLICATION_LENGTH)} - {_MESSAGE_ID} {data} "
        )
        return text.encode("ascii") + _DECLARATION


def _name(text: str, longest: int) -> str:
    """``text`` in printable ASCII without blanks, as long as its place allows; '-' for none."""
    return "".join(char if "!" <= char <= "~" else "_" for char in text)[:longest] or "-"


def _without_queries(message: bytes) -> bytes:
    """The record without the one thing in it that has no bound; it stays valid (DICOM PS3.15 A.5.1)."""
    root = safexml.parse(message)
    for thing in root.findall("ParticipantObjectIdentification"):
        for query in thing.findall("ParticipantObjectQuery"):
            thing.remove(query)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=False)
