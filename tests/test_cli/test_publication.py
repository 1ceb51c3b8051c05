"""cli.publication: what is sent for a file satisfies every rule."""

from __future__ import annotations

from importlib.resources import as_file
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

import pytest
from lxml import etree

from msim_xds.cli.failures import Failure
from msim_xds.cli.publication import Publication, Wishes, prepare
from msim_xds.demo import documents
from msim_xds.findings import Finding
from msim_xds.ihe.names import AssociationType
from msim_xds.ihe.transactions import ITI_41
from msim_xds.metadata import ebrim, fragments, rules
from msim_xds.metadata.cda import PIK_FORMAT
from msim_xds.settings import LimitSettings, Settings, ValidationSettings
from tests.test_cli.documents import OID, cda, patient

Profile = Literal["ihe", "pl"]


def findings(publication: Publication, profile: Profile) -> list[Finding]:
    """What a server of that profile says of it."""
    element = etree.fromstring(fragments.submit_objects(publication.submission()))
    settings = Settings(validation=ValidationSettings(profile=profile))
    return rules.findings(ebrim.read(element, LimitSettings()), ITI_41, rules.Rules.from_settings(settings))


@pytest.mark.parametrize("profile", ["ihe", "pl"])
@pytest.mark.parametrize("document", documents(), ids=lambda document: document.name)
def test_shipped_documents_are_flawless(document: Traversable, profile: Profile) -> None:
    with as_file(document) as path:
        publication = prepare(path, Wishes(profile=profile))
    assert findings(publication, profile) == []
    is_polish = publication.entry.format_code == PIK_FORMAT
    assert is_polish == (profile == "pl")
    assert bool(publication.notes) == (profile == "ihe")


@pytest.mark.parametrize(
    "title",
    ["ż" * 500, "a\N{REPLACEMENT CHARACTER}" * 100, "zażółć" * 21 + "ąą"],
    ids=["two", "three", "edge"],
)
def test_titles_are_cut_between_characters(tmp_path: Path, title: str) -> None:
    publication = prepare(cda(tmp_path, patient()), Wishes(title=title))
    (text,) = publication.entry.title
    assert title.startswith(text.value)
    assert 125 < len(text.value.encode()) <= 128
    assert findings(publication, "ihe") == []


def test_what_a_file_without_header_gets(tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(b"%PDF-")
    publication = prepare(path, Wishes(patient_id="7^^^&1.2.3&ISO"))
    assert findings(publication, "ihe") == []
    assert publication.entry.source_patient_id == "7^^^&1.2.3&ISO"
    assert publication.entry.mime_type == "application/pdf"
    assert publication.notes == ()
    other = prepare(path, Wishes(patient_id="7^^^&1.2.3&ISO"))
    assert other.entry.unique_id != publication.entry.unique_id
    assert other.source_id == publication.source_id


def test_nobody_knows_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(b"%PDF-")
    with pytest.raises(Failure, match="give --patient"):
        prepare(path, Wishes())


def test_each_submission_is_new_and_the_entry_stays(tmp_path: Path) -> None:
    publication = prepare(cda(tmp_path, patient()), Wishes())
    first, second = publication.submission(), publication.submission("urn:uuid:1")
    assert first.entries == second.entries
    assert first.submission_sets[0].unique_id != second.submission_sets[0].unique_id
    assert [each.type for each in second.associations] == [AssociationType.HAS_MEMBER, AssociationType.RPLC]
    replacement = second.associations[1]
    assert (replacement.source, replacement.target) == (publication.entry.entry_uuid, "urn:uuid:1")


def test_a_fresh_id_is_explained(tmp_path: Path) -> None:
    publication = prepare(cda(tmp_path, patient(), "OLD"), Wishes())
    fresh = publication.with_fresh_id()
    assert fresh.entry.unique_id != publication.entry.unique_id
    assert "OLD belongs to another document" in fresh.notes[-1]
    assert findings(fresh, "ihe") == []


def test_the_body_does_not_matter(tmp_path: Path) -> None:
    who = patient()
    large = prepare(cda(tmp_path, who, "LARGE", text="A" * (11 << 20)), Wishes())
    assert large.entry.unique_id == f"{OID}.2^LARGE"
    commented = cda(tmp_path, who, "COMMENT")
    commented.write_text(commented.read_text().replace("<title>", "<!-- <component > --><title>"))
    assert prepare(commented, Wishes()).entry.unique_id == f"{OID}.2^COMMENT"
    prefixed = tmp_path / "prefixed.xml"
    prefixed.write_text(
        '<c:ClinicalDocument xmlns:c="urn:hl7-org:v3"><c:id root="1.2.3" extension="7"/><c:component>&bad;'
        "</c:component></c:ClinicalDocument>"
    )
    assert prepare(prefixed, Wishes(patient_id=who)).entry.unique_id == "1.2.3^7"
    broken = tmp_path / "broken.xml"
    broken.write_text('<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="1.2.3" extension="7">')
    assert prepare(broken, Wishes(patient_id=who)).entry.mime_type == "text/xml"
