"""A whole server in process, spoken to in SOAP messages; what comes back as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

from msim_xds.app import create_app
from msim_xds.settings import DatabaseSettings, Settings
from tests.support import queries
from tests.support.metadata import APPROVED, DEPRECATED, PATIENT, REPOSITORY, RIM
from tests.support.paths import REGISTRY
from tests.support.paths import REPOSITORY as REPOSITORY_PATH
from tests.test_repository.messages import include, inline, provide, retrieve, wanted
from tests.test_server.soap import (
    PROVIDE_ACTION,
    QUERY_ACTION,
    RETRIEVE_ACTION,
    SIMPLE,
    Response,
    WsgiApp,
    envelope,
    mtom,
    post,
)

REGISTER_ACTION = "urn:ihe:iti:2007:RegisterDocumentSet-b"
ON_DEMAND_ACTION = "urn:ihe:iti:2010:RegisterOnDemandDocumentEntry"
UPDATE_ACTION = "urn:ihe:iti:2010:UpdateDocumentSet"
RESTRICTED_UPDATE_ACTION = "urn:ihe:iti:2018:RestrictedUpdateDocumentSet"
MULTIPLE_PATIENTS_ACTION = "urn:ihe:iti:2009:MultiPatientStoredQuery"
RS = "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0"
XDS = "urn:ihe:iti:xds-b:2007"
SUCCESS, FAILURE, PARTIAL = "Success", "Failure", "PartialSuccess"


@dataclass(frozen=True)
class Outcome:
    """An answer: the end of its status, and its errors and warnings."""

    response: Response
    root: etree._Element

    @property
    def status(self) -> str:
        """Success, Failure or PartialSuccess."""
        body = self.root[-1][0]
        response = body if "status" in body.attrib else body[0]
        return response.get("status", "").rpartition(":")[2]

    def reports(self, severity: str) -> list[etree._Element]:
        """RegistryErrors of a severity, Error or Warning."""
        return [
            each
            for each in self.root.iter(f"{{{RS}}}RegistryError")
            if each.get("severity", "").endswith(f":{severity}")
        ]

    @property
    def errors(self) -> list[str]:
        """Codes of the errors, each once, sorted."""
        return sorted({each.get("errorCode", "") for each in self.reports("Error")})

    @property
    def warnings(self) -> list[str]:
        """Texts of the warnings."""
        return [each.get("codeContext", "") for each in self.reports("Warning")]

    @property
    def texts(self) -> str:
        """codeContext and location of the errors."""
        return "\n".join(
            f"{each.get('codeContext')} {each.get('location', '')}" for each in self.reports("Error")
        )

    @property
    def short(self) -> tuple[str, ...]:
        """Status and error codes, to compare."""
        return (self.status, *self.errors)

    @property
    def objects(self) -> list[etree._Element]:
        """What the RegistryObjectList of a query's answer holds."""
        (found,) = self.root.iter(f"{{{RIM}}}RegistryObjectList")
        return list(found)

    @property
    def ids(self) -> list[str]:
        """@id of those, sorted."""
        return sorted(each.get("id", "") for each in self.objects)

    def of(self, element: str) -> list[etree._Element]:
        """Those of one ebRIM element."""
        return [each for each in self.objects if etree.QName(each).localname == element]

    @property
    def kinds(self) -> dict[str, int]:
        """How many of each ebRIM element."""
        names = [etree.QName(each).localname for each in self.objects]
        return {name: names.count(name) for name in sorted(set(names))}

    @property
    def documents(self) -> dict[str, tuple[str, bytes]]:
        """MIME type and octets of the documents retrieved by uniqueId."""
        parts = dict(self.response.parts()) if self.response.is_mtom else {}
        found: dict[str, tuple[str, bytes]] = {}
        for each in self.root.iter(f"{{{XDS}}}DocumentResponse"):
            document = each.find(f"{{{XDS}}}Document")
            assert document is not None
            cid = document[0].get("href", "").removeprefix("cid:")
            unique_id = each.findtext(f"{{{XDS}}}DocumentUniqueId") or ""
            found[unique_id] = (each.findtext(f"{{{XDS}}}mimeType") or "", parts[f"<{cid}>"])
        return found


