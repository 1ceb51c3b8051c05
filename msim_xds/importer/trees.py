"""Folders and ZIP archives as trees of named files; of an archive only what is asked for is unpacked."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, Final, Protocol

_CHUNK: Final = 1 << 20
_FOLDERS: Final = 256  # whose resolved paths are remembered
#: Deflate reaches 1032:1 on zeros; documents that are worth keeping stay far below this.
_MOST_RATIO: Final = 200
_SMALL: Final = 1 << 20
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_LOCAL_HEADER: Final = 30  # octets in front of a member's name (APPNOTE 4.3.7)
_ENCRYPTED: Final = 0x41  # traditional and strong encryption (APPNOTE 4.4.4)


class Unreadable(Exception):
    """A file of the source cannot be taken; the text says why."""


class Tree(Protocol):
    """Files below a folder or in an archive, by names that are relative, with ``/`` between their parts."""

    def names(self) -> Iterator[str]:
        """Every file, in an order that stays the same."""

    def names_in(self, folder: str) -> list[str]:
        """Names of the files that stand in a folder, without its own; empty is the top."""

    def chunks(self, name: str, limit: int) -> Iterator[bytes]:
        """The octets of a file. Raises Unreadable: absent, outside, damaged, or over ``limit`` octets."""

    def head(self, name: str, octets: int) -> bytes:
        """Its first octets. Raises Unreadable."""

    def modified(self, name: str) -> datetime:
        """When it was last changed, UTC. Raises Unreadable."""

    def fingerprint(self) -> str:
        """Changes when files come, go or grow."""

    def close(self) -> None:
        """Give back what is open."""


def open_tree(path: Path) -> Tree:
    """The tree of a directory or a ZIP archive.

    Raises:
        ValueError: the archive is damaged, or made to mislead.
        OSError: it cannot be read.
    """
    return FolderTree(path) if path.is_dir() else ZipTree(path)


def read(tree: Tree, name: str, limit: int) -> bytes:
    """A whole file of at most ``limit`` octets. Raises Unreadable."""
    return b"".join(tree.chunks(name, limit))


def proper(name: str) -> str:
    """``name`` without needless parts. Raises Unreadable for what leads elsewhere."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise Unreadable("is no relative path that stays inside the source")
    return "/".join(parts)


