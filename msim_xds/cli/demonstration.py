"""demo: a server on a temporary store, and the three things that it is for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.resources import as_file
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

import typer

from msim_xds.cli.console import print_line, print_table, progress
from msim_xds.cli.failures import REFUSED, Failure
from msim_xds.cli.termination import raised_on_sigterm

if TYPE_CHECKING:
    from msim_xds.cli.partner import Outcome, Partner
    from msim_xds.metadata.model import DocumentEntry

_START_S: Final = 60.0
_STOP_S: Final = 15.0
_SAID_LINES: Final = 20
_HEADING: Final = "bold cyan"


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the server running until Ctrl-C.")] = False,
    port: Annotated[int | None, typer.Option(help="TCP port; default: a free one.")] = None,
    region: Annotated[
        bool, typer.Option("--region", help="Three regions and a double of P1 instead of one server.")
    ] = False,
) -> None:
    """Show a submit, a query and a retrieve, with fictional patients on a temporary store."""
    with raised_on_sigterm():
        if region:
            if keep or port is not None:
                raise Failure("--region takes neither --keep nor --port: it runs to its end, on free ports")
            from msim_xds.cli.regions import show_regions

            show_regions()
        else:
            _one_server(port or free_port(), keep=keep)


def _one_server(port: int, *, keep: bool) -> None:
    with TemporaryDirectory(prefix="msim-xds-demo-") as directory:
        url = f"http://127.0.0.1:{port}"
        print_line(f"Starting a server on {url} with an empty store in {directory} …", _HEADING)
        with running_server(url, Path(directory), "pl") as server:
            _show(url)
            if keep:
                _stay(url, server)
    print_line(
        "\nThe server has ended and its data is gone. `msim-xds serve` starts a lasting one.", _HEADING
    )


def _stay(url: str, server: subprocess.Popen[bytes]) -> None:
    with suppress(KeyboardInterrupt):
        print_line(f"\nThe server stays at {url}; open it in a browser.")
        print_line("Ctrl-C ends it and removes its data.")
        server.wait()
        raise Failure("the server has ended by itself", REFUSED)


def _show(url: str) -> None:
    from msim_xds.cli.partner import Partner

    with Partner(url) as partner, TemporaryDirectory(prefix="msim-xds-") as directory:
        outcomes = _submit(partner)
        entries = _query(partner, url, outcomes[0])
        _retrieve(partner, url, entries[0], outcomes, Path(directory))


def _submit(partner: Partner) -> list[Outcome]:
    from msim_xds.cli.publication import Wishes, prepare
    from msim_xds.demo import documents

    print_line("\n1. Submit (ITI-41 Provide and Register Document Set-b)", _HEADING)
    print_line("A hospital system sends CDA documents with their metadata: whose, what, by whom, when.")
    wishes = Wishes(profile="pl")
    outcomes = []
    with ExitStack() as stack:
        paths = [stack.enter_context(as_file(document)) for document in documents()]
        with progress("Submitting") as bar:
            for path in bar.track(paths):
                outcomes.append(partner.publish(prepare(path, wishes), replace=True, keep_id=True))
                _must_succeed(outcomes[-1])
    print_table(("document", "patient", "title"), map(_described, outcomes))
    return outcomes


def _must_succeed(outcome: Outcome) -> None:
    from msim_xds.cli.partner import accepted

    accepted(outcome.answer, f"the submission of {outcome.publication.path.name}")


def _described(outcome: Outcome) -> tuple[str, str, str]:
    entry = outcome.publication.entry
    name = next((each for each in entry.source_patient_info if each.startswith("PID-5|")), "PID-5|")
    family, given, *_ = (*name.removeprefix("PID-5|").split("^"), "")
    note = " (replaces the version before)" if outcome.replaced else ""
    return outcome.publication.path.name, f"{given} {family}".strip(), entry.title[0].value + note


def _query(partner: Partner, url: str, first: Outcome) -> list[DocumentEntry]:
    from msim_xds.cli.remote import show_entries
    from msim_xds.ihe.names import Status

    patient = first.publication.entry.patient_id or ""
    print_line("\n2. Query (ITI-18 Registry Stored Query, FindDocuments)", _HEADING)
    print_line(
        "A doctor elsewhere asks the registry for one patient's documents. The laboratory result is there"
    )
    print_line("once: its second version has replaced the first, now deprecated (--status all shows it).")
    print_line(f"  msim-xds query --url {url} --patient '{patient}'", "dim")
    entries = list(partner.entries(partner.find(patient, {}, [Status.APPROVED])))
    show_entries(entries)
    if not entries:
        raise Failure("the registry finds none of the documents that it has just accepted", REFUSED)
    return sorted(entries, key=lambda entry: entry.creation_time or "", reverse=True)


def _retrieve(
    partner: Partner, url: str, entry: DocumentEntry, outcomes: list[Outcome], directory: Path
) -> None:
    from msim_xds.cli.remote import check_hash

    print_line("\n3. Retrieve (ITI-43 Retrieve Document Set)", _HEADING)
    print_line(
        "The doctor's system fetches one of them from the repository that holds it: the same octets, by hash."
    )
    print_line(f"  msim-xds retrieve --url {url} '{entry.unique_id}' --output copy.xml", "dim")
    document = partner.retrieve(entry.repository_unique_id or "", entry.unique_id or "", directory)
    check_hash(document, entry)
    sent = next(
        outcome.publication for outcome in outcomes if outcome.publication.entry.unique_id == entry.unique_id
    )
    if sent.entry.hash != document.sha1:
        raise Failure(f"{sent.path.name} came back with other octets than were sent", REFUSED)
    rows = [
        ("sent", sent.path.name, str(sent.entry.size), str(sent.entry.hash)),
        ("retrieved", document.mime_type, str(document.size), document.sha1),
    ]
    print_table(("", "document", "bytes", "sha1"), rows)
    print_line("Equal.", "bold green")


@contextmanager
def running_server(
    url: str, data: Path, profile: str, further: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server of this installation at ``url``, ready to answer; ended and gone afterwards.

    Args:
        url: http:// with a loopback address and a free port.
        data: an existing directory for its store and its log.
        profile: its ``validation.profile``.
        further: MSIM_ variables besides; no other setting comes from the environment.

    Raises:
        Failure: it does not start; the message holds what it says.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MSIM_")}
    environment |= {"MSIM_VALIDATION__PROFILE": profile, "MSIM_LOG__LEVEL": "warning", **(further or {})}
    port = url.rpartition(":")[2]
    command = [sys.executable, "-m", "msim_xds", "serve", "--host", "127.0.0.1", "--port", port]
    log = data / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  # our own command
            [*command, "--data", str(data / "var")],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; we end it
        )
    try:
        _wait_for(url, process, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import requests

    end = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < end:
        with suppress(requests.RequestException):
            if requests.get(f"{url}/health", timeout=2).ok:
                return
        time.sleep(0.1)  # nothing tells when it listens
    said = "\n".join(log.read_text("utf-8", "replace").splitlines()[-_SAID_LINES:])
    raise Failure(f"the server does not start at {url}; it says:\n{said or 'nothing'}")


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
