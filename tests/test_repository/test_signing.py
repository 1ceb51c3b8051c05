"""Signatures of submissions: what is recorded, what the sender hears, and what queries show."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from structlog.testing import capture_logs

from msim_xds.app import Node, open_node
from msim_xds.findings import Finding, Refused
from msim_xds.ihe.names import ResponseStatus, Severity
from msim_xds.ihe.transactions import ITI_18, ITI_41
from msim_xds.metadata.signature_slots import PREFIX
from msim_xds.repository import signing as module
from msim_xds.repository.blobs import CHUNK, BlobStore
from msim_xds.settings import DatabaseSettings, Settings
from msim_xds.signature_settings import SignatureSettings
from msim_xds.wire.exchange import Addressing, Answer, Request
from tests.support import metadata, queries
from tests.support.authority import NOW
from tests.support.authority import world as authorities
from tests.support.signing import CDA, DS, Plan, Reference, sign, standalone
from tests.test_repository.messages import include, provide
from tests.test_repository.stores import staged

DETACHED = ("urn:ihe:iti:dsg:detached:2014", "1.3.6.1.4.1.19376.1.2.3", "DSG")


class Site:
    """A server in process, its settings for signatures, and what it trusts."""

    def __init__(self, folder: Path, url: str, **signatures: Any) -> None:
        trust = folder / "trust"
        trust.mkdir(exist_ok=True)
        found = authorities()
        (trust / "anchors.pem").write_bytes(found.root.pem)
        (trust / "intermediate").mkdir(exist_ok=True)
        (trust / "intermediate" / "ca.pem").write_bytes(found.ca.pem)
        for place, der in enumerate(found.crls()):
            (trust / f"{place}.crl").write_bytes(der)
        self.trust = trust
        settings = Settings(
            data=folder / "data",
            database=DatabaseSettings(url=url),
            signatures=SignatureSettings(**{"trust": trust, **signatures}),
        )
        self.node: Node = open_node(settings, lambda: NOW)

    def provide(self, body: bytes, documents: Mapping[str, bytes]) -> Answer:
        parts = {name: staged(self.node.store, content) for name, content in documents.items()}
        references = (include(name, name) for name in documents)
        request = Request(
            ITI_41, etree.fromstring(provide(body, *references)), Addressing(ITI_41.action), parts
        )
        return self.node.repository.provide_and_register(request)

    def submit(self, content: bytes, **options: Any) -> tuple[Answer, dict[str, str]]:
        """One document; the answer, and the slots that a query shows with it."""
        unique_id = options.pop("unique_id", None) or metadata.new_oid()
        body = metadata.single_document(unique_id=unique_id, content=content, **options)
        answer = self.provide(body, {"Document01": content})
        return answer, self.slots(unique_id)

    def refused(self, content: bytes, **options: Any) -> Finding:
        unique_id = metadata.new_oid()
        body = metadata.single_document(unique_id=unique_id, content=content, **options)
        with pytest.raises(Refused) as refused:
            self.provide(body, {"Document01": content})
        (finding,) = [each for each in refused.value.findings if each.is_error]
        return finding

    def slots(self, unique_id: str) -> dict[str, str]:
        """What a query shows when all that waited is validated."""
        self.node.late_validation.finish(threading.Event())
        return self.slots_now(unique_id)

    def slots_now(self, unique_id: str) -> dict[str, str]:
        """What a query shows now."""
        message = queries.request("GetDocuments", [("$XDSDocumentEntryUniqueId", queries.many(unique_id))])
        answer = self.node.queries.answer(
            Request(ITI_18, etree.fromstring(message), Addressing(ITI_18.action))
        )
        root = etree.fromstring(b"".join(answer.payload))
        return {
            slot.get("name", "").removeprefix(PREFIX): "".join(map(str, slot.itertext())).strip()
            for slot in root.iter(f"{{{metadata.RIM}}}Slot")
            if slot.get("name", "").startswith(PREFIX)
        }


@pytest.fixture
def sites(tmp_path: Path, database_url: str) -> Iterator[list[Site]]:
    opened: list[Site] = []
    yield opened
    for site in opened:
        site.node.close()


@pytest.fixture
def site(tmp_path: Path, database_url: str, sites: list[Site]) -> Any:
    def make(**signatures: Any) -> Site:
        made = Site(tmp_path, database_url, **signatures)
        sites.append(made)
        return made

    return make


def altered(signed: bytes) -> bytes:
    changed = signed.replace(b"Karta informacyjna", b"Karta informacyjnA")
    assert changed != signed
    return changed


class TestPolicies:
    def test_record_keeps_and_shows(self, site: Any) -> None:
        answer, slots = site().submit(sign())
        assert answer.findings == ()
        assert slots == {
            "indication": "TOTAL_PASSED",
            "level": "XAdES-BASELINE-B",
            "signing-time": "2026-06-01T12:00:00Z",
            "covers-document": "true",
        }

    def test_record_flags_one_octet(self, site: Any) -> None:
        answer, slots = site().submit(altered(sign()))
        assert (answer.status, answer.findings) == (ResponseStatus.SUCCESS, ())
        assert (slots["indication"], slots["sub-indication"]) == ("TOTAL_FAILED", "HASH_FAILURE")
        assert slots["covers-document"] == "false"

    def test_warn_says_so_and_stores(self, site: Any) -> None:
        answer, slots = site(policy="warn").submit(altered(sign()))
        (finding,) = answer.findings
        assert (answer.status, finding.severity) == (ResponseStatus.SUCCESS, Severity.WARNING)
        assert (finding.code, finding.seen) == ("XDSRepositoryError", "TOTAL_FAILED HASH_FAILURE")
        assert slots["indication"] == "TOTAL_FAILED"
        assert b"ErrorSeverityType:Warning" in b"".join(answer.payload)

    def test_reject_names_the_reference_and_leaves_nothing(self, site: Any) -> None:
        strict = site(policy="reject")
        finding = strict.refused(altered(sign()))
        assert finding.code == "XDSRepositoryError"
        assert "reference ''" in finding.problem
        assert list(strict.node.store.blobs()) == []

    def test_reject_says_that_it_was_indented(self, site: Any) -> None:
        compact = etree.tostring(etree.fromstring(CDA, etree.XMLParser(remove_blank_text=True)))
        indented = sign(compact).replace(b"<title>", b"\n  <title>")
        assert "re-indented" in site(policy="reject").refused(indented).problem

    def test_reject_says_that_it_was_encoded(self, site: Any) -> None:
        twice = sign().decode("cp1250", "replace").encode()
        assert "re-encoded" in site(policy="reject").refused(twice).problem

    def test_reject_takes_what_is_only_undecided_and_warns(self, site: Any) -> None:
        answer, slots = site(policy="reject", trust=None).submit(sign())
        (finding,) = answer.findings
        assert not finding.is_error
        assert slots["sub-indication"] == "NO_CERTIFICATE_CHAIN_FOUND"

    def test_reject_of_unknown_chains(self, site: Any) -> None:
        finding = site(policy="reject", trust=None, undecided=()).refused(sign())
        assert finding.seen == "INDETERMINATE NO_CERTIFICATE_CHAIN_FOUND"
        assert "no path from the certificate" in finding.problem

    def test_reject_of_a_signature_of_a_part(self, site: Any) -> None:
        plan = Plan(references=[Reference("#body", ("http://www.w3.org/2001/10/xml-exc-c14n#",))])
        assert "whole document" in site(policy="reject").refused(sign(plan=plan)).problem

    def test_reject_of_a_signature_of_a_part_by_whoever(self, site: Any) -> None:
        plan = Plan(references=[Reference("#body", ("http://www.w3.org/2001/10/xml-exc-c14n#",))])
        assert "whole document" in site(policy="reject", trust=None).refused(sign(plan=plan)).problem

    def test_reject_takes_the_unsigned_and_the_good(self, site: Any) -> None:
        strict = site(policy="reject")
        assert strict.submit(CDA)[1] == {}
        assert strict.submit(sign())[1]["indication"] == "TOTAL_PASSED"

    def test_ignore_looks_at_nothing(self, site: Any) -> None:
        assert site(policy="ignore").submit(altered(sign()))[1] == {}

    def test_first_row_that_fits_holds(self, site: Any) -> None:
        made = site(
            policy="ignore",
            rules=[
                {"mime_type": "application/pdf", "policy": "reject"},
                {"source_id": "9.9", "policy": "reject"},
                {"format_code": f"{DETACHED[0]}^^{DETACHED[1]}", "policy": "reject"},
                {"class_code": metadata.CODES["typeCode"][0], "policy": "record"},
                {"mime_type": "text/xml", "policy": "record"},
            ],
        )
        assert made.submit(altered(sign()))[1]["indication"] == "TOTAL_FAILED"

    def test_a_defect_is_logged_and_undecided(self, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        made = site(policy="reject", undecided=())

        def fail(*_: object) -> None:
            raise RuntimeError("Jan Kowalski")

        monkeypatch.setattr(type(made.node.signing.load()), "validate", fail)
        with capture_logs() as logs:
            answer, slots = made.submit(sign())
        assert slots["sub-indication"] == "GENERIC"
        assert [finding.is_error for finding in answer.findings] == [False]
        (line,) = [each for each in logs if each["event"] == "signature validation failed"]
        assert "Kowalski" not in str(line)

    def test_what_is_no_xml_is_a_failed_form(self, site: Any) -> None:
        broken = sign()[:-20]
        assert site().submit(broken)[1]["sub-indication"] == "FORMAT_FAILURE"

    def test_too_large_is_undecided(self, site: Any) -> None:
        large = CDA.replace(b"Ja\xc5\xba\xc5\x84", b"x" * 3_000_000)
        slots = site(document_bytes=2_000_000).submit(sign(large))[1]
        assert slots["sub-indication"] == "GENERIC"

    def test_a_retry_is_harmless_though_nothing_is_trusted_any_more(self, site: Any, tmp_path: Path) -> None:
        content, unique_id = sign(), metadata.new_oid()
        body = metadata.single_document(unique_id=unique_id, content=content)
        trusting = site()
        trusting.provide(body, {"Document01": content})
        before = trusting.slots(unique_id)
        strict = site(policy="reject", trust=None, undecided=())
        answer = strict.provide(body, {"Document01": content})
        assert answer.status is ResponseStatus.SUCCESS
        assert strict.slots(unique_id) == before
        assert before["indication"] == "TOTAL_PASSED"

    def test_what_a_sender_says_is_dropped(self, site: Any) -> None:
        claim = metadata.slot(f"{PREFIX}indication", "TOTAL_PASSED")
        made, content, unique_id = site(), altered(sign()), metadata.new_oid()
        body = metadata.single_document(unique_id=unique_id, content=content)
        body = body.replace(
            b'<rim:Slot name="creationTime"', claim.encode() + b'<rim:Slot name="creationTime"', 1
        )
        assert claim.encode() in body
        answer = made.provide(body, {"Document01": content})
        assert [finding.code for finding in answer.findings] == ["XDSExtraMetadataNotSaved"]
        assert made.slots(unique_id)["indication"] == "TOTAL_FAILED"


class TestDetached:
    def submission(
        self, signature: bytes, signed: bytes, signature_id: str, signed_id: str, set_id: str
    ) -> bytes:
        return metadata.submit_objects(
            metadata.submission_set(unique_id=set_id),
            metadata.document_entry(
                "Sig", unique_id=signature_id, content=signature, codes={"formatCode": DETACHED}
            ),
            metadata.document_entry("Doc", unique_id=signed_id, content=signed),
            metadata.original("Sig"),
            metadata.original("Doc"),
            metadata.association("Sig", "Doc", "urn:ihe:iti:2007:AssociationType:signs"),
        )

    @pytest.mark.parametrize("is_intact", [True, False])
    def test_in_the_same_submission(self, site: Any, is_intact: bool) -> None:
        made, ids = site(), [metadata.new_oid() for _ in range(3)]
        plan = Plan(references=[Reference(f"urn:oid:{ids[1]}", (), octets=CDA)])
        signature, document = standalone(plan), CDA if is_intact else CDA + b" "
        body = self.submission(signature, document, *ids)
        made.provide(body, {"Sig": signature, "Doc": document})
        slots = made.slots(ids[0])
        assert slots["indication"] == ("TOTAL_PASSED" if is_intact else "TOTAL_FAILED")
        assert slots["covers-document"] == ("true" if is_intact else "false")
        assert made.slots(ids[1]) == {}

    def test_of_a_document_that_came_before(self, site: Any) -> None:
        made, signed_id = site(policy="reject"), metadata.new_oid()
        made.submit(CDA, unique_id=signed_id)
        good = standalone(Plan(references=[Reference(f"urn:oid:{signed_id}", (), octets=CDA)]))
        bad = standalone(Plan(references=[Reference(f"urn:oid:{signed_id}", (), octets=CDA + b" ")]))
        assert made.submit(good, codes={"formatCode": DETACHED})[1]["covers-document"] == "true"
        assert f"urn:oid:{signed_id}" in made.refused(bad, codes={"formatCode": DETACHED}).problem

    def test_of_one_that_is_not_here(self, site: Any) -> None:
        signature = standalone(Plan(references=[Reference("urn:oid:1.2.3.999", (), octets=CDA)]))
        slots = site().submit(signature, codes={"formatCode": DETACHED})[1]
        assert (slots["indication"], slots["sub-indication"]) == ("INDETERMINATE", "SIGNED_DATA_NOT_FOUND")

    def test_of_a_whole_submission_set(self, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        made, ids = site(), [metadata.new_oid() for _ in range(3)]
        monkeypatch.setattr("tests.support.signing.text_digest", _zero_for(b"the set"))
        plan = Plan(
            references=[
                Reference(f"urn:oid:{ids[2]}", (), octets=b"the set"),
                Reference(f"urn:oid:{ids[1]}", (), octets=CDA),
            ]
        )
        signature = standalone(plan)
        assert b"<ds:DigestValue>0</ds:DigestValue>" in signature
        made.provide(self.submission(signature, CDA, *ids), {"Sig": signature, "Doc": CDA})
        slots = made.slots(ids[0])
        assert (slots["indication"], slots["covers-document"]) == ("TOTAL_PASSED", "true")


def _zero_for(octets: bytes) -> Any:
    from tests.support.signing import text_digest

    return lambda data, digest: "0" if data == octets else text_digest(data, digest)


class TestForms:
    @pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
    def test_the_namespace_is_found(self, codec: str) -> None:
        octets = f'<a><Signature xmlns="{DS}"/></a>'.encode(codec)
        assert module._signed_octets([octets], 1000) == (octets, True)

    def test_across_chunks(self) -> None:
        octets = f'  <a xmlns="{DS}"/>'.encode()
        assert module._signed_octets([octets[:30], octets[30:]], 1000) == (octets, True)

    @pytest.mark.parametrize("octets", [b"", b"%PDF" + DS.encode(), b"<a/>"])
    def test_what_holds_none(self, octets: bytes) -> None:
        assert module._signed_octets([octets] if octets else [], 1000) == (None, True)

    def test_large_ones_are_not_held(self) -> None:
        octets = [b"<a>" + b"x" * 997, b"x" * 1000, DS.encode()]
        assert module._signed_octets(octets, 500) == (b"", False)
        assert module._signed_octets(octets[:2], 500) == (None, True)


def test_a_staged_document_can_be_read_and_stays(store: BlobStore) -> None:
    part = staged(store, b"a" * CHUNK, b"b")
    assert b"".join(store.staged(part)) == b"a" * CHUNK + b"b"
    store.commit([part])
    assert [blob.sha256 for blob in store.blobs()] == [part.sha256]
