"""federation.registrar: what stays, what goes, and what the source is told, whatever the registry does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree

from msim_xds.database.engine import Database
from msim_xds.federation.registrar import RemoteRegistrar
from msim_xds.findings import Refused
from msim_xds.ihe.names import Severity
from msim_xds.metadata import ebrim
from msim_xds.metadata.ebrim import Reading, Stored
from msim_xds.metadata.signature_slots import PREFIX, SignatureResult, lifted
from msim_xds.repository.files import FileStore
from msim_xds.repository.index import DocumentIndex, StoredDocument
from msim_xds.settings import LimitSettings, RegistrySettings, Settings
from tests.support import metadata
from tests.support.parts import part_of
from tests.test_federation.peer import FAILURE, SOAP, SUCCESS, Peer, Reply, envelope, registry_response

CONTENT = b"octets"
UNIQUE_ID = "1.2.3.4"
ERROR = (
    '<rs:RegistryError errorCode="XDSUnknownPatientId" codeContext="7^^^&amp;1.2&amp;ISO" location="PIX" '
    'severity="urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:{}"/>'
)
PART = part_of(CONTENT)
DOCUMENT = StoredDocument(UNIQUE_ID, PART.sha256, PART.sha1, PART.xxh3, PART.size, "text/xml")


class Repository:
    """A repository whose registry is ``peer``."""

    def __init__(self, folder: Path, url: str, database_url: str) -> None:
        settings = Settings(data=folder, registry=RegistrySettings(url=url, timeout_s=5))
        self.store = FileStore(folder / "documents")
        self.database = Database(database_url, settings.database)
        self.database.migrate()
        self.index = DocumentIndex(lambda: datetime(2026, 9, 14, tzinfo=UTC), self.store)
        self.registrar = RemoteRegistrar(settings, self.database, self.index)
        self.kept = 0

    def register(self) -> tuple[object, ...]:
        """Register one document."""
        return self.registrar.register(self.reading(), [DOCUMENT], self.keep)

    def reading(self) -> Reading:
        """A submission as the repository hands it on."""
        element = etree.fromstring(
            metadata.single_document(unique_id=UNIQUE_ID, content=None, repository=None, mime_type="text/xml")
        )
        stored = {"Document01": Stored(DOCUMENT.sha1, DOCUMENT.size, "1.9")}
        return ebrim.read(element, LimitSettings()).with_stored(stored)

    def keep(self) -> None:
        """Make the octets durable."""
        sink = self.store.stage()
        sink.write(CONTENT)
        self.store.commit([sink.finish()])
        self.kept += 1

    def registered(self) -> bool | None:
        """What the index says of the document; None where it does not know it."""
        with self.database.read() as connection:
            found = self.index.find(connection, [UNIQUE_ID]).get(UNIQUE_ID)
        return found.registered if found else None


@pytest.fixture
def repository(tmp_path: Path, peer: Peer, database_url: str) -> Iterator[Repository]:
    """A repository with its registry elsewhere, on each kind of database."""
    made = Repository(tmp_path, peer.url, database_url)
    yield made
    made.database.close()


def test_accepted(repository: Repository, peer: Peer) -> None:
    peer.reply = Reply(envelope(registry_response(SUCCESS, ERROR.format("Warning"))))
    seen: list[bool | None] = []
    peer.reply.before = lambda: seen.append(repository.registered())
    (warning,) = repository.register()
    assert (warning.code, warning.code_context) == ("XDSUnknownPatientId", "7^^^&1.2&ISO")  # type: ignore[attr-defined]
    assert seen == [False], "retrievable before the registry is told"
    assert repository.registered() is True
    sent = etree.fromstring(peer.received[0].body).find(
        f"{{{SOAP}}}Body/{{{metadata.LCM}}}SubmitObjectsRequest"
    )
    assert sent is not None
    (entry,) = ebrim.read(sent, LimitSettings()).submission.entries
    assert (entry.hash, entry.size, entry.repository_unique_id) == (DOCUMENT.sha1, "6", "1.9")


@pytest.mark.parametrize("answered", [True, False])
def test_refused(repository: Repository, peer: Peer, answered: bool) -> None:
    peer.reply = Reply(envelope(registry_response(FAILURE, ERROR.format("Error") if answered else "")))
    with pytest.raises(Refused) as caught:
        repository.register()
    (finding,) = caught.value.findings
    if answered:
        assert (finding.code, finding.code_context, finding.error_location, finding.severity) == (
            "XDSUnknownPatientId",
            "7^^^&1.2&ISO",
            "PIX",
            Severity.ERROR,
        )
    else:
        assert finding.code == "XDSRegistryError"
    assert repository.registered() is None


def test_a_refused_repetition_leaves_the_first_alone(repository: Repository, peer: Peer) -> None:
    peer.reply = Reply(envelope(registry_response()))
    repository.register()
    peer.reply = Reply(envelope(registry_response(FAILURE, ERROR.format("Error"))))
    with pytest.raises(Refused):
        repository.register()
    assert repository.registered() is True


def test_an_unknown_outcome_keeps_the_document(repository: Repository, peer: Peer) -> None:
    peer.reply = Reply(b"<html/>", 504, "text/html")
    with pytest.raises(Refused) as caught:
        repository.register()
    assert [finding.code for finding in caught.value.findings] == ["XDSRegistryNotAvailable"]
    assert "HTTP 504" in caught.value.findings[0].text()
    assert repository.registered() is False
    peer.reply = Reply(envelope(registry_response(FAILURE, ERROR.format("Error"))))
    with pytest.raises(Refused):
        repository.register()
    assert repository.registered() is False, "the registry may have taken it the first time"


def test_a_fault_is_a_refusal(repository: Repository, peer: Peer) -> None:
    fault = f'<s:Fault xmlns:s="{SOAP}"><s:Code><s:Value>s:Receiver</s:Value></s:Code></s:Fault>'
    peer.reply = Reply(envelope(fault), 500)
    with pytest.raises(Refused) as caught:
        repository.register()
    assert [finding.code for finding in caught.value.findings] == ["XDSRegistryNotAvailable"]
    assert repository.registered() is None


def test_nobody_there(tmp_path: Path, sqlite_url: str) -> None:
    repository = Repository(tmp_path, "http://127.0.0.1:1/xds/registry", sqlite_url)
    with pytest.raises(Refused) as caught:
        repository.register()
    assert [finding.code for finding in caught.value.findings] == ["XDSRegistryNotAvailable"]
    assert repository.kept == 1
    assert repository.registered() is None
    repository.database.close()


def test_what_signatures_came_to_travels_and_a_senders_own_word_does_not(
    repository: Repository, peer: Peer
) -> None:
    peer.reply = Reply(envelope(registry_response()))
    result = SignatureResult("TOTAL_FAILED", "HASH_FAILURE", "XAdES-BASELINE-B", "", False)
    claim = {f"{PREFIX}indication": "TOTAL_PASSED", f"{PREFIX}signing-time": "2026"}
    element = etree.fromstring(metadata.single_document(unique_id=UNIQUE_ID, content=CONTENT, slots=claim))
    reading = replace(ebrim.read(element, LimitSettings()), signatures={"Document01": result})
    (warning,) = repository.registrar.register(reading, [DOCUMENT], repository.keep)
    assert warning.code == "XDSExtraMetadataNotSaved"
    sent = etree.fromstring(peer.received[0].body).find(
        f"{{{SOAP}}}Body/{{{metadata.LCM}}}SubmitObjectsRequest"
    )
    assert sent is not None
    told = ebrim.read(sent, LimitSettings())
    assert told.findings == ()
    assert lifted(told.submission)[1] == {"Document01": result}
