"""Every data type of the attribute table, strict and lenient."""

from __future__ import annotations

import time

import pytest

from msim_xds.ihe.names import ON_DEMAND_OBJECT_TYPE, STABLE_OBJECT_TYPE
from msim_xds.metadata.datatypes import checks
from msim_xds.settings import Tolerances

STRICT = checks(Tolerances())
UUID = "urn:uuid:6d0f6c1a-2d5b-4a57-8a0b-1b1f0d6a9e02"
REFERENCE = "urn:ihe:iti:xds:2015:encounterId"
ACCESSION = "urn:ihe:iti:xds:2013:accession"

GOOD = {
    "cx": ["58831404726^^^&2.16.840.1.113883.3.4424.1.1.616&ISO", r"a\T\b^^^&0.1&ISO"],
    "cxi": [
        f"9f2c^^^&1.2.3&ISO^{REFERENCE}",
        f"1.2.3^^^^{REFERENCE}",
        f"a^^^X&1.2&ISO^{ACCESSION}",
        f"a^^^^{REFERENCE}^&urn:oid:1.2",
    ],
    "document_availability": ["urn:ihe:iti:2010:DocumentAvailability:Online"],
    "dtm": ["2026", "20260914113512"],
    "entry_uuid": [UUID, UUID.upper().replace("URN:UUID", "urn:uuid"), "Document01"],
    "home_community_id": ["urn:oid:1.2.3"],
    "identifier": ["1.2.3", "1.2.3^1234567890123456", UUID, "urn:oid:1.2", "http://a.example/b", "opaque"],
    "language": ["pl-PL", "en", "zh-Hant-TW"],
    "logical_id": ["anything"],
    "mime_type": ["text/xml", "application/hl7-v3+xml", "image/svg+xml"],
    "object_type": [STABLE_OBJECT_TYPE, ON_DEMAND_OBJECT_TYPE],
    "oid": ["1.2", "0.9.2342", "129.6.58.92", "2.16.840.1.113883.3.4424"],
    "recipient": [
        "Szpital^^^^^^^^^1.2.3",
        "|1^Nowak",
        "||^^Internet^a@b.pl",
        "Szpital|^Nowak^Jan|^PRN^PH^^48^12^1",
    ],
    "set_identifier": ["1.2.3"],
    "sha1": ["a" * 40, "A0" * 20],
    "size": ["0", "9223372036854775807"],
    "source_patient_info": [
        "PID-3|1^^^&1.2&ISO~2^^^&1.2&ISO^PI",
        "PID-5|Żółcińska^Łucja^^^^^^",
        "PID-7|18580314",
        "PID-7|",
        "PID-8|F",
        "PID-11|Kraków",
    ],
    "set_by_registry": ["Approved", "yesterday"],
    "text": ["", "x" * 1000],
    "title_128": ["x" * 128, "ż" * 64],
    "title_256": ["x" * 256, "ż" * 128],
    "uri": ["karta.xml", "http://a.example/%C5%BC?a=b#c", "1|http://a.example"],
    "version": ["1", "1.1"],
    "xcn": [
        "2999999^Wzorcowy^Adam^^^dr^^^&1.2.3&ISO",
        "^Smitty^Gerald^^^",
        "2999999",
        "1^N^A^^^^^^&1.2&ISO^L^^^X",
    ],
    "xon": [
        "Szpital",
        "Szpital^^^^^^^^^1.2.3",
        "Szpital^^^^^&1.2&ISO^^^^000000999901",
        "Szpital^^^^^&1.2&ISO",
    ],
    "xtn": [
        "^PRN^PH^^48^12^3456789",
        "^^CP^^^^3456789",
        "^EMR^PH^^^^^^^^^997",
        "^^Internet^a@b.pl",
        "^NET^Internet^a@b.pl",
    ],
}
BAD = {
    "cx": [
        "",
        "a",
        "^^^&1.2&ISO",
        "a^^^NS&1.2&ISO",
        "a^^^&1.2&ISO^PI",
        "a^^^&1.2&ISO^",
        "a^^^&1.02&ISO",
        "a~b^^^&1.2&ISO",
        "a^^^&1.2&DNS",
    ],
    "cxi": [
        "a",
        "a^^^&1.2&ISO",
        f"^^^&1.2&ISO^{REFERENCE}",
        f"a^^^^{ACCESSION}",
        f"a^b^^^{REFERENCE}",
        f"a^^^&x&ISO^{REFERENCE}",
        f"a^^^^{REFERENCE}^b^c",
    ],
    "document_availability": ["Online"],
    "dtm": ["2026-09-14", "20261301"],
    "entry_uuid": ["urn:uuid:1", UUID[:-1], UUID + "0", UUID + "-cl-author", "a b", "a\tb"],
    "home_community_id": ["1.2.3", "urn:oid:", "urn:oid:x", "URN:OID:1.2"],
    "identifier": ["", "1.2.3^12345678901234567", "1.2.3^", "a b", "żółw", "x" * 257],
    "language": ["", "polski język", "pl_PL", "abcdefghi"],
    "mime_type": ["", "text", "text/", "text/xml; charset=utf-8", "text/x y"],
    "object_type": ["", UUID, STABLE_OBJECT_TYPE.upper()],
    "oid": ["", "1", "1.02", "1..2", "1.2.", "urn:oid:1.2", "1." + "2" * 63, "1.2\n"],
    "recipient": ["", "||", "Szpital|^|", "a|b|^PRN^PH^^^^1|d", "^x"],
    "set_identifier": ["1.2.3^5f0a", "x"],
    "sha1": ["", "a" * 39, "g" * 40, "a" * 41],
    "size": ["", "-1", "1.0", "9223372036854775808", "1" * 30, "٣"],
    "source_patient_info": [
        "",
        "PID-2|x",
        "PID-4|x",
        "PID-12|x",
        "PID-19|x",
        "PID-3|x",
        "PID-7|14.03.1858",
        "PID-8|K",
        "x|y",
        "PID-5",
    ],
    "title_128": ["x" * 129, "ż" * 65],
    "title_256": ["x" * 257, "ż" * 129],
    "uri": ["", "a b", "żółw.xml", "a\nb"],
    "xcn": ["", "^^Jan", "^Nowak^^^^^^^&1.2&ISO", "1^N^^^^^^^1.2", "1^N^^^^^^^&x&ISO", "1" + "^" * 23 + "x"],
    "xon": ["", "^^^^^&1.2&ISO", "S^x", "S^^^^^^^^^x", "S^^^^^&x&ISO^^^^1", "S^^^^^^^^^1.2^x"],
    "xtn": [
        "",
        "997",
        "^PRN^PH",
        "^PRN^FX^^^^1",
        "^NET^PH^^^^1",
        "^^PH^a@b.pl^^^1",
        "^^PH^^^^1^^^^^2",
        "^^Internet",
        "^PRN^Internet^a@b.pl",
        "^^Internet^a@b.pl^48",
    ],
}


