"""The writer: what it writes is read back the same, is valid, and takes what changes later."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import as_file, files

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from msim_xds.ihe.names import RIM, Status
from msim_xds.metadata import ebrim, fragments
from msim_xds.metadata.model import (
    Association,
    DocumentEntry,
    Folder,
    LocalizedString,
    MetadataObject,
    RegistryObject,
    Submission,
)
from msim_xds.settings import LimitSettings
from msim_xds.wire.safexml import parse
from tests.support import metadata as sample
from tests.support import strategies

LIMITS = LimitSettings()
ORDER = ["Slot", "Name", "Description", "VersionInfo", "Classification", "ExternalIdentifier"]


def answered(obj: RegistryObject, home: bytes = b"", time: str = "20260914113512") -> bytes:
    """``obj`` as an answer carries it."""
    head = fragments.opening(obj.kind, Status.APPROVED) + home
    return head + fragments.fill(fragments.write(obj), time)


def element(fragment: bytes) -> etree._Element:
    """A fragment inside an answer's list."""
    root = parse(
        b'<rim:RegistryObjectList xmlns:rim="'
        + RIM.encode()
        + b'">'
        + fragment
        + b"</rim:RegistryObjectList>"
    )
    return root[0]


def read_back(submission: Submission) -> Submission:
    return ebrim.read(parse(fragments.submit_objects(submission)), LIMITS).submission


def sample_submission() -> Submission:
    xml = sample.submit_objects(
        sample.submission_set(),
        sample.document_entry(
            comments="Uwagi & <więcej>", slots={"urn:extpl:SlotName:StorageCategory": "2046"}
        ),
        sample.folder(),
        sample.original(),
        sample.association("SubmissionSet01", "Folder01"),
    )
    return ebrim.read(parse(xml), LIMITS).submission


@given(strategies.submissions)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back_the_same(submission: Submission) -> None:
    assert read_back(submission) == submission


def test_what_the_samples_say_is_read_back_the_same() -> None:
    submission = sample_submission()
    assert submission.entries[0].extra[0].values == ("2046",)
    assert read_back(submission) == submission


@given(strategies.entries)
@settings(max_examples=40, deadline=None)
def test_a_kept_fragment_says_what_the_entry_says(entry: DocumentEntry) -> None:
    root = sample.submit_objects(answered(entry, fragments.home_attribute(entry.home)).decode())
    (kept,) = ebrim.read(parse(root), LIMITS).submission.entries
    assert kept == replace(
        entry,
        status=Status.APPROVED,
        logical_id=entry.logical_id or entry.entry_uuid,
        version=entry.version or "1",
    )


def test_whatever_is_written_is_valid() -> None:
    with as_file(files("msim_xds.schemas")) as schemas:
        schema = etree.XMLSchema(etree.parse(schemas / "lcm.xsd"))
    submission = sample_submission()
    schema.assertValid(parse(fragments.submit_objects(submission)))
    kept = b"".join(answered(obj, fragments.home_attribute("urn:oid:1.2")) for obj in submission.objects())
    schema.assertValid(parse(sample.submit_objects(kept.decode())))


def test_children_stand_in_schema_order() -> None:
    for obj in sample_submission().objects():
        ranks = [ORDER.index(etree.QName(child).localname) for child in element(answered(obj))]
        assert ranks == sorted(ranks)


def test_parts_have_object_types_and_ids_of_their_own() -> None:
    parts = [
        part
        for obj in sample_submission().objects()
        for part in element(answered(obj))
        if etree.QName(part).localname in ("Classification", "ExternalIdentifier")
    ]
    assert len({part.get("id") for part in parts}) == len(parts) > 10
    assert all(part.get("objectType", "").endswith(etree.QName(part).localname) for part in parts)


def test_a_fragment_is_the_same_at_every_writing() -> None:
    entry = sample_submission().entries[0]
    assert fragments.write(entry) == fragments.write(entry)
    assert fragments.write(entry) != fragments.write(replace(entry, entry_uuid="Document02"))


def test_home_status_and_time_are_put_in() -> None:
    home = fragments.home_attribute('urn:oid:1.2.3"')
    for obj in sample_submission().objects():
        whole = element(answered(obj, home))
        assert whole.get("home") == 'urn:oid:1.2.3"'
        assert whole.get("status") == Status.APPROVED
        is_folder = isinstance(obj, Folder)
        assert fragments.write(obj).count(b"\0") == is_folder
        assert (b"lastUpdateTime" in answered(obj)) == is_folder
        assert (b"20260914113512<" in answered(obj)) == is_folder or not isinstance(obj, Association)
    assert fragments.home_attribute(None) == b""


#: What stands around a patientId, as an object's own value.
IMITATION = (
    '<rim:ExternalIdentifier identificationScheme="urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427" id="x"'
    ' registryObject="y" value="z">'
)


@given(
    strategies.entries | strategies.submission_sets | strategies.folders,
    strategies.values | st.just(IMITATION),
    st.none() | st.just(IMITATION),
)
@settings(max_examples=150, deadline=None)
def test_another_patient_id_is_all_that_changes(
    thing: MetadataObject, patient_id: str, imitation: str | None
) -> None:
    if imitation is not None:
        text = (LocalizedString(imitation),)
        thing = replace(thing, entry_uuid=imitation, unique_id=imitation, title=text, comments=text)
    changed = fragments.with_patient(fragments.write(thing), thing.kind, patient_id)
    named = thing if thing.patient_id is None else replace(thing, patient_id=patient_id)
    assert changed == fragments.write(named)


def test_a_submission_lacks_what_its_sender_left_out() -> None:
    written = fragments.submit_objects(sample_submission())
    assert b"VersionInfo" not in written
    assert b" lid=" not in written
    assert b" status=" not in written
    assert b" home=" not in written
