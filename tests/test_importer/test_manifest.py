"""importer.manifest: what a line can say."""

from __future__ import annotations

import json

import pytest

from msim_xds.findings import Refused
from msim_xds.importer.manifest import parse_line
from msim_xds.metadata.model import Code, LocalizedString


def test_every_key() -> None:
    line = parse_line(
        json.dumps(
            {
                "patientId": "1^^^&1.2.3&ISO",
                "submissionSet": {"entryUUID": "urn:uuid:1", "contentTypeCode": "a^^b^^c"},
                "folders": [
                    {"entryUUID": "urn:uuid:2", "uniqueId": "1.2", "title": "t", "codeList": ["a^^b"]}
                ],
                "documents": [
                    {
                        "path": "a.xml",
                        "creationTime": "2009",
                        "eventCodeList": ["x^^y", "z^^y"],
                        "confidentialityCode": ["N^^s"],
                        "referenceIdList": ["r"],
                        "folders": ["urn:uuid:2"],
                        "replaces": ["1.2.3"],
                        "availabilityStatus": "Deprecated",
                    }
                ],
            }
        ).encode()
    )
    (document,) = line.documents
    assert line.submission_set.content_type_code == Code("a", "b", (LocalizedString("c"),))
    assert [code.code for code in document.event_codes] == ["x", "z"]
    assert document.confidentiality_codes[0].display == (LocalizedString("N"),)
    assert (line.is_history, line.changes_metadata) == (True, True)


def test_what_changes_nothing() -> None:
    line = parse_line(
        b'{"metadata": "m.xml", "documents": [{"path": "a.xml", "id": "Document01"}], "history": true}'
    )
    assert (line.is_history, line.changes_metadata) == (True, False)
    assert not parse_line(b'{"metadata": "m.xml"}').is_history


@pytest.mark.parametrize(
    ("text", "attribute"),
    [
        ("", ""),
        ("[]", ""),
        ("{", ""),
        ("{}", ""),
        ('{"metadata": 5}', "metadata"),
        ('{"documents": [{"id": "x"}]}', "documents.0.path"),
        ('{"documents": [{"path": "x", "creation_time": "2009"}]}', "documents.0.creation_time"),
        ('{"documents": [{"path": "x", "classCode": "nothing"}]}', "documents.0.classCode"),
        ('{"documents": [{"path": "x", "classCode": 5}]}', "documents.0.classCode"),
        ('{"documents": [{"path": "x", "availabilityStatus": "Gone"}]}', "documents.0.availabilityStatus"),
        ('{"documents": [{"path": "x", "replaces": "1.2.3"}]}', "documents.0.replaces"),
        ('{"metadata": "m", "history": "yes"}', "history"),
        ('{"metadata": "m", "folders": [{"title": "x"}]}', "folders.0.entryUUID"),
    ],
)
def test_mistakes_are_named(text: str, attribute: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_line(text.encode())
    finding = refused.value.findings[0]
    assert (finding.code, finding.place, finding.attribute) == (
        "XDSRepositoryMetadataError",
        "manifest line",
        attribute,
    )


def test_every_mistake_at_once() -> None:
    with pytest.raises(Refused) as refused:
        parse_line(b'{"metadata": 5, "history": 7, "unknown": 1}')
    assert {each.attribute for each in refused.value.findings} == {"metadata", "history", "unknown"}
