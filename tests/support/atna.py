"""Audit messages as an Audit Record Repository reads them: against the schema, then as plain values."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lxml import etree
from sqlalchemy import select

from msim_xds.database.engine import Database
from msim_xds.database.schema import audit_record


@cache
def schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(Path(__file__).with_suffix(".xsd")))


@dataclass(frozen=True)
class Read:
    """A message that is valid."""

    root: etree._Element

    @property
    def short(self) -> tuple[str, str, str, str]:
        """EventID, transaction, action and outcome."""
        event = self.root[0]
        return (
            event[0].get("csd-code", ""),
            event[1].get("csd-code", ""),
            event.get("EventActionCode", ""),
            event.get("EventOutcomeIndicator", ""),
        )

    @property
    def description(self) -> str | None:
        return self.root.findtext("EventIdentification/EventOutcomeDescription")

    @property
    def participants(self) -> list[dict[str, str]]:
        """Attributes of each, and the codes of its roles as ``roles``."""
        return [
            {
                **{str(key): str(value) for key, value in each.attrib.items()},
                "roles": " ".join(role.get("csd-code", "") for role in each),
            }
            for each in self.root.findall("ActiveParticipant")
        ]

    def objects(self, kind: str) -> list[etree._Element]:
        """Those with this ParticipantObjectIDTypeCode."""
        return [
            each
            for each in self.root.findall("ParticipantObjectIdentification")
            if each[0].get("csd-code") == kind
        ]

    def ids(self, kind: str) -> list[str]:
        return [each.get("ParticipantObjectID", "") for each in self.objects(kind)]

    @property
    def patients(self) -> list[str]:
        return self.ids("2")


def details(thing: etree._Element) -> dict[str, str]:
    """ParticipantObjectDetails, decoded."""
    return {
        each.get("type", ""): b64decode(each.get("value", "")).decode()
        for each in thing.findall("ParticipantObjectDetail")
    }


def read(message: bytes) -> Read:
    """The message, which must be valid."""
    root = etree.fromstring(message)
    schema().assertValid(root)
    return Read(root)


def trail(database: Database) -> list[Read]:
    """Every record, the oldest first."""
    with database.read() as connection:
        messages = connection.execute(select(audit_record.c.message).order_by(audit_record.c.id)).scalars()
        return [read(message) for message in messages]
