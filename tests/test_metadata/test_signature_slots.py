"""Results of signature validation as extra metadata."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msim_xds.ihe.names import Severity
from msim_xds.metadata.fragments import with_slots
from msim_xds.metadata.model import DocumentEntry, Slot, Submission
from msim_xds.metadata.signature_slots import PREFIX, SignatureResult, lifted, not_kept

RESULT = SignatureResult("TOTAL_FAILED", "HASH_FAILURE", "XAdES-BASELINE-B", "2026-06-01T12:00:00Z", False)
OTHER = Slot("urn:extpl:SlotName:x", ("1",))
_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=256)


def submission(*slots: Slot) -> Submission:
    return Submission(
        (), (DocumentEntry(entry_uuid="Document01", extra=slots), DocumentEntry(entry_uuid="Document02"))
    )


@given(
    st.builds(
        SignatureResult,
        st.sampled_from(["TOTAL_PASSED", "INDETERMINATE"]),
        _texts,
        _texts,
        _texts,
        st.booleans(),
    )
)
def test_what_is_written_is_read(result: SignatureResult) -> None:
    remaining, found = lifted(submission(OTHER, *result.slots()))
    assert found == {"Document01": result}
    assert remaining == submission(OTHER)


def test_without_any_the_submission_is_the_same() -> None:
    sent = submission(OTHER)
    assert lifted(sent) == (sent, {})
    assert lifted(sent)[0] is sent
    assert list(not_kept(sent)) == []


@pytest.mark.parametrize(
    "slots",
    [
        (Slot(f"{PREFIX}indication", ("GOOD",)),),
        (Slot(f"{PREFIX}indication", ("TOTAL_PASSED", "TOTAL_FAILED")),),
        (Slot(f"{PREFIX}level", ("XAdES-BASELINE-B",)),),
        (Slot(f"{PREFIX}indication", ("TOTAL_PASSED",)), Slot(f"{PREFIX}level", ("x" * 257,))),
    ],
)
def test_what_no_repository_says_is_dropped(slots: tuple[Slot, ...]) -> None:
    assert lifted(submission(*slots)) == (submission(), {})


def test_a_sender_is_told() -> None:
    (finding,) = not_kept(submission(OTHER, *RESULT.slots()))
    assert (finding.code, finding.severity) == ("XDSExtraMetadataNotSaved", Severity.WARNING)
    assert f"{PREFIX}indication" in finding.code_context
    assert OTHER.name not in finding.code_context


def test_slots_in_a_fragment() -> None:
    fragment = b' id="urn:uuid:1" lid="a&gt;b"><rim:Slot name="hash"/></rim:ExtrinsicObject>'
    text = with_slots(fragment, RESULT.slots()[:1])
    assert text == (
        b' id="urn:uuid:1" lid="a&gt;b"><rim:Slot name="urn:msim:signature:indication"><rim:ValueList>'
        b"<rim:Value>TOTAL_FAILED</rim:Value></rim:ValueList></rim:Slot>"
        b'<rim:Slot name="hash"/></rim:ExtrinsicObject>'
    )
