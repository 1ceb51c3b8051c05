"""FindDocuments and its relatives over registered submissions, on both databases."""

from __future__ import annotations

import time
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msim_xds.metadata.datatypes import period
from msim_xds.registry.query_reader import MOST_GROUPS
from tests.support.metadata import (
    APPROVED,
    AUTHOR,
    DEPRECATED,
    OTHER_PATIENT,
    PATIENT,
    RIM,
    RPLC,
    association,
    document_entry,
    new_uuid,
    original,
    submission_set,
)
from tests.support.queries import find_documents, many, one, request
from tests.support.registry import Registry

DE = "$XDSDocumentEntry"
X, Y, Z = (("X", "1.2.3", "x"), ("Y", "1.2.3", "y"), ("Z", "1.2.3", "z"))


def submit(registry: Registry, **options: object) -> str:
    """Register one document; its entryUUID."""
    entry = new_uuid()
    patient = options.get("patient_id", PATIENT)
    registry.submit(
        submission_set(patient_id=patient),  # type: ignore[arg-type]
        document_entry(entry, **options),  # type: ignore[arg-type]
        original(entry),
    )
    return entry


def code(value: tuple[str, str, str]) -> str:
    return f"{value[0]}^^{value[1]}"


class TestFindDocuments:
    def test_of_one_patient(self, registry: Registry) -> None:
        mine = {submit(registry), submit(registry)}
        submit(registry, patient_id=OTHER_PATIENT)
        assert set(registry.ask(find_documents()).ids) == mine
        assert set(registry.ask(find_documents(returns="ObjectRef")).ids) == mine

    def test_status(self, registry: Registry) -> None:
        old, new = submit(registry), new_uuid()
        registry.submit(submission_set(), document_entry(new), original(new), association(new, old, RPLC))
        assert registry.ask(find_documents()).ids == [new]
        assert registry.ask(find_documents(status=(DEPRECATED,))).ids == [old]
        both = registry.ask(find_documents(status=(APPROVED, DEPRECATED)))
        assert {e.get("id"): e.get("status") for e in both.objects} == {old: DEPRECATED, new: APPROVED}

    @pytest.mark.parametrize(
        ("parameter", "attribute"),
        [
            ("ClassCode", "classCode"),
            ("TypeCode", "typeCode"),
            ("PracticeSettingCode", "practiceSettingCode"),
            ("HealthcareFacilityTypeCode", "healthcareFacilityTypeCode"),
            ("FormatCode", "formatCode"),
            ("ConfidentialityCode", "confidentialityCode"),
            ("EventCodeList", "eventCodeList"),
        ],
    )
    def test_codes(self, registry: Registry, parameter: str, attribute: str) -> None:
        x, y = (submit(registry, codes={attribute: value}) for value in (X, Y))
        name = DE + parameter
        assert registry.ask(find_documents((name, many(code(X))))).ids == [x]
        assert registry.ask(find_documents((name, many(code(X), code(Y))))).ids == sorted([x, y])
        assert registry.ask(find_documents((name, many("X^^1.2.4", "x^^1.2.3", "Z^^1.2.3")))).ids == []

    @pytest.mark.parametrize("attribute", ["eventCodeList", "confidentialityCode"])
    def test_and_between_slots_or_within(self, registry: Registry, attribute: str) -> None:
        both = submit(registry, codes={attribute: [X, Y]})
        one_ = submit(registry, codes={attribute: X})
        name = {"eventCodeList": "EventCodeList", "confidentialityCode": "ConfidentialityCode"}[attribute]
        x, y = (DE + name, many(code(X))), (DE + name, many(code(Y)))
        either = (DE + name, many(code(X), code(Z)))
        assert registry.ask(find_documents(x, y)).ids == [both]
        assert registry.ask(find_documents(either)).ids == sorted([both, one_])
        assert registry.ask(find_documents(either, y)).ids == [both]
        assert registry.ask(find_documents(x, y, (DE + name, many(code(Z))))).ids == []

    def test_different_parameters_are_and(self, registry: Registry) -> None:
        entry = submit(registry, codes={"classCode": X, "typeCode": Y})
        x, y = (f"{DE}ClassCode", many(code(X))), (f"{DE}TypeCode", many(code(Y)))
        assert registry.ask(find_documents(x, y)).ids == [entry]
        assert registry.ask(find_documents(x, (f"{DE}TypeCode", many(code(X))))).ids == []

    @pytest.mark.parametrize(
        ("pattern", "matches"),
        [
            ("%Wzorcowy%", True),
            ("2999999^%", True),
            ("%^Ad_m^%", True),
            (AUTHOR, True),
            ("Wzorcowy", False),
            ("%wzorcowy%", False),
            ("_", False),
            ("%\\%", False),
            ("%", True),
        ],
    )
    def test_author_patterns(self, registry: Registry, pattern: str, matches: bool) -> None:
        other = "1^O'Reilly\\%_^Anna^^^^^^&1.2&ISO"
        entry, second = submit(registry), submit(registry, authors=(other, "2^Nowak"))
        found = registry.ask(find_documents((f"{DE}AuthorPerson", many(pattern)))).ids
        assert (entry in found) is matches
        assert registry.ask(find_documents((f"{DE}AuthorPerson", many("%'Reilly\\%")))).ids == [second]
        nobody = find_documents((f"{DE}AuthorPerson", many("x", "%^Nowak")))
        assert registry.ask(nobody).ids == [second]

    def test_document_availability(self, registry: Registry) -> None:
        offline = "urn:ihe:iti:2010:DocumentAvailability:Offline"
        online = offline.replace("Offline", "Online")
        away, here = submit(registry, slots={"documentAvailability": offline}), submit(registry)
        assert registry.ask(find_documents((f"{DE}DocumentAvailability", many(offline)))).ids == [away]
        assert registry.ask(find_documents((f"{DE}DocumentAvailability", many(online)))).ids == [here]

    def test_answer_is_the_stored_object_with_current_values(self, registry: Registry) -> None:
        submit(registry, title="Żółć & <jaźń>", comments='"quoted"')
        (entry,) = registry.ask(find_documents()).of("ExtrinsicObject")
        assert entry.get("status") == APPROVED
        assert entry.get("home") is None
        title = entry.find(f"{{{RIM}}}Name/{{{RIM}}}LocalizedString")
        assert title is not None
        assert title.get("value") == "Żółć & <jaźń>"
        (reference,) = registry.ask(find_documents(returns="ObjectRef")).objects
        assert reference.items() == [("id", entry.get("id"))]

    def test_unknown_patient_is_an_empty_answer(self, registry: Registry) -> None:
        assert registry.ask(find_documents()).objects == []

    def test_patient_id_is_compared_whole(self, registry: Registry) -> None:
        submit(registry)
        assert registry.ask(find_documents(patient=PATIENT[:-1])).ids == []
        assert registry.ask(find_documents(patient=f" {PATIENT} ")).names() == ["ExtrinsicObject"]

    @pytest.mark.parametrize(
        "text",
        [
            "' OR 1=1 --",
            "'; DROP TABLE patient; --",
            "%",
            "\\",
            "\"'",
            ":p0_0",
            "%(p0_0)s",
            "{}",
            "?",
            "\U0001f480",
        ],
    )
    def test_hostile_values_are_only_values(self, registry: Registry, text: str) -> None:
        entry = submit(registry, authors=(f"1^{text}",), codes={"classCode": (text, "1.2.3", "x")})
        hostile = (f"{DE}ClassCode", many(f"{text}^^1.2.3"))
        assert registry.ask(find_documents(hostile)).ids == [entry]
        assert registry.ask(find_documents(hostile, patient=text)).ids == []
        assert registry.ask(request("GetDocuments", [(f"{DE}UniqueId", many(text))])).ids == []
        assert registry.ask(find_documents((f"{DE}AuthorPerson", many(f"1^{text}")))).ids == [entry]

    def test_thousands_of_values_and_many_slots(self, registry: Registry) -> None:
        entry = submit(registry, codes={"eventCodeList": [X, Y]})
        wide = (f"{DE}EventCodeList", many(code(X), *[f"{n}^^1" for n in range(4999)]))
        assert registry.ask(find_documents(wide)).ids == [entry]
        deep = [(f"{DE}{name}", many(code(X))) for name in ("EventCodeList",) * MOST_GROUPS]
        deep += [(f"{DE}ConfidentialityCode", many("N^^2.16.840.1.113883.5.25"))] * MOST_GROUPS
        started = time.monotonic()
        assert registry.ask(find_documents(*deep)).ids == [entry]
        assert time.monotonic() - started < 5  # PostgreSQL took a minute to plan them as joins

    def test_a_costly_pattern_is_bounded(self, registry: Registry) -> None:
        submit(registry, authors=("1^" + "a" * 250,))
        started = time.monotonic()
        assert registry.ask(find_documents((f"{DE}AuthorPerson", many("%a" * 2000 + "b")))).ids == []
        assert time.monotonic() - started < 5


