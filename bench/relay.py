"""The least that can stand between a client and a server: octets one way and the other, of which nothing is read.

``python -m bench.relay TARGET`` listens on a free port, prints it, and connects to port TARGET of this machine.
"""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress
from typing import Final

_OCTETS: Final = 512 << 10


def serve(target: int) -> None:
    """Relay connections, each in two threads, until the process is ended."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", target))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    buffer = memoryview(bytearray(_OCTETS))
    with suppress(OSError):  # one of them has gone
        while count := source.recv_into(buffer):
            sink.sendall(buffer[:count])
    with suppress(OSError):  # the other half may have ended both
        sink.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
