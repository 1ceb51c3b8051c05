"""The table of registered systems: a TOML file, read with every mistake named by file, table and rule."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple, Self

import structlog
from cryptography import x509
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from structlog.typing import FilteringBoundLogger

from msim_xds.ihe.transactions import TRANSACTIONS
from msim_xds.metadata.institution import institution
from msim_xds.mistakes import told
from msim_xds.security.systems.identity import (
    FINGERPRINT,
    SAN_KINDS,
    SUBJECT,
    Mark,
    alternative,
    marks,
    read,
    spelt,
)
from msim_xds.wire.exchange import System, SystemKind

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_log: FilteringBoundLogger = structlog.get_logger()

_HEADER: Final = re.compile(r"^\s*\[\s*systems\s*\.\s*(?:\"([^\"]*)\"|'([^']*)'|([\w-]+))\s*\]", re.ASCII)
_DIGITS: Final = 64  # of a SHA-256
_NAME_CHARS: Final = 100
_REMEMBERED: Final = 4096


class UnusableSystems(ValueError):
    """The table of systems cannot be used."""


class Limits(NamedTuple):
    """What is allowed of one system's requests in one process; None is unlimited.

    Attributes:
        requests_per_s: in the long run.
        burst: at once; None is as many as in one second.
        concurrent: at a time.
    """

    requests_per_s: float | None = None
    burst: int | None = None
    concurrent: int | None = None


NO_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Registered:
    """One row: the system, what its certificates are recognised by, and its limits."""

    system: System
    marks: tuple[Mark, ...]
    limits: Limits = NO_LIMITS


class Systems:
    """The registered systems, by certificate. Immutable; safe to share between threads.

    Args:
        rows: the systems; no two have the same name or mark.
    """

    def __init__(self, rows: tuple[Registered, ...]) -> None:
        self.rows = rows
        self.by_name: Mapping[str, Registered] = MappingProxyType({row.system.name: row for row in rows})
        self._by_mark = {mark: row for row in rows for mark in row.marks}
        self.find = lru_cache(_REMEMBERED)(self._find)

    def of(self, certificate: x509.Certificate) -> Registered | None:
        """Whose certificate it is; None where it is nobody's, or two systems claim it by different names."""
        found = {row.system.name: row for mark in marks(certificate) if (row := self._by_mark.get(mark))}
        return next(iter(found.values())) if len(found) == 1 else None

    def _find(self, certificate: str) -> Registered | None:
        """``of`` for a certificate as it comes with a request; empty and unreadable ones are nobody's."""
        try:
            return self.of(read(certificate)) if certificate else None
        except ValueError:
            return None


def load(path: Path, limits: Limits = NO_LIMITS) -> Systems:
    """Read the table.

    Args:
        path: the file.
        limits: of systems that have none of their own.

    Raises:
        UnusableSystems: what is wrong: file, line, table, rule.
    """
    try:
        text = path.read_text("utf-8")
        tables = _File(**tomllib.loads(text)).systems
    except OSError as error:
        raise UnusableSystems(f"access.systems: {path}: {error.strerror}") from None
    except ValidationError as error:
        raise UnusableSystems("\n".join(_told(path, text, each) for each in error.errors())) from None
    except ValueError as error:  # no TOML, or not UTF-8
        raise UnusableSystems(f"access.systems: {path}: {error}") from None
    rows = tuple(table.registered(name, limits) for name, table in tables.items())
    _check_unique(path, text, rows)
    return Systems(rows)


def _normalised_fingerprint(value: object) -> object:
    return re.sub(r"[:\s]", "", value).lower() if isinstance(value, str) else value