class FolderTree:
    """A directory; symbolic links count as far as they stay inside it."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root)
        self._resolved = lru_cache(_FOLDERS)(self._resolve)

    def names(self) -> Iterator[str]:
        """Every file, folder by folder."""
        for folder, folders, files in os.walk(self._root):
            folders.sort()
            below = os.path.relpath(folder, self._root)
            for name in sorted(files):
                yield name if below == "." else f"{below.replace(os.sep, '/')}/{name}"

    def names_in(self, folder: str) -> list[str]:
        """Names of the files in a folder."""
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._path(folder)) as found:
            return [entry.name for entry in found if entry.is_file()]
        return []

    def chunks(self, name: str, limit: int) -> Iterator[bytes]:
        """The octets of a file. Raises Unreadable."""
        try:
            with self._open(name) as file:
                yield from _bounded(file, limit)
        except OSError as error:
            raise Unreadable(_reason(error)) from error

    def head(self, name: str, octets: int) -> bytes:
        """Its first octets. Raises Unreadable."""
        try:
            with self._open(name) as file:
                return file.read(octets)
        except OSError as error:
            raise Unreadable(_reason(error)) from error

    def modified(self, name: str) -> datetime:
        """When it was last changed. Raises Unreadable."""
        try:
            return datetime.fromtimestamp(os.stat(self._path(name)).st_mtime, UTC)
        except OSError as error:
            raise Unreadable(_reason(error)) from error

    def fingerprint(self) -> str:
        """Over names and sizes."""
        digest = hashlib.sha256()
        for name in self.names():
            size = os.lstat(f"{self._root}/{name}").st_size
            digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def close(self) -> None:
        """Nothing stays open."""

    def _path(self, name: str) -> str:
        """Where a file stands, links followed; those of the folders are remembered."""
        folder, _, own = (proper(name) if name else "").rpartition("/")
        path = f"{self._resolved(folder)}/{own}"
        return self._inside(path) if os.path.islink(path) else path

    def _resolve(self, folder: str) -> str:
        return self._inside(f"{self._root}/{folder}") if folder else self._root

    def _inside(self, path: str) -> str:
        resolved = os.path.realpath(path)
        if not resolved.startswith(self._root.rstrip("/") + "/"):
            raise Unreadable("is a link that leads out of the source")
        return resolved

    def _open(self, name: str) -> IO[bytes]:
        """The file; a pipe or device in its place neither blocks nor is read."""
        fd = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise Unreadable("is no regular file")
        return os.fdopen(fd, "rb", buffering=0)


class ZipTree:
    """A ZIP archive.

    Raises:
        ValueError: it is none, is damaged, or its members overlap (a bomb's trick) or share a name.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, UnicodeError) as error:
            raise ValueError(f"{path}: no ZIP archive that can be read: {error}") from error
        members = [info for info in self._zip.infolist() if not info.is_dir()]
        self._members = {info.filename: info for info in members}
        self._folders: dict[str, list[str]] = {}
        for name in self._members:
            folder, _, own = name.rpartition("/")
            self._folders.setdefault(folder, []).append(own)
        problem = "has two members of one name" if len(self._members) < len(members) else _overlap(members)
        if problem:
            self._zip.close()
            raise ValueError(f"{path}: {problem}")

    def names(self) -> Iterator[str]:
        """Every file, by name."""
        yield from sorted(self._members)

    def names_in(self, folder: str) -> list[str]:
        """Names of the files in a folder."""
        return self._folders.get(folder, [])

    def chunks(self, name: str, limit: int) -> Iterator[bytes]:
        """The octets of a member, its CRC checked at the end. Raises Unreadable."""
        with _zip_errors(), self._zip.open(self._acceptable(name)) as file:
            yield from _bounded(file, limit)

    def head(self, name: str, octets: int) -> bytes:
        """Its first octets. Raises Unreadable."""
        with _zip_errors(), self._zip.open(self._acceptable(name)) as file:
            return file.read(octets)

    def modified(self, name: str) -> datetime:
        """What the archive says; its times have no zone and are taken as UTC. Raises Unreadable."""
        try:
            return datetime(*self._acceptable(name).date_time, tzinfo=UTC)
        except ValueError as error:
            raise Unreadable("has no proper time in the archive") from error

    def fingerprint(self) -> str:
        """Over names, sizes and CRCs."""
        digest = hashlib.sha256()
        for name in self.names():
            info = self._members[name]
            digest.update(f"{name}\0{info.file_size}\0{info.CRC}\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def close(self) -> None:
        """Close the archive."""
        self._zip.close()

    def _acceptable(self, name: str) -> zipfile.ZipInfo:
        info = self._members.get(proper(name))
        if info is None:
            raise Unreadable("is not in the archive")
        problem = _objection(info)
        if problem:
            raise Unreadable(problem)
        return info


def _objection(info: zipfile.ZipInfo) -> str:
    """Why a member is not read; empty where nothing speaks against it."""
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in _METHODS:
        return "is compressed by another method than deflate"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a symbolic link"
    if info.file_size > max(_SMALL, info.compress_size * _MOST_RATIO):
        return f"unpacks to more than {_MOST_RATIO} times its size"
    return ""


def _overlap(members: list[zipfile.ZipInfo]) -> str:
    end = 0
    for info in sorted(members, key=lambda info: info.header_offset):
        if info.header_offset < end:
            return "members overlap"
        end = info.header_offset + _LOCAL_HEADER + len(info.filename) + info.compress_size
    return ""


@contextmanager
def _zip_errors() -> Iterator[None]:
    """Raises Unreadable for all that zipfile raises of a damaged member."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise Unreadable(f"is damaged in the archive: {error}") from error


def _bounded(file: IO[bytes], limit: int) -> Iterator[bytes]:
    """The rest of ``file``, as long as it keeps to ``limit``: headers are not trusted."""
    size = 0
    while chunk := file.read(_CHUNK):
        size += len(chunk)
        if size > limit:
            raise Unreadable(f"has more than {limit} octets")
        yield chunk


def _reason(error: OSError) -> str:
    return "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
