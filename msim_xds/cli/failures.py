"""What a person is told when a command cannot do its work: one or a few lines, what is wrong and what to do.

Exit codes: 0 done; 1 the answer is no (refused, findings, damage); 2 it could not be tried (usage, settings,
no connection). ``verify-signature`` has one of its own.
"""

from __future__ import annotations

from typing import Final

REFUSED: Final = 1
IMPOSSIBLE: Final = 2


class Failure(Exception):
    """Ends the command with a message for people."""

    def __init__(self, message: str, exit_code: int = IMPOSSIBLE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def explain(error: Exception) -> Failure | None:
    """The failure that an exception from below stands for; None for what nobody expects.

    Imported and called only when something has gone wrong, so that commands start fast.
    """
    from pydantic import ValidationError

    from msim_xds.database.engine import SchemaMismatch
    from msim_xds.federation.answers import RemoteFault, RemoteUnavailable
    from msim_xds.federation.transport import UnreadableDocument
    from msim_xds.mistakes import told

    if isinstance(error, Failure):
        return error
    if isinstance(error, ValidationError):
        lines = [f"{'.'.join(map(str, each['loc'])) or 'settings'}: {told(each)}" for each in error.errors()]
        return Failure("\n".join(["These settings are wrong (`msim-xds settings` lists all):", *lines]))
    if isinstance(error, RemoteFault):
        return Failure(str(error), REFUSED)
    if isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError) and error.filename:
        return Failure(f"{error.filename}: {error.strerror}")
    if isinstance(error, RemoteUnavailable | SchemaMismatch | UnreadableDocument | OSError | ValueError):
        return Failure(str(error))
    return None
