"""The rules as a whole: settings, tolerances per source, extra metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from msim_xds.findings import Finding, errors
from msim_xds.ihe.names import Severity
from msim_xds.ihe.transactions import ITI_41, ITI_42, Transaction
from msim_xds.metadata import ebrim, rules
from msim_xds.metadata.rules import Rules
from msim_xds.settings import Settings
from msim_xds.wire.safexml import parse
from tests.support import metadata as sample

LOOKALIKE = "urn:uuid:6d0f6c1a-2d5b-4a57-8a0b-1b1f0d6a9e02-x"
POLISH = "Specjalność komórki organizacyjnej"
EXTPL = "urn:extpl:SlotName:StorageCategory"


def made(**options: Any) -> Rules:
    """Rules with these settings below ``validation``, or ``codes`` and ``limits``."""
    sections = {name: options.pop(name) for name in ("codes", "limits") if name in options}
    return Rules.from_settings(Settings(validation=options, **sections))


def reading(*objects: str) -> ebrim.Reading:
    return ebrim.read(parse(sample.submit_objects(*objects)), Settings().limits)


def findings(*objects: str, transaction: Transaction = ITI_42, **options: Any) -> list[Finding]:
    return rules.findings(reading(*objects), transaction, made(**options))


def submission(**options: Any) -> tuple[str, str, str]:
    """A set with one document, whose options these are."""
    name = options.get("id", "Document01")
    return sample.submission_set(), sample.document_entry(**options), sample.original(name)


def test_a_plain_submission_is_right_everywhere() -> None:
    for transaction in (ITI_41, ITI_42):
        for profile in ("ihe", "pl"):
            assert findings(*submission(), transaction=transaction, profile=profile, sequence="reject") == []


def test_a_source_need_not_know_what_the_repository_adds() -> None:
    bare = submission(content=None, repository=None)
    assert findings(*bare, transaction=ITI_41) == []
    missing = findings(*bare, transaction=ITI_42)
    assert {each.attribute for each in missing} == {"hash", "size", "repositoryUniqueId"}


def test_a_finding_says_everything() -> None:
    (found,) = findings(*submission(slots={"creationTime": "14.09.2026"}))
    assert found == Finding(
        code="XDSRegistryMetadataError",
        problem="is no DTM",
        place="DocumentEntry Document01",
        attribute="creationTime",
        seen="14.09.2026",
        allowed="YYYY[MM[DD[hh[mm[ss]]]]] in UTC, an existing time",
        source="ITI TF-3 4.2.3.2.6",
    )


def long_identifiers() -> tuple[str, ...]:
    return (
        sample.submission_set(unique_id=f"{sample.new_oid()}^5f0a1c2e9b7d4a60"),
        sample.document_entry(unique_id=f"{sample.new_oid()}^7204918365520194873610"),
        sample.original(),
    )


def versioned() -> tuple[str, ...]:
    lid = f' lid="{sample.new_uuid()}" status="{sample.APPROVED}"'
    return (
        sample.submission_set(attributes=lid),
        sample.document_entry(attributes=lid, extra='<rim:VersionInfo versionName="1"/>'),
        sample.original(),
    )


def without_author_node() -> tuple[str, ...]:
    first, second, third = submission()
    return first, second.replace(' nodeRepresentation=""', ""), third


TOLERATED = {
    "long_unique_ids": (long_identifiers(), {"uniqueId"}),
    "scheme_names": (
        submission(codes={"healthcareFacilityTypeCode": ("4500", POLISH, "Oddział")}),
        {"healthcareFacilityTypeCode"},
    ),
    "lookalike_ids": (submission(id=LOOKALIKE), {"entryUUID", "targetObject"}),
    "versioned_submission": (versioned(), {"logicalID"}),
    "full_utf8": (submission(title="ż" * 128), {"title"}),
}


@pytest.mark.parametrize("switch", TOLERATED)
def test_a_tolerance_on_and_off(switch: str) -> None:
    objects, attributes = TOLERATED[switch]
    assert {each.attribute for each in errors(findings(*objects))} == attributes - {"targetObject"}
    assert findings(*objects, tolerate={switch: True}) == []
    assert findings(*objects, profile="pl", tolerate={switch: False}) != []


def test_an_author_without_node_on_and_off() -> None:
    (found,) = findings(*without_author_node())
    assert found.attribute == "author"
    assert findings(*without_author_node(), tolerate={"lookalike_ids": True}) == []


def test_scheme_names_count_as_their_oid_where_tolerated() -> None:
    named = submission(codes={"classCode": ("00.20", "KLAS_DOK_P1", "Karta")})
    assert [each.severity for each in findings(*named)] == [Severity.WARNING]
    assert findings(*named, tolerate={"scheme_names": True}) == []


def test_extra_slots_on_and_off() -> None:
    objects = submission(slots={EXTPL: "2046", "urn:example:colour": "red"})
    read = reading(*objects).submission
    assert rules.without_extra_metadata(read, made()) == (read, [])

    bare, warnings = rules.without_extra_metadata(read, made(extra_metadata="drop"))
    assert bare.entries[0].extra == ()
    (warning,) = warnings
    assert (warning.code, warning.severity) == ("XDSExtraMetadataNotSaved", Severity.WARNING)
    assert EXTPL in warning.code_context
    assert "urn:example:colour" in warning.code_context

    kept, warnings = rules.without_extra_metadata(
        read, made(extra_metadata="drop", tolerate={"extpl_slots": True})
    )
    assert [slot.name for slot in kept.entries[0].extra] == [EXTPL]
    assert EXTPL not in warnings[0].code_context


def test_extra_slots_of_every_object_are_dropped() -> None:
    extra = sample.slot("urn:example:a", "b")
    read = reading(
        sample.submission_set(extra=extra),
        sample.folder(extra=extra),
        sample.association("a", "b", extra=extra),
    ).submission
    bare, warnings = rules.without_extra_metadata(read, made(extra_metadata="drop"))
    assert len(warnings) == 3
    assert not bare.submission_sets[0].extra
    assert not bare.folders[0].extra
    assert not bare.associations[0].slots


def test_local_time_on_and_off() -> None:
    local = {"local_time_sources": [sample.SOURCE]}
    assert made(**local).zone_for(sample.SOURCE) is None
    zoned = made(**local, tolerate={"local_time": True})
    assert zoned.zone_for(sample.SOURCE) == ZoneInfo("Europe/Warsaw")
    assert zoned.zone_for("1.2.3") is None
    assert zoned.zone_for(None) is None


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "../etc/passwd"])
def test_an_unknown_zone_is_refused_at_the_start(zone: str) -> None:
    with pytest.raises(ValueError, match=r"validation\.time_zone"):
        made(local_time_sources=[sample.SOURCE], tolerate={"local_time": True}, time_zone=zone)


def test_tolerances_can_hold_for_one_source() -> None:
    objects = long_identifiers()
    assert findings(*objects, sources={sample.SOURCE: "pl"}) == []
    assert findings(*objects, sources={"1.2.3": "pl"}) != []


@pytest.mark.parametrize(("level", "severities"), [("off", []), ("warn", ["WARNING"]), ("reject", ["ERROR"])])
def test_schema_order_is_judged_at_its_level(level: str, severities: list[str]) -> None:
    late = sample.document_entry().replace(
        "</rim:ExtrinsicObject>", sample.slot("URI", "a") + "</rim:ExtrinsicObject>"
    )
    found = findings(sample.submission_set(), late, sample.original(), sequence=level)
    assert [each.severity.name for each in found] == severities


@pytest.mark.parametrize(("level", "severity"), [("off", None), ("warn", "WARNING"), ("reject", "ERROR")])
def test_folders_that_no_submission_set_contains_are_judged_at_their_level(
    level: str, severity: str | None
) -> None:
    folder, inside = sample.folder(), sample.association("Folder01", "Document01")
    found = findings(*submission(), folder, inside, unlisted_folders=level)
    assert [each.severity.name for each in found] == ([severity] * 2 if severity else [])


def test_only_folders_may_be_in_no_submission_set() -> None:
    found = findings(*submission()[:2], unlisted_folders="off")
    assert [(each.place, each.problem) for each in found] == [
        ("DocumentEntry Document01", "is in no SubmissionSet")
    ]


@pytest.mark.parametrize(("level", "severities"), [("off", []), ("warn", ["WARNING"]), ("reject", ["ERROR"])])
def test_unknown_codes_are_judged_at_their_level(level: str, severities: list[str]) -> None:
    code = {"classCode": ("00.21", sample.CODES["classCode"][1], "x")}
    found = findings(*submission(codes=code), codes={"policy": level})
    assert [each.severity.name for each in found] == severities
    assert all("00.20 (Karta informacyjna" in each.text() for each in found)


@pytest.mark.parametrize(
    ("attribute", "options"),
    [("mimeType", {"mime_type": "text/x-odd"}), ("languageCode", {"slots": {"languageCode": "de-DE"}})],
)
def test_plain_values_have_value_sets_too(attribute: str, options: dict[str, Any]) -> None:
    (found,) = findings(*submission(**options))
    assert (found.attribute, found.severity) == (attribute, Severity.WARNING)


def test_another_code_table_can_be_given(tmp_path: Path) -> None:
    table = tmp_path / "codes.toml"
    table.write_text('[[attribute.classCode]]\nscheme = "1.2"\nany = true\n')
    (found,) = findings(*submission(), codes={"policy": "reject", "table": table})
    assert (found.attribute, found.allowed) == ("classCode", "scheme 1.2")


def test_no_more_findings_than_an_answer_carries() -> None:
    documents = [sample.document_entry(f"D{n}", slots={"creationTime": "x"}) for n in range(20)]
    assert len(findings(sample.submission_set(), *documents, limits={"findings": 5})) == 5


def test_the_sample_of_a_polish_source_is_right_in_the_polish_profile() -> None:
    event = f"4f1d^^^&{sample.SOURCE}.15.1&ISO^urn:ihe:iti:xds:2015:encounterId"
    slots = {
        "serviceStartTime": "20260908061500",
        "serviceStopTime": "20260914110000",
        "legalAuthenticator": sample.AUTHOR,
        "sourcePatientInfo": ["PID-5|Żółcińska^Łucja^^^^^^", "PID-7|18580314", "PID-8|F", "PID-11|Kraków"],
        "documentAvailability": "urn:ihe:iti:2010:DocumentAvailability:Online",
        "URI": "karta.xml",
        "urn:extpl:SlotName:MedicalEventId": event,
        EXTPL: "2046",
    }
    codes = {
        "classCode": ("00.20", "Klasyfikacja dokumentów P1", "Karta informacyjna leczenia szpitalnego"),
        "typeCode": ("18842-5", "LOINC", "Discharge summary"),
        "formatCode": ("urn:extPL:pl-cda", "Kody formatów P1", "PIK HL7 CDA"),
        "healthcareFacilityTypeCode": ("4500", POLISH, "Oddział chirurgiczny ogólny"),
        "practiceSettingCode": ("05", "Dziedzina medyczna", "Chirurgia ogólna"),
    }
    lid = f' lid="{LOOKALIKE}" status="{sample.APPROVED}"'
    objects = (
        sample.submission_set(
            unique_id=f"{sample.SOURCE}.20^5f0a1c2e9b7d4a60",
            content_type=("REGISTER", "Typ wysyłki", "Rejestracja indeksu EDM"),
            attributes=lid,
        ),
        sample.document_entry(
            LOOKALIKE,
            unique_id=f"{sample.SOURCE}.7.1^7204918365520194873610",
            slots=slots,
            codes=codes,
            attributes=lid,
            extra='<rim:VersionInfo versionName="1"/>',
        ),
        sample.original(LOOKALIKE),
    )
    assert findings(*objects, profile="pl", codes={"policy": "reject"}) == []
    strict = {each.attribute for each in errors(findings(*objects))}
    assert strict == {
        "uniqueId",
        "entryUUID",
        "logicalID",
        "contentTypeCode",
        "classCode",
        "formatCode",
        "healthcareFacilityTypeCode",
    }
