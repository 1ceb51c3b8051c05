"""importer.plan: what is imported of a source, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from msim_xds.importer.plan import Kind, make_plan
from tests.support.metadata import document_entry, original, submission_set, submit_objects
from tests.test_importer.archives import write_manifest, zipped

CDA = b'<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><title>x</title></ClinicalDocument>'


def metadata(time: str) -> bytes:
    return submit_objects(submission_set(submission_time=time), document_entry(), original())


def replacing(version: str) -> bytes:
    relation = b'<relatedDocument typeCode="RPLC"><parentDocument/></relatedDocument>'
    number = f'<versionNumber value="{version}"/>'.encode() if version else b""
    return CDA.replace(b"</title>", b"</title>" + number + relation)


def names(source: Path, start: int = 0) -> list[tuple[Kind, str]]:
    return [(task.kind, task.name) for task in make_plan(source).tasks(start)]


def test_files_in_an_order_that_keeps_what_is_replaced_first(tmp_path: Path) -> None:
    files = {
        "pairs/b.xml": metadata("20120101"),
        "pairs/a.xml": metadata("20130101"),
        "pairs/Document01.xml": CDA,
        "pairs/leftover.pdf": b"%PDF",
        "cda/3.xml": replacing("3"),
        "cda/4.xml": replacing("2"),
        "cda/5.xml": CDA,
        "cda/6.xml": CDA.decode().encode("utf-16"),
        "cda/0.xml": replacing(""),
        "cda/note.txt": b"hello",
    }
    plan = make_plan(zipped(tmp_path / "archive.zip", files))
    assert plan.total == 7
    assert [(task.number, task.kind, task.name) for task in plan.tasks(0)] == [
        (0, Kind.METADATA, "pairs/b.xml"),
        (1, Kind.METADATA, "pairs/a.xml"),
        (2, Kind.DOCUMENT, "cda/5.xml"),
        (3, Kind.DOCUMENT, "cda/6.xml"),
        (4, Kind.DOCUMENT, "cda/0.xml"),
        (5, Kind.DOCUMENT, "cda/4.xml"),
        (6, Kind.DOCUMENT, "cda/3.xml"),
    ]
    assert [task.number for task in plan.tasks(5)] == [5, 6]
    assert plan.skipped == ["cda/note.txt"]


def test_what_cannot_be_read_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "dangling.xml").symlink_to(tmp_path / "nowhere")
    assert make_plan(tmp_path / "source").skipped == ["dangling.xml"]


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "archive.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"b": 2}')
    plan = make_plan(path)
    assert plan.total == 3
    assert [(t.number, t.kind, t.name, t.text) for t in plan.tasks(1)] == [
        (1, Kind.LINE, "archive.jsonl:2", b""),
        (2, Kind.LINE, "archive.jsonl:3", b'{"b": 2}'),
    ]
    first = plan.fingerprint
    path.write_bytes(b'{"a": 1}\n\n{"b": 3}')
    assert make_plan(path).fingerprint != first


def test_a_manifest_inside_is_what_counts(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.xml").write_bytes(CDA)
    assert names(folder) == [(Kind.DOCUMENT, "a.xml")]
    manifest = write_manifest(folder, [{"documents": [{"path": "a.xml"}]}])
    assert names(folder) == names(manifest) == [(Kind.LINE, "manifest.jsonl:1")]
    archive = zipped(tmp_path / "z.zip", {"manifest.jsonl": b"{}\n{}\n", "a.xml": CDA})
    assert names(archive, 1) == [(Kind.LINE, "manifest.jsonl:2")]


def test_endless_lines(tmp_path: Path) -> None:
    path = tmp_path / "archive.jsonl"
    path.write_bytes(b"x" * (10 << 20))
    with pytest.raises(ValueError, match="a line has more than"):
        make_plan(path)


def test_a_manifest_that_cannot_be_read(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "z.zip", {"manifest.jsonl": b"\n" * (8 << 20)})
    with pytest.raises(ValueError, match=r"manifest\.jsonl unpacks"):
        make_plan(archive)
