"""Settings of the asynchronous exchange; a section of ``settings``, kept apart for its length."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

_MIB: Final = 1 << 20
#: A host in a list of allowed ones, with a port or without.
_HOST = r"^(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z]([0-9A-Za-z._-]*[0-9A-Za-z])?)(:[0-9]{1,5})?$"


class DeliverySettings(BaseModel):
    """Asynchronous Web Services Exchange: answers sent to wsa:ReplyTo."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    reply_hosts: tuple[Annotated[str, Field(pattern=_HOST)], ...] = Field(
        (),
        description="Hosts that answers may go to: `host` with any port, `host:port`, IPv6 in brackets, "
        "names beyond ASCII in punycode. Empty refuses every ReplyTo that is not anonymous.",
    )
    queue: int = Field(10000, ge=1, description="Most answers waiting; further asynchronous requests fault.")
    queue_bytes: int = Field(256 * _MIB, ge=65536, description="Most octets of answers and requests waiting.")
    senders: int = Field(
        4, ge=1, description="Answers sent at a time by each worker, one at a time to each host."
    )
    attempts: int = Field(12, ge=1, description="Attempts until an answer is given up.")
    first_pause_s: float = Field(1.0, gt=0, description="Pause after the first failed attempt; it doubles.")
    longest_pause_s: float = Field(900.0, gt=0, description="Longest pause between attempts.")
    timeout_s: float = Field(30.0, gt=0, description="Longest silence of the receiver of an answer.")
    lease_s: float = Field(
        60.0,
        gt=0,
        description="Time after which the work of a server process that has died is taken over by another.",
    )
    ca_file: Path | None = Field(None, description="PEM file of authorities trusted for https addresses.")
    certificate: Path | None = Field(None, description="PEM file with our client certificate and key.")