def _distinguished_name(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return spelt(x509.Name.from_rfc4514_string(value))
    except ValueError:
        raise ValueError(f"{value!r} is no distinguished name, such as CN=his,O=Szpital (RFC 4514)") from None


_Name = Annotated[str, BeforeValidator(_distinguished_name)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Certificate(_Table):
    sha256: Annotated[str, BeforeValidator(_normalised_fingerprint)] | None = Field(
        None, pattern=rf"^[0-9a-f]{{{_DIGITS}}}$"
    )
    subject: _Name | None = None
    san: str | None = None
    issuer: _Name | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in ("sha256", "subject", "san") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("give exactly one of sha256, subject, san")
        if (self.issuer is None) is not (self.sha256 is not None):
            raise ValueError("subject and san need issuer, sha256 stands alone")
        kind, found, value = (self.san or "").partition(":")
        if self.san and not (found and value and kind in SAN_KINDS):
            raise ValueError(f"san is {', '.join(f'{each}:…' for each in SAN_KINDS)}")
        return self

    def mark(self) -> Mark:
        if self.sha256:
            return Mark(FINGERPRINT, self.sha256)
        if self.subject:
            return Mark(SUBJECT, self.subject, self.issuer or "")
        kind, _, value = (self.san or "").partition(":")
        return Mark(kind, alternative(kind, value), self.issuer or "")


class _Limits(_Table):
    requests_per_s: float | None = Field(None, gt=0)
    burst: int | None = Field(None, ge=1)
    concurrent: int | None = Field(None, ge=1)


_Ids = Annotated[frozenset[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


class _System(_Table):
    kind: SystemKind
    certificates: tuple[_Certificate, ...] = Field(min_length=1)
    transactions: _Ids | None = None
    repositories: _Ids | None = None
    source_ids: _Ids | None = None
    institutions: _Ids | None = None
    limits: _Limits = _Limits()

    @model_validator(mode="after")
    def _known_transactions(self) -> Self:
        unknown = sorted(name for name in self.transactions or () if not _rows(name))
        if unknown:
            known = ", ".join(dict.fromkeys(row.name.split()[0] for row in TRANSACTIONS))
            raise ValueError(f"transactions: {', '.join(unknown)} unknown; allowed: {known}")
        return self

    def registered(self, name: str, limits: Limits) -> Registered:
        transactions, institutions = self.transactions, self.institutions
        system = System(
            name,
            self.kind,
            None if transactions is None else frozenset(row for each in transactions for row in _rows(each)),
            self.repositories,
            self.source_ids,
            None if institutions is None else frozenset(map(institution, institutions)),
        )
        own = self.limits.model_dump(exclude_none=True)
        if "requests_per_s" in own and "burst" not in own:
            own["burst"] = None
        return Registered(system, tuple(each.mark() for each in self.certificates), limits._replace(**own))


class _File(_Table):
    systems: dict[Annotated[str, Field(min_length=1, max_length=_NAME_CHARS)], _System] = Field(min_length=1)


def _rows(name: str) -> list[str]:
    """The rows of a transaction: ITI-44 is three, and each can be named alone."""
    return [row.name for row in TRANSACTIONS if name in (row.name, row.name.split()[0])]


def _told(path: Path, text: str, error: ErrorDetails) -> str:
    where, message = error["loc"], told(error)
    if len(where) < 2:
        return f"access.systems: {path}: {'.'.join(map(str, where)) or 'the file'}: {message}"
    inner = ".".join(str(part + 1) if isinstance(part, int) else part for part in where[2:])
    return f"{_place(path, text, str(where[1]))}{f' {inner}' if inner else ''}: {message}"


def _place(path: Path, text: str, name: str) -> str:
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header is not None and name in header.groups():
            return f"access.systems: {path}, line {number}: [systems.{name}]"
    return f"access.systems: {path}: [systems.{name}]"


def _check_unique(path: Path, text: str, rows: tuple[Registered, ...]) -> None:
    owners: dict[Mark, str] = {}
    for row in rows:
        for mark in row.marks:
            other = owners.setdefault(mark, row.system.name)
            if other != row.system.name:
                place = _place(path, text, row.system.name)
                raise UnusableSystems(
                    f"{place} certificates: {mark.kind} {mark.value} is that of [systems.{other}] as well"
                )