WORKED_CASES = [  # ITI TF-2 3.18.4.1.2.3.4
    ("2021", "2021", "20210527", True),
    (None, "20210527", "20210527", False),
    (None, "20210526", "20210527", False),
    ("20210701", "20210701", "2021", True),
    ("20200101", "20210101", "2021", True),
    ("20100101", "20201231", "2021", False),
    ("20220101", None, "2021", False),
    ("20210527", None, "20210527", True),
    ("20210527101112", None, "20210527101112", True),
    ("20210527101113", None, "20210527101112", False),
    ("202105271200", "202105271201", "20210527120059", True),
]


def in_range(start: str | None, end: str | None, value: str) -> bool:
    """The rule literally, on strings: bounds are cut to the stored precision, or stretched to their end."""
    if start is not None and value[: len(start)] < start[: len(value)]:
        return False
    if end is None:
        return True
    if len(end) == len(value):
        return value < end
    return value[: len(end)] <= end[: len(value)]


class TestTimes:
    @pytest.mark.parametrize(("start", "end", "stored", "expected"), WORKED_CASES)
    def test_worked_cases(
        self, registry: Registry, start: str | None, end: str | None, stored: str, expected: bool
    ) -> None:
        assert in_range(start, end, stored) is expected
        submit(registry, slots={"creationTime": stored, "serviceStartTime": stored})
        for name in ("CreationTime", "ServiceStartTime"):
            bounds = [(f"{DE}{name}From", start), (f"{DE}{name}To", end)]
            found = registry.ask(find_documents(*[(n, v) for n, v in bounds if v is not None]))
            assert bool(found.ids) is expected

    def test_absent_service_times_do_not_exclude(self, registry: Registry) -> None:
        entry = submit(registry)
        ranges = [
            (f"{DE}Service{end}Time{side}", "2021") for end in ("Start", "Stop") for side in ("From", "To")
        ]
        assert registry.ask(find_documents(*ranges)).ids == [entry]

    def test_start_and_stop_are_apart(self, registry: Registry) -> None:
        entry = submit(registry, slots={"serviceStartTime": "20200101", "serviceStopTime": "20210101"})
        assert registry.ask(find_documents((f"{DE}ServiceStopTimeFrom", "2021"))).ids == [entry]
        assert registry.ask(find_documents((f"{DE}ServiceStartTimeFrom", "2021"))).ids == []
        assert registry.ask(find_documents((f"{DE}ServiceStopTimeTo", "2020"))).ids == []
        assert registry.ask(find_documents((f"{DE}ServiceStartTimeTo", "2020"))).ids == [entry]

    @pytest.mark.parametrize("text", ["'2026'", "2026", "(2026)", "('2026')"])
    def test_quoted_or_not(self, registry: Registry, text: str) -> None:
        entry = submit(registry)
        assert registry.ask(find_documents((f"{DE}CreationTimeFrom", text))).ids == [entry]


