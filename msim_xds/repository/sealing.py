"""Documents encrypted at rest: envelope encryption with AES-256-GCM, in frames, so that they stream.

    blob   = header frame+
    header = "MSIMSEA1", id of the wrapping key (8 octets), the blob's own key wrapped by it (40, RFC 3394)
    frame  = up to 256 KiB of the document, encrypted, and a tag of 16 octets

A blob's key is random and used for it alone, so a frame's number can be its nonce; the last frame's nonce
says that it is the last. Frames can therefore be neither moved nor cut off unnoticed. A sealed blob is always
longer than its document: whoever knows the document's size can tell the two apart.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from msim_xds.repository.blobs import CorruptDocument
from msim_xds.repository.keyring import KEY_OCTETS, Key, KeyRing, UnknownKey

_MAGIC: Final = b"MSIMSEA1"
_ID: Final = slice(len(_MAGIC), len(_MAGIC) + 8)
HEADER: Final = len(_MAGIC) + 8 + KEY_OCTETS + 8
"""Octets before the first frame."""
_TAG: Final = 16
_FRAME: Final = 256 * 1024


class Sealer:
    """Encrypts one document while it arrives."""

    def __init__(self, key: Key) -> None:
        secret = os.urandom(KEY_OCTETS)
        self._cipher = AESGCM(secret)
        self._number = 0
        self._rest = bytearray()
        self.header: Final = _MAGIC + bytes.fromhex(key.id) + aes_key_wrap(key.secret, secret)

    def update(self, data: bytes) -> bytes:
        """The frames that are full by now; one that may be the last waits."""
        self._rest += data
        frames = bytearray()
        while len(self._rest) > _FRAME:
            frames += self._frame(bytes(self._rest[:_FRAME]), last=False)
            del self._rest[:_FRAME]
        return bytes(frames)

    def finish(self) -> bytes:
        """The last frame."""
        return self._frame(bytes(self._rest), last=True)

    def _frame(self, octets: bytes, *, last: bool) -> bytes:
        frame = self._cipher.encrypt(_nonce(self._number, last=last), octets, None)
        self._number += 1
        return frame


def sealed_size(size: int) -> int:
    """Octets of a sealed blob whose document has ``size``."""
    frames = max(1, -(-size // _FRAME))
    return HEADER + size + frames * _TAG


def key_id(header: bytes) -> str:
    """The id of the key that a blob's header names."""
    return header[_ID].hex()


def opened(chunks: Iterable[bytes], ring: KeyRing, name: str) -> Iterator[bytes]:
    """The document in a sealed blob, in chunks of up to 256 KiB, each of them authentic.

    Args:
        chunks: the blob, cut anyhow.
        ring: has its key.
        name: of the blob, for messages.

    Raises:
        CorruptDocument: it was changed or cut off, or its key is unknown.
    """
    blocks = _blocks(chunks)
    cipher = AESGCM(_unwrapped(next(blocks, b""), ring, name))
    frame = next(blocks, b"")
    number = 0
    while True:
        following = next(blocks, None)
        try:
            octets = cipher.decrypt(_nonce(number, last=following is None), frame, None)
        except InvalidTag:
            raise CorruptDocument(f"blob {name} is not as it was encrypted, in frame {number}") from None
        if octets:
            yield octets
        if following is None:
            return
        frame = following
        number += 1


def _unwrapped(header: bytes, ring: KeyRing, name: str) -> bytes:
    if len(header) < HEADER or not header.startswith(_MAGIC):
        raise CorruptDocument(f"blob {name} is not an encrypted one, nor as long as its document")
    try:
        return aes_key_unwrap(ring.key(key_id(header)).secret, header[_ID.stop :])
    except UnknownKey as error:
        raise CorruptDocument(f"blob {name} cannot be decrypted: {error}") from None
    except InvalidUnwrap:
        raise CorruptDocument(f"blob {name} has a damaged key") from None


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Header and frames; what is left at the end is the last frame."""
    buffer = bytearray()
    wanted = HEADER
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= wanted:
            yield bytes(buffer[:wanted])
            del buffer[:wanted]
            wanted = _FRAME + _TAG
    if buffer:
        yield bytes(buffer)


def _nonce(number: int, *, last: bool) -> bytes:
    return (number << 1 | last).to_bytes(12, "big")
