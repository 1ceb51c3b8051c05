"""What operators do by commands on this machine, past HTTP.

Its records are those of the transaction by whose rules a command works, so that a patient's history is
whole. Their Source is the command's process, their requestor the operating system's account that runs it.
"""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

from msim_xds.audit.message import Network, Participant
from msim_xds.audit.records import Scene, records
from msim_xds.audit.trail import Trail, Witness, entry_of
from msim_xds.findings import Finding
from msim_xds.ihe.audit import AUDIT_ROWS
from msim_xds.ihe.names import ResponseStatus
from msim_xds.wire.exchange import Concerns


class Operator(NamedTuple):
    """Who runs which command, such as ``msim-xds remove``, where."""

    account: str
    host: str
    command: str

    @classmethod
    def of_process(cls, command: str) -> Self:
        """Of the process at hand; its account is the one it has, whatever the environment says."""
        uid = os.getuid()
        try:
            account = pwd.getpwuid(uid).pw_name
        except KeyError:  # a user without a name, as in a container
            account = f"uid {uid}"
        return cls(account, socket.gethostname(), command)

    @property
    def name(self) -> str:
        """For people."""
        return f"operator {self.account} on {self.host}"

    def person(self) -> Participant:
        """The account."""
        return Participant(user_id=f"{self.account}@{self.host}", user_name=self.name, is_requestor=True)

    def process(self) -> Participant:
        """The command's process."""
        return Participant(
            user_id=self.command,
            is_requestor=False,
            alternative_user_id=str(os.getpid()),
            network=(self.host, Network.NAME),
        )


class Deed(NamedTuple):
    """Something that a command has done, or that was refused: whom and what it is about, and the outcome."""

    concerns: Concerns
    status: ResponseStatus = ResponseStatus.SUCCESS
    findings: Sequence[Finding] = ()


class Ledger:
    """Records what one command does.

    Args:
        trail: where.
        operator: who runs it.
    """

    def __init__(self, trail: Trail, operator: Operator) -> None:
        self._trail = trail
        self._operator = operator

    def witness(self, name: str, concerns: Concerns) -> Witness:
        """Of one deed by the rules of transaction ``name``, a key of ``AUDIT_ROWS``."""
        return Witness(self._trail, AUDIT_ROWS[name], self._scene, Deed(concerns))

    def add(self, connection: Any, name: str, deeds: Iterable[Deed]) -> None:  # noqa: ANN401 - as of Recorder
        """Record many in the write transaction that does them, in one statement."""
        row, scene = AUDIT_ROWS[name], self._scene()
        entries = [entry_of(each) for deed in deeds for each in records(row, scene, *deed)]
        if entries:
            self._trail.outbox.add(connection, entries)

    def _scene(self) -> Scene:
        return self._trail.scene_here(self._operator.process(), self._operator.person())
