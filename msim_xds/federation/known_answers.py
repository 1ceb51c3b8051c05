"""What was read in answers that came before, word for word the same.

Who looks at a patient asks again, and so do others, and the communities mostly say the same again. Reading it
anew, as a tree of which each object is written out once more, costs more than all the rest of the exchange.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from msim_xds.federation.community import FoundObjects

_BODY: Final = b"Body"
_NEW_EACH_TIME: Final = re.compile(rb"((?:MessageID|RelatesTo)(?:\s[^<>]*)?>)[^<&]*")


class KnownAnswers:
    """The last answers of one partner to queries; safe to share between threads.

    Two answers are the same if nothing differs but the text of ``wsa:MessageID`` and ``wsa:RelatesTo``, of
    which nothing is read. They are told apart by their SHA-256.

    Args:
        room: the answers that are kept have so many octets at most, all together; the one that has not come
            again for the longest time goes first. 0 keeps none.
    """

    def __init__(self, room: int) -> None:
        self._room: Final = room
        self._free = room
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, tuple[FoundObjects, int]] = OrderedDict()

    def read(self, root: bytes, reader: Callable[[bytes], FoundObjects]) -> FoundObjects:
        """What ``reader`` reads in an answer, or has read when it came before.

        Args:
            root: its envelope.
            reader: what it raises is raised, and not kept.
        """
        digest = _digest(root)
        with self._lock:
            if digest in self._kept:
                self._kept.move_to_end(digest)
                return self._kept[digest][0]
        found = reader(root)
        if len(root) <= self._room:
            self._keep(digest, found, len(root))
        return found

    def _keep(self, digest: bytes, found: FoundObjects, size: int) -> None:
        with self._lock:
            if digest in self._kept:  # it came twice at a time
                return
            self._kept[digest] = found, size
            self._free -= size
            while self._free < 0:
                _, (_, freed) = self._kept.popitem(last=False)
                self._free += freed


def _digest(root: bytes) -> bytes:
    """Of all that tells an answer from another; what stands before its Body is short."""
    body = max(root.find(_BODY), 0)
    digest = hashlib.sha256(_NEW_EACH_TIME.sub(rb"\1", root[:body]))
    digest.update(memoryview(root)[body:])
    return digest.digest()