class Node:
    """Registry and repository; ``settings`` are sections of the settings."""

    def __init__(self, data: Path, database_url: str = "", **settings: Any) -> None:
        database = DatabaseSettings(url=database_url)
        self.app: WsgiApp = create_app(Settings(data=data, database=database, **settings))

    def _send(
        self, path: str, action: str, payload: bytes, parts: Sequence[tuple[str, bytes]] | None
    ) -> Outcome:
        message = envelope(payload.decode(), action)
        content_type, body = (SIMPLE, message) if parts is None else mtom(message, *parts)
        response = post(self.app, path, body, content_type)
        assert response.status == 200, response.body[:2000]
        return Outcome(response, response.xml())

    def register(self, submit_objects: bytes) -> Outcome:
        """ITI-42."""
        return self._send(REGISTRY, REGISTER_ACTION, submit_objects, None)

    def register_on_demand(self, submit_objects: bytes) -> Outcome:
        """ITI-61."""
        return self._send(REGISTRY, ON_DEMAND_ACTION, submit_objects, None)

    def update(self, submit_objects: bytes) -> Outcome:
        """ITI-57."""
        return self._send(REGISTRY, UPDATE_ACTION, submit_objects, None)

    def update_restricted(self, submit_objects: bytes) -> Outcome:
        """ITI-92."""
        return self._send(REGISTRY, RESTRICTED_UPDATE_ACTION, submit_objects, None)

    def provide(
        self, submit_objects: bytes, documents: Mapping[str, bytes], *, as_mtom: bool = True
    ) -> Outcome:
        """ITI-41; ``documents`` by Document/@id."""
        if not as_mtom:
            payload = provide(submit_objects, *(inline(name, data) for name, data in documents.items()))
            return self._send(REPOSITORY_PATH, PROVIDE_ACTION, payload, None)
        cids = {name: f"part{number}@x" for number, name in enumerate(documents)}
        payload = provide(submit_objects, *(include(name, cid) for name, cid in cids.items()))
        parts = [(cids[name], data) for name, data in documents.items()]
        return self._send(REPOSITORY_PATH, PROVIDE_ACTION, payload, parts)

    def retrieve(self, *unique_ids: str, repository: str = REPOSITORY) -> Outcome:
        """ITI-43."""
        payload = retrieve(*(wanted(repository, each) for each in unique_ids))
        return self._send(REPOSITORY_PATH, RETRIEVE_ACTION, payload, [])

    def ask(self, query: bytes, action: str = QUERY_ACTION) -> Outcome:
        """ITI-18, or by another action ITI-51."""
        return self._send(REGISTRY, action, query, None)

    def get(self, query: str, *parameters: tuple[str, str], returns: str = "LeafClass") -> Outcome:
        """ITI-18 by the query's name, which must succeed."""
        outcome = self.ask(queries.request(query, parameters, returns=returns))
        assert outcome.short == (SUCCESS,), outcome.texts
        return outcome

    def everything(self, patient: str = PATIENT) -> Outcome:
        """GetAll, of every status."""
        both = queries.many(APPROVED, DEPRECATED)
        return self.get(
            "GetAll",
            ("$patientId", queries.one(patient)),
            ("$XDSDocumentEntryStatus", both),
            ("$XDSSubmissionSetStatus", both),
            ("$XDSFolderStatus", both),
        )

    def statuses(self, *uuids: str) -> list[str]:
        """availabilityStatus of these entries, in their order."""
        found = self.get("GetDocuments", ("$XDSDocumentEntryEntryUUID", queries.many(*uuids)))
        by_id = {each.get("id"): each.get("status", "").rpartition(":")[2] for each in found.objects}
        return [by_id[uuid] for uuid in uuids]
