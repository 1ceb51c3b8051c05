"""The ways of syslog messages to an Audit Record Repository (RFC 5425, RFC 5426; ITI TF-2 3.20.4.1.2)."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from msim_xds.audit_settings import Address, AuditRepositorySettings, Confirmation

#: Longest message that fits into one datagram over IPv4, with room for headers.
DATAGRAM_BYTES: Final = 65_479
_CHUNK: Final = 65_536
_DATAGRAMS: Final = 100  # at a time: there is no flow control, and receivers have buffers of some hundred kB

T = TypeVar("T")


class NotConfirmed(OSError):
    """Whether the messages have arrived is not known."""


class Channel(Protocol):
    """A way to a repository."""

    @property
    def most(self) -> int:
        """Messages that one ``send`` should carry at most."""

    def send(self, messages: Sequence[bytes]) -> None:
        """Send messages in order. Raises OSError unless, as far as can be known, they have arrived."""


@dataclass(frozen=True, slots=True)
class TlsChannel:
    """Syslog over TLS: each message behind its length in octets (RFC 5425 4.3).

    Syslog knows no acknowledgement, and what is in flight when a connection breaks is lost unseen. So a
    connection carries one batch and is closed by us: the receiver has to answer our close_notify with its own
    (RFC 5425 4.4), and that can only come after it has read all that came before. In TLS 1.3 it is also the
    first we learn of a receiver that does not accept our certificate.

    Attributes:
        address: where it listens.
        context: whom we trust, and who we are.
        server_name: name that its certificate must bear.
        confirmation: whether the end of the connection without a close_notify is enough.
        timeout_s: longest silence.
    """

    address: Address
    context: ssl.SSLContext
    server_name: str
    confirmation: Confirmation
    timeout_s: float
    most: int = 500

    def send(self, messages: Sequence[bytes]) -> None:
        """Send a batch and wait until the receiver has read it. Raises OSError."""
        _, host, port = self.address
        with socket.create_connection((host, port), self.timeout_s) as plain:
            connection = _Connection(plain, self.context, self.server_name)
            connection.write(b"".join(b"%d %b" % (len(each), each) for each in messages))
            try:
                connection.close()
            except ssl.SSLEOFError:
                if self.confirmation is not Confirmation.EOF:
                    raise NotConfirmed(
                        "the repository did not answer our close_notify (RFC 5425 4.4); for one that never "
                        'does there is confirmation = "eof"'
                    ) from None


class _Connection:
    """TLS over a socket whose two directions end one after the other.

    ``ssl.SSLSocket.unwrap`` ends both, and takes whatever comes behind our close_notify for the other end's:
    also the alert by which a receiver in TLS 1.3 says that it does not accept our certificate.
    """

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, server_name: str) -> None:
        """Carry out the handshake. Raises OSError."""
        self._plain = plain
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=server_name)
        self._until_done(self._tls.do_handshake)

    def write(self, octets: bytes) -> None:
        """Send octets. Raises OSError."""
        left = memoryview(octets)
        while left:
            left = left[self._tls.write(left) :]
        self._flush()

    def close(self) -> None:
        """Say that nothing more comes, and wait until the other side says so too.

        Raises:
            ssl.SSLEOFError: it ends without a word.
            OSError: it says something else, or nothing for too long.
        """
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        with suppress(ssl.SSLZeroReturnError):  # which is its close_notify
            while True:
                self._until_done(lambda: self._tls.read(_CHUNK))  # syslog receivers have nothing to say

    def _until_done(self, step: Callable[[], T]) -> T:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush()
                if octets := self._plain.recv(_CHUNK):
                    self._in.write(octets)
                else:
                    self._in.write_eof()
            else:
                self._flush()
                return done

    def _flush(self) -> None:
        self._plain.sendall(self._out.read())


@dataclass(frozen=True, slots=True)
class UdpChannel:
    """Syslog over UDP: a message is a datagram (RFC 5426). Nobody learns whether it arrives."""

    address: Address
    most: int = _DATAGRAMS

    def send(self, messages: Sequence[bytes]) -> None:
        """Send datagrams. Raises OSError where this machine or the receiver's says that nobody listens."""
        _, host, port = self.address
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as connection:
            connection.connect(address)  # so that an ICMP error comes back to this socket
            for each in messages:
                connection.send(each)
            error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))


def open_channel(settings: AuditRepositorySettings, timeout_s: float) -> Channel:
    """The way to a repository.

    Raises:
        ValueError: one of its files cannot be used; the message names repository and setting.
    """
    address = settings.address
    if address.scheme == "udp":
        return UdpChannel(address)
    name = settings.server_name or address.host
    return TlsChannel(address, _context(settings), name, settings.confirmation, timeout_s)


def _context(settings: AuditRepositorySettings) -> ssl.SSLContext:
    """Whom we trust, nobody else, and who we are (ITI TF-2 3.19.6.1)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a certificate may be trusted by itself
    context.check_hostname = settings.check_name
    try:
        context.load_verify_locations(settings.ca_file)
    except (OSError, ValueError) as error:
        raise ValueError(_unusable(settings, "ca_file", error)) from None
    if settings.certificate is not None:
        try:
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(settings.certificate, settings.key, password="")
        except (OSError, ValueError) as error:
            raise ValueError(_unusable(settings, "certificate", error)) from None
    return context


def _unusable(settings: AuditRepositorySettings, setting: str, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return f"audit.repositories {settings.name!r}: {setting} {getattr(settings, setting)}: {reason}"
