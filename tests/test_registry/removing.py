"""Removes metadata from a real registry, and says what is left."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from xml.sax.saxutils import quoteattr

from sqlalchemy import Row, select

from msim_xds.database import schema
from msim_xds.database.engine import Database
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.transactions import ITI_62
from msim_xds.registry.erasure import Remover
from msim_xds.registry.removal import MetadataRemoval, Plan, everything
from msim_xds.registry.retention import Retention
from msim_xds.wire import safexml
from msim_xds.wire.exchange import Addressing, Request
from tests.support.metadata import (
    LCM,
    PATIENT,
    RIM,
    association,
    document_entry,
    folder,
    new_uuid,
    submission_set,
    submit_objects,
)
from tests.test_registry.registering import Registering

#: What has rows for every registered object, and nothing when nothing is registered.
TABLES = (
    "registry_object",
    "association",
    "object_code",
    "object_author",
    "object_reference",
    "unique_identity",
)


def remove_objects(
    *ids: str, lists: int = 1, more: str = "", inside: str = "", attributes: str = ""
) -> bytes:
    """lcm:RemoveObjectsRequest."""
    references = "".join(f"<rim:ObjectRef id={quoteattr(each)}/>" for each in ids)
    whole = f"<rim:ObjectRefList>{references}{inside}</rim:ObjectRefList>" * lists
    name = "lcm:RemoveObjectsRequest"
    return f'<{name} xmlns:lcm="{LCM}" xmlns:rim="{RIM}"{attributes}>{more}{whole}</{name}>'.encode()


class Removing(Registering):
    """A registry from which things are removed; ``now`` is the time of day of both."""

    def __init__(self, database: Database, **settings: Any) -> None:
        super().__init__(database, **settings)
        self.removal = MetadataRemoval(
            database,
            Retention(self.codec, self.settings.update, self._time),
            self.settings.limits,
            self._time,
        )

    def _time(self) -> datetime:
        return self.now

    def remove(self, *uuids: str, message: bytes | None = None) -> None:
        """ITI-62 of these objects, or the message."""
        body = safexml.parse(remove_objects(*uuids) if message is None else message)
        answer = self.removal.remove_metadata(
            Request(ITI_62, body, Addressing(ITI_62.action), remote_address="10.0.0.7")
        )
        assert b":Success" in b"".join(answer.payload)

    def not_removed(self, *uuids: str, message: bytes | None = None) -> list[Finding]:
        """The findings of a removal that is refused and changes nothing."""
        before = self.census()
        try:
            self.remove(*uuids, message=message)
        except Refused as error:
            assert self.census() == before
            return list(error.findings)
        raise AssertionError("they were removed")

    def codes_of(self, *uuids: str) -> list[str]:
        """Their codes."""
        return [finding.code for finding in self.not_removed(*uuids)]

    def remove_all(self, *names: str, reason: str | None = None, rehearse: bool = False) -> Plan:
        """What an operator does: with all that must go along."""
        return self.removal.remove(everything(names), Remover("operator", reason), rehearse=rehearse)

    def left(self) -> dict[str, int]:
        """How many rows of registered things there are."""
        census = self.census()
        return {name: census[name] for name in TABLES if census[name]}

    def removals(self) -> list[Row[Any]]:
        """The rows of the table removal."""
        with self.database.read() as connection:
            return list(connection.execute(select(schema.removal).order_by(schema.removal.c.id)))

    def submission(
        self, *names: str, folder_of: str = "", patient_id: str = PATIENT, **entry: Any
    ) -> dict[str, str]:
        """Register entries in one SubmissionSet, in a folder where one is named; the ids of everything.

        ``set`` is the SubmissionSet, ``in_<name>`` the HasMember of an entry, ``<folder>``, ``in_<folder>``,
        ``<folder>_has_<name>`` and ``set_has_<folder>_has_<name>`` what belongs to a folder.
        """
        ids = {"set": new_uuid(), **{name: new_uuid() for name in names}}
        objects = [submission_set(ids["set"], patient_id=patient_id)]
        for name in names:
            ids[f"in_{name}"] = new_uuid()
            objects.append(document_entry(ids[name], patient_id=patient_id, **entry))
            objects.append(association(ids["set"], ids[name], id=ids[f"in_{name}"], status="Original"))
        if folder_of:
            ids |= {folder_of: new_uuid(), f"in_{folder_of}": new_uuid()}
            objects.append(folder(ids[folder_of], patient_id=patient_id))
            objects.append(association(ids["set"], ids[folder_of], id=ids[f"in_{folder_of}"]))
            for name in names:
                link = f"{folder_of}_has_{name}"
                ids |= {link: new_uuid(), f"set_has_{link}": new_uuid()}
                objects.append(association(ids[folder_of], ids[name], id=ids[link]))
                objects.append(association(ids["set"], ids[link], id=ids[f"set_has_{link}"]))
        self.register(submit_objects(*objects))
        return ids
