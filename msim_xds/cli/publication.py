"""A file of this machine as a submission; ``importer.publication`` settles its metadata."""

from __future__ import annotations

import hashlib
from pathlib import Path

from msim_xds.cli.failures import Failure
from msim_xds.importer.publication import (
    HEADER_BYTES,
    Examined,
    FreshIds,
    NoPatient,
    Publication,
    Wishes,
    header_of,
    publication,
)

__all__ = ["Publication", "Wishes", "prepare"]


def prepare(path: Path, wishes: Wishes) -> Publication:
    """Read a file's header and settle its metadata.

    Raises:
        Failure: the file cannot be read, or nothing says whose it is.
    """
    try:
        return publication(path, _examine(path), wishes, FreshIds())
    except NoPatient as error:
        raise Failure(f"{path}: {error}; give --patient 'ID^^^&OID&ISO'") from None


def _examine(path: Path) -> Examined:
    sha1, size = hashlib.sha1(usedforsecurity=False), 0
    head = bytearray()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                sha1.update(chunk)
                size += len(chunk)
                if size <= HEADER_BYTES:
                    head += chunk
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None
    return Examined(sha1.hexdigest(), size, header_of(bytes(head)) if size <= HEADER_BYTES else None)
