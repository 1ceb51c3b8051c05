"""A file of this machine as a submission; ``importer.publication`` settles its metadata."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime
from pathlib import Path

from msim_xds.cli.failures import Failure
from msim_xds.importer.publication import (
    HEADER_BYTES,
    Examined,
    NoPatient,
    Publication,
    Wishes,
    header_of,
    publication,
)

__all__ = ["FreshIds", "Publication", "Wishes", "prepare"]


class FreshIds:
    """Ids that nothing else has, and this moment."""

    def uuid(self, role: str) -> str:
        """A new one each time."""
        return f"urn:uuid:{uuid.uuid4()}"

    def oid(self, role: str) -> str:
        """A new one each time."""
        return f"2.25.{uuid.uuid4().int}"

    def time(self) -> str:
        """This moment."""
        return datetime.now(UTC).strftime("%Y%m%d%H%M%S")


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
