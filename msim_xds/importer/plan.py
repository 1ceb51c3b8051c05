"""What there is to import in a source, numbered in an order that stays the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from msim_xds.importer.trees import FolderTree, Tree, Unreadable, open_tree
from msim_xds.wire.safexml import UTF16

#: A manifest of this name at the top of a folder or archive is what is imported.
MANIFEST: Final = "manifest.jsonl"
_HEAD: Final = 1 << 16
_ROOT: Final = 4096  # octets in which the root element must begin
_MANIFEST_BYTES: Final = 8 << 30
_LINE_BYTES: Final = 8 << 20
_METADATA: Final = re.compile(rb"<(?:[\w.-]+:)?SubmitObjectsRequest[\s>]")
_CDA: Final = re.compile(rb"<(?:[\w.-]+:)?ClinicalDocument\s")
_SUBMITTED: Final = re.compile(rb"""["']submissionTime["'][^>]*>.{0,200}?Value>\s*(\d{4,14})""", re.DOTALL)
_REPLACES: Final = re.compile(rb"""<(?:[\w.-]+:)?relatedDocument\s[^>]*["']RPLC["']""")
_VERSION: Final = re.compile(rb"""<(?:[\w.-]+:)?versionNumber\s[^>]*value=["'](\d{1,9})["']""")


class Kind(StrEnum):
    """What a task imports."""

    DOCUMENT = "document"
    METADATA = "metadata"
    LINE = "line"


class Task(NamedTuple):
    """One submission to come.

    Attributes:
        number: its place in the plan, from 0.
        kind: of ``name``.
        name: the file, or manifest and line, as the report names it.
        text: the manifest's line.
    """

    number: int
    kind: Kind
    name: str
    text: bytes = b""


class Plan(Protocol):
    """All tasks of a source.

    Attributes:
        tree: where their files are.
        total: how many tasks there are.
        fingerprint: changes with the source.
        skipped: files that are nothing to import.
    """

    tree: Tree
    total: int
    fingerprint: str
    skipped: Sequence[str]

    def tasks(self, start: int) -> Iterator[Task]:
        """The tasks from number ``start`` on."""


def open_source(path: Path) -> Tree:
    """The tree of a folder, an archive, or of the folder of a manifest. Raises ValueError, OSError."""
    if path.is_dir() or not is_manifest(path):
        return open_tree(path)
    return FolderTree(path.parent)


def is_manifest(path: Path) -> bool:
    """Whether a file is a manifest and no archive."""
    with path.open("rb") as file:
        return not file.read(4).startswith(b"PK")


def make_plan(path: Path) -> Plan:
    """The plan of a source.

    Raises:
        ValueError: the archive or the manifest cannot be used.
        OSError: the source cannot be read.
    """
    tree = open_source(path)
    if path.is_dir() or not is_manifest(path):
        if MANIFEST not in tree.names_in(""):
            return FilesPlan(tree)
        return LinesPlan(tree, MANIFEST)
    return LinesPlan(tree, path.name)


class LinesPlan:
    """The lines of a manifest in their order; empty ones count but do nothing."""

    def __init__(self, tree: Tree, name: str) -> None:
        self.tree = tree
        self.skipped: Sequence[str] = ()
        self._name = name
        digest, self.total = hashlib.sha256(), 0
        for line in self._lines():
            digest.update(line + b"\n")
            self.total += 1
        self.fingerprint = digest.hexdigest()

    def tasks(self, start: int) -> Iterator[Task]:
        """The lines from number ``start`` on."""
        for number, line in enumerate(self._lines()):
            if number >= start:
                yield Task(number, Kind.LINE, f"{self._name}:{number + 1}", line)

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        try:
            for chunk in self.tree.chunks(self._name, _MANIFEST_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
                if len(rest) > _LINE_BYTES:
                    raise ValueError(f"{self._name}: a line has more than {_LINE_BYTES} octets")
        except Unreadable as error:
            raise ValueError(f"{self._name} {error}") from None
        if rest:
            yield rest


class FilesPlan:
    """The files of a tree: metadata with their documents, and CDA documents that have none beside them.

    Metadata come in the order of their submissionTime, documents that replace others after those, so that
    what is replaced is there when its replacement comes.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.fingerprint = tree.fingerprint()
        metadata: list[tuple[bytes, str]] = []
        documents: list[tuple[int, str]] = []
        others: list[str] = []
        for name in tree.names():
            head = _head(tree, name)
            if _METADATA.search(head, 0, _ROOT):
                submitted = _SUBMITTED.search(head)
                metadata.append((submitted[1] if submitted else b"", name))
            elif _CDA.search(head, 0, _ROOT):
                documents.append((_version(head), name))
            else:
                others.append(name)
        with_metadata = {_folder(name) for _, name in metadata}
        self._order = [(Kind.METADATA, name) for _, name in sorted(metadata)]
        self._order += ((Kind.DOCUMENT, n) for _, n in sorted(documents) if _folder(n) not in with_metadata)
        self.skipped: Sequence[str] = [name for name in others if _folder(name) not in with_metadata]
        self.total = len(self._order)

    def tasks(self, start: int) -> Iterator[Task]:
        """The files from number ``start`` on."""
        for number in range(start, self.total):
            yield Task(number, *self._order[number])


def _head(tree: Tree, name: str) -> bytes:
    """The beginning of a file; of one that cannot be read, nothing."""
    try:
        head = tree.head(name, _HEAD)
    except Unreadable:
        return b""
    encoding = UTF16.get(head[:2])
    return head.decode(encoding, "replace").encode() if encoding else head


def _version(head: bytes) -> int:
    """0 for a document that replaces none, else its version."""
    if not _REPLACES.search(head):
        return 0
    version = _VERSION.search(head)
    return int(version[1]) if version else 1


def _folder(name: str) -> str:
    return name.rpartition("/")[0]
