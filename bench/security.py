"""What security costs a stored query: ITI-18 over kept connections, beside the same server with all of it off.

Several connections ask at the same time, as they do where throughput matters.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from bench import messages
from bench.figures import Figure
from bench.load import load
from msim_xds.server.serve import SETTINGS_VARIABLE
from msim_xds.settings import DatabaseSettings, Settings
from tests.support import saml
from tests.support.authority import NOW
from tests.support.server import free_port
from tests.support.tls import Site

ENTRIES: Final = 10_000
ROUNDS: Final = 9
BATCH: Final = 400
CONNECTIONS: Final = 8
_AT_LEAST: Final = 0.5
_PATH: Final = "/xds/registry"
_START_S: Final = 60.0
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_SERVE: Final = (
    "import os; from msim_xds.server.serve import serve; from msim_xds.settings import Settings;"
    f"serve(Settings.model_validate_json(os.environ['{SETTINGS_VARIABLE}']))"
)

#: What is switched on one after another; ``_sections`` says by which settings.
SWITCHES: Final = ("tls", "systems", "xua", "policy", "audit")


class Row(NamedTuple):
    """A figure: which switches are on, and of which engine the server without any of them is."""

    what: str
    switches: tuple[str, ...]
    beside: str = "cheroot"
    at_least: float | None = _AT_LEAST


ROWS: Final = (
    Row("mutual TLS", ("tls",)),
    Row("mutual TLS, registered systems", SWITCHES[:2]),
    Row("mutual TLS, registered systems, assertion", SWITCHES[:3]),
    Row("mutual TLS, registered systems, assertion, access policy", SWITCHES[:4]),
    Row("mutual TLS, registered systems, assertion, access policy, audit", SWITCHES),
    Row("mutual TLS by cheroot beside plain Granian", ("tls",), "granian", None),
)


def measure(work: Path) -> list[Figure]:
    """Queries a second of the server's CPU time, each row beside the server with everything off."""
    url = f"sqlite:///{work / 'entries.db'}"
    load(url, ENTRIES)
    folder = work / "certificates"
    folder.mkdir()
    site = Site(folder)
    _write_files(site)
    figures = []
    for number, row in enumerate(ROWS):
        rates: tuple[list[float], list[float]] = ([], [])
        with (
            _serving(work / f"{number}", url, site, row.switches, "cheroot") as secured,
            _serving(work / f"{number}-off", url, site, (), row.beside) as plain,
        ):
            for _ in range(ROUNDS + 1):
                for side, client in zip(rates, (secured, plain), strict=True):
                    side.append(client.rate())
        # The first round warms up. The two best rounds could be of two speeds of the machine, medians are not.
        product, against = (statistics.median(side[1:]) for side in rates)
        figures.append(Figure(f"ITI-18: {row.what}", "/s", product, against, at_least=row.at_least))
    return figures


class Client:
    """Kept connections to a server, and the CPU time that the server has used."""

    def __init__(self, url: str, context: ssl.SSLContext | None, header: str, group: int) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPConnection if context is None else http.client.HTTPSConnection
        options: dict[str, Any] = {} if context is None else {"context": context}
        self._connections = [
            kind(parts.hostname or "", parts.port, timeout=60, **options) for _ in range(CONNECTIONS)
        ]
        self._header = header
        self._group = group

    def rate(self) -> float:
        """Queries a second of the server's CPU time, over a batch of them."""
        few = messages.patients(ENTRIES)[ENTRIES // 2 // messages.MANY :]
        batch = [self._query(few[number % len(few)][0]) for number in range(BATCH)]
        before = _cpu_s(self._group)
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            shares = [batch[number::CONNECTIONS] for number in range(CONNECTIONS)]
            list(threads.map(_ask, self._connections, shares))
        return BATCH / max(_cpu_s(self._group) - before, _TICK_S)

    def close(self) -> None:
        """End the connections."""
        for connection in self._connections:
            connection.close()

    def _query(self, patient: int) -> bytes:
        return messages.find_documents(patient).body.replace(
            b"</s:Header>", f"{self._header}</s:Header>".encode(), 1
        )


def _ask(connection: http.client.HTTPConnection, bodies: Sequence[bytes]) -> None:
    for body in bodies:
        connection.request("POST", _PATH, body, {"Content-Type": messages.SOAP_TYPE})
        data = connection.getresponse().read()
        if data.count(b"<rim:ExtrinsicObject") != messages.FEW:
            raise RuntimeError(f"a query of the bench is refused: {data[:500]!r}")


@contextlib.contextmanager
def _serving(data: Path, url: str, site: Site, switches: tuple[str, ...], engine: str) -> Iterator[Client]:
    port = free_port()
    sections: dict[str, Any] = {}
    for switch in switches:
        section, values = _sections(site)[switch]
        sections.setdefault(section, {}).update(values)
    settings = Settings(
        data=data,
        database=DatabaseSettings(url=url),
        server={"port": port, "engine": engine, "header_timeout_s": 600},
        log={"level": "warning"},
        **sections,
    )
    scheme, context = ("https", site.client("hospital")) if "tls" in switches else ("http", None)
    header = saml.security(_assertion()) if "xua" in switches else ""
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVE],
        env={**os.environ, SETTINGS_VARIABLE: settings.model_dump_json()},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        client = Client(f"{scheme}://localhost:{port}", context, header, server.pid)
        _await(server, client)
        yield client
        client.close()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _await(server: subprocess.Popen[bytes], client: Client) -> None:
    """Wait for the first answer."""
    deadline = time.monotonic() + _START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            client.rate()
        except OSError:
            client.close()
            time.sleep(0.2)
        else:
            return
    raise RuntimeError("a server of the bench does not start")


def _cpu_s(group: int) -> float:
    """CPU time of all processes of a group, in seconds."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return ticks * _TICK_S


def _write_files(site: Site) -> None:
    (site.folder / "sts.pem").write_bytes(saml.sts().pem)
    fingerprint = site.identities["hospital"].fingerprint
    (site.folder / "systems.toml").write_text(
        f'[systems.his]\nkind = "hospital"\ncertificates = [{{ sha256 = "{fingerprint}" }}]\n'
    )


def _sections(site: Site) -> Mapping[str, tuple[str, Mapping[str, Any]]]:
    """By switch: which section of the settings, and what it adds there."""
    folder = site.folder
    policy = resources.files("msim_xds.security.access") / "sample_policy.toml"
    tls = site.settings(crl=[folder / "crl.pem"], reload_s=60).model_dump()
    return {
        "tls": ("tls", tls),
        "systems": ("access", {"systems": folder / "systems.toml"}),
        "xua": (
            "xua",
            {
                "registry": "required",
                "issuers": {saml.ISSUER: [folder / "sts.pem"]},
                "audiences": [saml.AUDIENCE],
            },
        ),
        "policy": ("access", {"policy": Path(str(policy))}),
        "audit": ("audit", {"enabled": True}),
    }


def _assertion() -> str:
    """One that is valid for the next hours, as a hospital's system would use it for many requests."""
    now = (datetime.now(UTC) - NOW) / saml.MINUTE
    until = f'NotOnOrAfter="{saml.at(now + 180)}"'
    return saml.signed(
        issued=f'IssueInstant="{saml.at(now)}"',
        confirmations=saml.confirmation(times=until),
        conditions=saml.conditions(f'NotBefore="{saml.at(now)}" {until}'),
        authentications=saml.authentication(f'AuthnInstant="{saml.at(now - 1)}"'),
    )
