"""What ITI-41 of a signed document costs under ``record``, beside the same under ``ignore``.

The validation itself comes afterwards and is not in these figures: ``bench.signatures`` measures it, and
``bench.beside`` what it leaves of the machine. ``warn`` shows what a validation within the request costs.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import messages
from bench.figures import Figure
from bench.product import open_app
from bench.signatures import KB, LARGE_BYTES, document, peak
from msim_xds.settings import Settings
from msim_xds.signature_settings import SignaturePolicy, SignatureSettings
from tests.support.authority import DAY, world
from tests.support.signing import CDA, sign

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

ROUNDS: Final = 7
BATCH: Final = 40
_REPOSITORY: Final = "/xds/repository"
_PLACE: Final = b"<title>"
_KIB: Final = 1024


def measure(work: Path) -> list[Figure]:
    """Figures: submissions a second of CPU time on SQLite, signed and unsigned; memory of one of 20 MB."""
    apps = [_open(work, policy) for policy in (SignaturePolicy.RECORD, SignaturePolicy.IGNORE)]
    within = [_open(work, SignaturePolicy.WARN), apps[1]]
    numbers = itertools.count(1)
    plain = document(50 * KB)
    signed = [sign(plain.replace(_PLACE, b"%b%d " % (_PLACE, i), 1)) for i in range(BATCH)]
    unsigned = [plain.replace(_PLACE, b"%b%d " % (_PLACE, i), 1) for i in range(BATCH)]
    return [
        _rate("ITI-41, signed, 50 kB: record", apps, signed, numbers, 0.7),
        _rate("ITI-41, unsigned, 50 kB: record", apps, unsigned, numbers, 0.95),
        _rate("ITI-41, signed, 50 kB: warn", within, signed, numbers, None),
        _memory(work),
    ]


def _open(work: Path, policy: SignaturePolicy) -> WSGIApplication:
    trust = work / "trust"
    (trust / "intermediate").mkdir(parents=True, exist_ok=True)
    (trust / "root.pem").write_bytes(world().root.pem)
    (trust / "intermediate" / "ca.pem").write_bytes(world().ca.pem)
    for place, crl in enumerate(world().crls(datetime.now(UTC) - DAY)):
        (trust / f"{place}.crl").write_bytes(crl)
    signatures = SignatureSettings(policy=policy, trust=trust)
    return open_app(Settings(data=work / policy.value, signatures=signatures))


def _rate(
    what: str,
    apps: list[WSGIApplication],
    documents: list[bytes],
    numbers: Iterator[int],
    at_least: float | None,
) -> Figure:
    """Submissions a second of CPU time, the best of rounds in which both take turns."""
    best = [0.0] * len(apps)
    for _ in range(ROUNDS):
        for side, application in enumerate(apps):
            batch = [
                messages.provide_and_register(n, 1, octets)
                for octets, n in zip(documents, numbers, strict=False)
            ]
            start = time.process_time()
            for message in batch:
                _accepted(application, message)
            best[side] = max(best[side], len(batch) / (time.process_time() - start))
    return Figure(what, "/s", best[0], best[1], at_least=at_least)


def _accepted(application: WSGIApplication, message: messages.Message) -> None:
    if b"ResponseStatusType:Success" not in messages.answer(application, _REPOSITORY, message):
        raise RuntimeError("a submission of the bench is refused")


def _memory(work: Path) -> Figure:
    """What a process of its own needs more than before it took the document in."""
    path = work / "large.xml"
    path.write_bytes(sign(document(LARGE_BYTES)))
    size = path.stat().st_size / _KIB / _KIB
    command = [sys.executable, "-m", "bench.signed_submissions", str(work / "large"), str(path)]
    shown = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return Figure("ITI-41, signed, 20 MB: record, memory", "MiB", float(shown), at_most=round(10 * size))


def _alone(work: Path, path: Path) -> float:
    """MiB that one submission needs; called in a process of its own. The message itself is not counted."""
    application = _open(work, SignaturePolicy.RECORD)
    _accepted(application, messages.provide_and_register(1, 1, sign(CDA)))
    message = messages.provide_and_register(2, 1, path.read_bytes())
    before = peak()
    _accepted(application, message)
    return (peak() - before) / _KIB


if __name__ == "__main__":
    print(_alone(Path(sys.argv[1]), Path(sys.argv[2])))
