"""Settings of the audit trail; a section of ``settings``, kept apart for its length."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field


class AuditSettings(BaseModel):
    """The audit trail of ITI-20, kept in the database ([more](audit.md))."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(
        False,
        description="Record who did what with whose documents. Off by default: records are kept and can be "
        "read here, but nothing sends them on to an Audit Record Repository yet.",
    )
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

    def key_in(self, data: Path) -> Path:
        """The file in force with the secret of the seals."""
        return self.key_file or data / "audit.key"
