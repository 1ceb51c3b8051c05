"""Settings of the audit trail; a section of ``settings``, kept apart for its length."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Final, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: Host as a name, an IPv4 address, or IPv6 in brackets; a port or none.
_URL = r"^(tls|udp)://(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z]([0-9A-Za-z._-]*[0-9A-Za-z])?)(:[0-9]{1,5})?$"
#: Ports that are registered for syslog (RFC 5425 4.1, RFC 5426 3.3).
_PORTS: Final = {"tls": 6514, "udp": 514}


class Address(NamedTuple):
    """Where an Audit Record Repository listens; ``scheme`` is tls or udp."""

    scheme: str
    host: str
    port: int


class Confirmation(StrEnum):
    """What a TLS receiver does when it has read everything."""

    CLOSE_NOTIFY = "close_notify"
    EOF = "eof"


class WhenFull(StrEnum):
    """What a backlog over its bound does to requests."""

    KEEP = "keep"
    REFUSE = "refuse"


class AuditRepositorySettings(BaseModel):
    """One Audit Record Repository to which records are sent."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        min_length=1,
        description="Its name here, under which is kept how far it has been told; never reuse one.",
    )
    url: str = Field(pattern=_URL, description="`tls://host[:6514]` or `udp://host[:514]`.")
    ca_file: Path | None = Field(
        None,
        description="PEM file of authorities, or of the very certificate, that is trusted; TLS needs it.",
    )
    certificate: Path | None = Field(None, description="PEM file of our certificate, for mutual TLS.")
    key: Path | None = Field(None, description="PEM file of its private key, if it is not in `certificate`.")
    server_name: str = Field("", description="Name that its certificate must bear; empty is the host.")
    check_name: bool = Field(
        True, description="Whether its certificate must bear that name; the framework demands trust only."
    )
    confirmation: Confirmation = Field(
        Confirmation.CLOSE_NOTIFY,
        description="What proves that records have arrived: the answer to our close_notify, or any orderly "
        "end of the connection, for receivers that do not give that answer.",
    )
    message_bytes: int | None = Field(
        None,
        ge=2048,
        description="Longest message, in octets; of a longer one queries are left out. Default: 65479 by "
        "UDP, any length by TLS.",
    )
    sequence_ids: bool = Field(
        False, description='Write `[meta sequenceId="…"]`, a record\'s position, as structured data.'
    )

    @property
    def address(self) -> Address:
        """The parts of ``url``."""
        parts = urlsplit(self.url)
        return Address(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        address = self.address  # a port over 65535 is a ValueError
        if address.scheme == "tls" and self.ca_file is None:
            raise ValueError("a tls:// url needs ca_file: whom to trust")
        if self.key is not None and self.certificate is None:
            raise ValueError("key without certificate")
        return self


class AuditSettings(BaseModel):
    """The audit trail of ITI-20, kept in the database and sent on ([more](audit.md))."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(False, description="Record who did what with whose documents. Off by default.")
    source_id: str = Field(
        "msim-xds", min_length=1, description="AuditSourceID: this system, by a name of its own."
    )
    site: str = Field(
        "", description="AuditEnterpriseSiteID: the organization or place; empty leaves it out."
    )
    key_file: Path | None = Field(
        None,
        description="File with the secret of the trail's seals, 32 octets or more, the same for all servers "
        "of one database; empty is `audit.key` in the data directory. It is made when it is absent.",
    )
    repositories: tuple[AuditRepositorySettings, ...] = Field(
        (), description="Audit Record Repositories to which every record is sent ([keys](audit.md#sending))."
    )
    timeout_s: float = Field(10.0, gt=0, description="Longest silence of an Audit Record Repository.")
    first_pause_s: float = Field(1.0, gt=0, description="Pause after the first failed attempt; it doubles.")
    longest_pause_s: float = Field(60.0, gt=0, description="Longest pause between attempts.")
    backlog: int = Field(
        1_000_000, ge=1, description="Records that may wait for sealing or for the slowest repository."
    )
    when_full: WhenFull = Field(
        WhenFull.KEEP,
        description="What happens when more wait: keep goes on, with `/health` and log telling of it; refuse "
        "answers every request with the Busy code of its transaction.",
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        twice = [name for name, n in Counter(each.name for each in self.repositories).items() if n > 1]
        if twice:
            raise ValueError(f"repositories: two have the name {twice[0]!r}")
        return self

    def key_in(self, data: Path) -> Path:
        """The file in force with the secret of the seals."""
        return self.key_file or data / "audit.key"
