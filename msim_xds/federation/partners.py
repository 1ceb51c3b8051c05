"""Partner communities as data: TOML files, read at the start, each mistake named by file, table and key."""

from __future__ import annotations

import ssl
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from msim_xds.gateway_settings import HomeId
from msim_xds.mistakes import told
from msim_xds.settings import GIB, MIB

_MAPPING_BYTES = 64 * MIB


class UnusablePartner(ValueError):
    """A partner file cannot be used; the text says which, and where in it."""


class _Table(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class TlsTable(_Table):
    """Table ``tls``: files in PEM, relative to the partner file."""

    authorities: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class PatientTable(_Table):
    """Table ``patients``: which ids our patients have there.

    Attributes:
        shared: OIDs of assigning authorities whose ids are the same here and there, such as PESEL's.
        table: file of a TOML table, our CX to theirs; it goes before ``shared``.
        discovery_url: its ITI-55 for patients whom neither of these tells.
        remember_days: what it lets us remember of a discovery is remembered at most so long.
    """

    shared: tuple[str, ...] = ()
    table: Path | None = None
    discovery_url: Annotated[str, Field(pattern=r"^(https?://[^\s/]+.*)?$")] = ""
    remember_days: int = Field(7, ge=0, le=365)


class LimitTable(_Table):
    """Table ``limits``: bounds on one answer; ``known_bytes`` on those that are kept to be known again."""

    objects: int = Field(10_000, ge=1)
    query_bytes: int = Field(64 * MIB, ge=65536)
    document_bytes: int = Field(4 * GIB, ge=1)
    retrieve_bytes: int = Field(16 * GIB, ge=65536)
    known_bytes: int = Field(8 * MIB, ge=0)


class PartnerTable(_Table):
    """One ``[[community]]``.

    Attributes:
        name: for logs, errors and commands.
        homes: its homeCommunityIds; at least one.
        query_url, retrieve_url: its ITI-38 and ITI-39; the second is the first where it is absent.
        valid_from, valid_until: days on which it is asked, both included.
        deadline_s: longest wait for a query's answer, and until a retrieval's documents begin.
        connect_timeout_s, silence_s: longest wait for a connection, and between octets.
        transfer_s: longest time for all documents of a retrieval.
        connections: requests at a time.
        assertion: whether the caller's assertion goes along: never, where there is one, or not without.
        plain_http: whether ``http://`` is meant.
        home_in_every_query: whether a query by patient names the community as well.
        retrieve_form: the packaging of ITI-39 requests.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    homes: Annotated[tuple[HomeId, ...], Field(min_length=1)]
    query_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")]
    retrieve_url: Annotated[str, Field(pattern=r"^(https?://[^\s/]+.*)?$")] = ""
    valid_from: date | None = None
    valid_until: date | None = None
    deadline_s: float = Field(20.0, gt=0, le=600)
    connect_timeout_s: float = Field(5.0, gt=0)
    silence_s: float = Field(30.0, gt=0)
    transfer_s: float = Field(3600.0, gt=0)
    connections: int = Field(8, ge=1, le=256)
    assertion: Literal["never", "pass", "require"] = "pass"
    plain_http: bool = False
    home_in_every_query: bool = False
    retrieve_form: Literal["mtom", "plain"] = "mtom"
    tls: TlsTable = TlsTable()
    patients: PatientTable = PatientTable()
    limits: LimitTable = LimitTable()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, url in self.urls().items():
            if url.startswith("http://") and not self.plain_http:
                raise ValueError(f"{name}: is http://; say plain_http = true where that is meant")
        if (self.tls.certificate is None) != (self.tls.key is None):
            raise ValueError("tls: certificate and key go together")
        if self.valid_from and self.valid_until and self.valid_from > self.valid_until:
            raise ValueError("valid_until: is before valid_from")
        patients = self.patients
        if not patients.shared and patients.table is None and not patients.discovery_url:
            raise ValueError(
                "patients: shared, table or discovery_url must say which ids our patients have there"
            )
        return self

    def urls(self) -> dict[str, str]:
        """Its URLs by the key that gives them; empty ones are not used."""
        return {
            "query_url": self.query_url,
            "retrieve_url": self.retrieve_url,
            "patients.discovery_url": self.patients.discovery_url,
        }

    def is_valid(self, today: date) -> bool:
        """Whether it is to be asked on that day."""
        since, until = self.valid_from or date.min, self.valid_until or date.max
        return since <= today <= until


class LoadedPartner:
    """A partner with what its files hold.

    Attributes:
        table: as written.
        tls: None for plain HTTP.
        mapping: our CX to theirs, from ``patients.table``.
    """

    def __init__(self, table: PartnerTable, tls: ssl.SSLContext | None, mapping: Mapping[str, str]) -> None:
        self.table = table
        self.tls = tls
        self.mapping = mapping


def load_partners(path: Path | None, own: Iterable[str] = ()) -> tuple[LoadedPartner, ...]:
    """The partners of a TOML file, or of each ``*.toml`` of a directory.

    Args:
        path: file or directory; None for no partners.
        own: homeCommunityIds of this community, which no partner may have.

    Raises:
        UnusablePartner: names file, table and key.
    """
    if path is None:
        return ()
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    seen: dict[str, str] = dict.fromkeys(own, "this community")
    names: set[str] = set()
    found: list[LoadedPartner] = []
    for file in files:
        for place, table in _tables(file):
            if table.name in names:
                raise UnusablePartner(f"{place}, name: {table.name!r} is there twice")
            names.add(table.name)
            for home in table.homes:
                if home in seen:
                    raise UnusablePartner(f"{place}, homes: {home} belongs to {seen[home]} already")
                seen[home] = table.name
            found.append(_loaded(table, file.parent, place))
    return tuple(found)


def _tables(file: Path) -> Iterable[tuple[str, PartnerTable]]:
    content = _toml(file, str(file))
    rest = sorted(content.keys() - {"community"})
    if rest:
        raise UnusablePartner(f"{file}, {rest[0]}: unknown; allowed: tables [[community]]")
    tables = content.get("community", [])
    if not isinstance(tables, list):
        raise UnusablePartner(f"{file}, community: must be tables [[community]]")
    for number, raw in enumerate(tables, 1):
        place = f"{file}, [[community]] {number}"
        try:
            table = PartnerTable.model_validate(raw)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            raise UnusablePartner(f"{place}{f', {key}' if key else ''}: {told(first)}") from None
        yield f"{place} ({table.name})", table


def _toml(file: Path, place: str) -> dict[str, Any]:
    try:
        octets = file.read_bytes()
        return tomllib.loads(octets.decode())
    except OSError as error:
        raise UnusablePartner(f"{place}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnusablePartner(f"{place}: {error}") from None


def _loaded(table: PartnerTable, folder: Path, place: str) -> LoadedPartner:
    secure = any(url.startswith("https://") for url in table.urls().values())
    tls = _context(table.tls, folder, place) if secure else None
    return LoadedPartner(table, tls, _mapping(table.patients.table, folder, place))


def _context(table: TlsTable, folder: Path, place: str) -> ssl.SSLContext:
    try:
        authorities = None if table.authorities is None else str(folder / table.authorities)
        context = ssl.create_default_context(cafile=authorities)
    except (OSError, ssl.SSLError) as error:
        raise UnusablePartner(f"{place}, tls.authorities: {table.authorities}: {_why(error)}") from None
    if table.certificate is not None and table.key is not None:
        try:
            context.load_cert_chain(folder / table.certificate, folder / table.key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            files = f"{table.certificate}, {table.key}"
            raise UnusablePartner(f"{place}, tls.certificate: {files}: {_why(error)}") from None
    return context


def _no_password() -> str:
    """Instead of asking at the terminal. Raises ValueError."""
    raise ValueError("the key is encrypted")


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _mapping(name: Path | None, folder: Path, place: str) -> Mapping[str, str]:
    if name is None:
        return {}
    where = f"{place}, patients.table"
    file = folder / name
    try:
        size = file.stat().st_size
    except OSError as error:
        raise UnusablePartner(f"{where}: {file}: {error.strerror}") from None
    if size > _MAPPING_BYTES:
        raise UnusablePartner(f"{where}: {file}: is over {_MAPPING_BYTES} bytes")
    content = _toml(file, f"{where}: {file}")
    for ours, theirs in content.items():
        if not isinstance(theirs, str) or theirs.count("^") != 3:
            raise UnusablePartner(f"{where}: {file}, {ours}: expected a CX such as 1^^^&1.2.3&ISO")
    return content
