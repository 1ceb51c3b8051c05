"""importer.trees: files by name, whatever a folder or an archive tries."""

from __future__ import annotations

import os
import struct
import zipfile
from datetime import UTC
from pathlib import Path

import pytest

from msim_xds.importer.trees import FolderTree, Tree, Unreadable, ZipTree, open_tree, proper, read
from tests.test_importer.archives import zipped

FILES = {"a.xml": b"<a/>", "b/c.xml": b"<c>" + b"x" * 5000 + b"</c>", "b/d/e.bin": bytes(range(256))}
LIMIT = 1 << 20


@pytest.fixture(params=["folder", "zip"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    if request.param == "zip":
        return open_tree(zipped(tmp_path / "archive.zip", FILES))
    root = tmp_path / "folder"
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return open_tree(root)


def test_files_by_name(tree: Tree) -> None:
    assert list(tree.names()) == sorted(FILES)
    assert {name: read(tree, name, LIMIT) for name in FILES} == FILES
    assert sorted(tree.names_in("b")) == ["c.xml"]
    assert sorted(tree.names_in("")) == ["a.xml"]
    assert tree.names_in("nowhere") == []
    assert tree.head("b/c.xml", 3) == b"<c>"
    assert tree.modified("a.xml").tzinfo is UTC
    assert read(tree, "./b//c.xml", LIMIT) == FILES["b/c.xml"]
    tree.close()


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "b/../../x", "a\\b", "a\0b", ".", "b/.."])
def test_names_that_lead_elsewhere(tree: Tree, name: str) -> None:
    with pytest.raises(Unreadable, match="stays inside"):
        proper(name)
    with pytest.raises(Unreadable):
        read(tree, name or "..", LIMIT)


def test_what_is_not_there(tree: Tree) -> None:
    for call in (
        lambda: read(tree, "none.xml", LIMIT),
        lambda: tree.head("none.xml", 1),
        lambda: tree.modified("none.xml"),
    ):
        with pytest.raises(Unreadable, match="is not"):
            call()


def test_limits_are_kept_while_reading(tree: Tree) -> None:
    with pytest.raises(Unreadable, match="more than 100 octets"):
        read(tree, "b/c.xml", 100)
    assert read(tree, "b/c.xml", len(FILES["b/c.xml"])) == FILES["b/c.xml"]


def test_a_fingerprint_changes_with_names_and_sizes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    first = FolderTree(tmp_path).fingerprint()
    assert FolderTree(tmp_path).fingerprint() == first
    (tmp_path / "a").write_bytes(b"12")
    second = FolderTree(tmp_path).fingerprint()
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, FolderTree(tmp_path).fingerprint()}) == 3
    archives = [zipped(tmp_path / f"{n}.zip", {"a": content}) for n, content in enumerate((b"1", b"2", b"1"))]
    prints = [ZipTree(path).fingerprint() for path in archives]
    assert prints[0] == prints[2] != prints[1]


def test_links_stay_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (root / "real" / "a").write_bytes(b"a")
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "inside").symlink_to(root / "real" / "a")
    (root / "folder").symlink_to(root / "real")
    (root / "outside").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to(tmp_path)
    tree = FolderTree(root)
    assert read(tree, "inside", LIMIT) == read(tree, "folder/a", LIMIT) == b"a"
    for name in ("outside", "up/secret"):
        with pytest.raises(Unreadable, match="leads out"):
            read(tree, name, LIMIT)
    assert tree.head("inside", 1) == b"a"


def test_pipes_and_folders_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    tree = FolderTree(tmp_path)
    with pytest.raises(Unreadable, match="no regular file"):
        read(tree, "pipe", LIMIT)
    with pytest.raises(Unreadable, match="no regular file"):
        tree.head("folder", 1)


# --- archives ---------------------------------------------------------------------------------------


def patched(path: Path, offsets: dict[int, bytes]) -> Path:
    """The archive with octets replaced: counted from the central directory's beginning where negative."""
    octets = bytearray(path.read_bytes())
    central = octets.index(b"PK\x01\x02")
    for offset, value in offsets.items():
        start = offset if offset >= 0 else central - offset
        octets[start : start + len(value)] = value
    path.write_bytes(octets)
    return path


def test_encrypted_members(tmp_path: Path) -> None:
    path = patched(zipped(tmp_path / "z", {"a": b"abc"}), {-8: struct.pack("<H", 1)})
    with pytest.raises(Unreadable, match="encrypted"):
        read(ZipTree(path), "a", LIMIT)


def test_other_methods(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"abc" * 100)
    with pytest.raises(Unreadable, match="deflate"):
        read(ZipTree(tmp_path / "z"), "a", LIMIT)


def test_links_in_archives(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(Unreadable, match="symbolic link"):
        read(ZipTree(tmp_path / "z"), "a", LIMIT)


def test_bombs(tmp_path: Path) -> None:
    path = zipped(tmp_path / "z", {"zeros": b"\0" * (8 << 20)})
    with pytest.raises(Unreadable, match="200 times"):
        read(ZipTree(path), "zeros", 1 << 30)
    # One that says that it is small gives no more than it says, and then fails its check.
    lying = patched(path, {-24: struct.pack("<I", 1000)})
    with pytest.raises(Unreadable, match="damaged"):
        read(ZipTree(lying), "zeros", 1 << 30)


def test_overlapping_members(tmp_path: Path) -> None:
    path = zipped(tmp_path / "z", {"a": b"abc" * 50, "b": b"abd" * 50})
    octets = path.read_bytes()
    second = octets.index(b"PK\x01\x02", octets.index(b"PK\x01\x02") + 4)
    path.write_bytes(octets[: second + 42] + struct.pack("<I", 0) + octets[second + 46 :])
    with pytest.raises(ValueError, match="overlap"):
        ZipTree(path)


def test_two_members_of_one_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", b"2")
    with pytest.raises(ValueError, match="one name"):
        ZipTree(tmp_path / "z")


def test_damage(tmp_path: Path) -> None:
    path = tmp_path / "z"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a", b"abcdefgh")
    octets = path.read_bytes()
    path.write_bytes(octets.replace(b"abcdefgh", b"abcdefgX"))
    with pytest.raises(Unreadable, match="damaged"):
        read(ZipTree(path), "a", LIMIT)
    path.write_bytes(b"PK not really")
    with pytest.raises(ValueError, match="no ZIP archive"):
        ZipTree(path)


def test_impossible_times(tmp_path: Path) -> None:
    path = patched(zipped(tmp_path / "z", {"a": b"abc"}), {-14: struct.pack("<H", 0)})
    tree = ZipTree(path)
    with pytest.raises(Unreadable, match="time"):
        tree.modified("a")