_DTM = st.builds(
    lambda moment, length: moment.strftime("%Y%m%d%H%M%S").zfill(14)[:length],
    st.datetimes(
        min_value=datetime(2020, 12, 30),  # noqa: DTZ001
        max_value=datetime(2021, 1, 2),  # noqa: DTZ001
    ),
    st.sampled_from([4, 6, 8, 10, 12, 14]),
)


@settings(max_examples=500, deadline=None)
@given(st.none() | _DTM, st.none() | _DTM, _DTM)
def test_periods_mean_what_the_strings_say(start: str | None, end: str | None, stored: str) -> None:
    """The comparison that the SQL makes, against the rule on strings."""
    low, high = period(stored)
    after = start is None or high >= period(start).low
    before = end is None or (low <= period(end).high and (low, high) != period(end))
    assert (after and before) is in_range(start, end, stored)


class TestReferenceId:
    def test_patterns_and_groups(self, registry: Registry) -> None:
        name = f"{DE}ReferenceIdList"
        accession = "2013^^^&1.2.3&ISO^urn:ihe:iti:xds:2013:accession"
        order = "77^^^&1.2.4&ISO^urn:ihe:iti:xds:2013:order"
        entry = new_uuid()
        slots = {"urn:ihe:iti:xds:2013:referenceIdList": [accession, order]}
        registry.submit(
            submission_set(),
            document_entry(entry, slots=slots),
            association("SubmissionSet01", entry, status="Original"),
        )
        base = ((f"{DE}PatientId", one(PATIENT)), (f"{DE}Status", many(APPROVED)))
        for lists, matches in (
            ([many(accession)], True),
            ([many("2013%")], True),
            ([many("2013")], False),
            ([many("no", order)], True),
            ([many(accession), many(order)], True),
            ([many(accession), many("no")], False),
        ):
            parameters = (*base, *((name, values) for values in lists))
            found = registry.ask(request("FindDocumentsByReferenceId", parameters))
            assert found.ids == ([entry] if matches else [])