@pytest.mark.parametrize(
    ("datatype", "value"), [(name, value) for name, all_ in GOOD.items() for value in all_]
)
def test_good_values_pass(datatype: str, value: str) -> None:
    assert STRICT[datatype](value) is None


@pytest.mark.parametrize(
    ("datatype", "value"), [(name, value) for name, all_ in BAD.items() for value in all_]
)
def test_bad_values_are_explained(datatype: str, value: str) -> None:
    problem = STRICT[datatype](value)
    assert problem is not None
    assert problem.problem
    assert problem.allowed


def test_every_type_is_tested() -> None:
    assert GOOD.keys() == STRICT.keys()
    assert STRICT.keys() - BAD.keys() == {"logical_id", "set_by_registry", "text", "version"}


@pytest.mark.parametrize(
    ("tolerance", "datatype", "value", "still_bad"),
    [
        ("long_unique_ids", "identifier", "1.2.3^7204918365520194873610", "a b"),
        ("long_unique_ids", "set_identifier", "1.2.3^5f0a1c2e9b7d4a60", "1.2.3^"),
        ("lookalike_ids", "entry_uuid", UUID + "-cl-author", UUID + "-%zz"),
        ("full_utf8", "title_128", "ż" * 128, "ż" * 129),
        ("full_utf8", "title_256", "ż" * 256, "ż" * 257),
    ],
)
def test_a_tolerance_lifts_its_own_rule_only(
    tolerance: str, datatype: str, value: str, still_bad: str
) -> None:
    others = dict.fromkeys(set(Tolerances.model_fields) - {tolerance}, True)
    assert checks(Tolerances(**others))[datatype](value) is not None
    lenient = checks(Tolerances(**{tolerance: True}))
    assert lenient[datatype](value) is None
    assert lenient[datatype](still_bad) is not None


def test_versions_need_an_id_where_they_are_tolerated() -> None:
    lenient = checks(Tolerances(versioned_submission=True))["logical_id"]
    assert lenient(UUID) is None
    assert lenient("urn:extpl:lid:1") is None
    assert lenient("Document01") is not None


@pytest.mark.parametrize("hostile", ["1." * 4_000_000, "^" * 8_000_000, "a^" * 4_000_000, "|" * 8_000_000])
def test_huge_values_are_refused_at_once(hostile: str) -> None:
    start = time.process_time()
    refused = [name for name, check in STRICT.items() if check(hostile) is not None]
    assert len(refused) >= len(STRICT) - 4
    assert time.process_time() - start < 1
