"""What the validation of a signed document costs, beside a bare xmlsec verification of the same octets."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import xmlsec
from lxml import etree

from bench.figures import Figure
from msim_xds.security.signatures.assess import Assessor
from msim_xds.security.signatures.material import read_crl
from msim_xds.security.signatures.trust import Anchor, Trust
from msim_xds.security.signatures.validator import Validator
from tests.support.authority import NOW, world
from tests.support.signing import CDA, DS, sign

KB: Final = 1000
LARGE_BYTES: Final = 20 * KB * KB
ROUNDS: Final = 7
_SECTION: Final = (
    b'<section ID="s%d"><title>Badanie laboratoryjne numer %d</title><text><paragraph>Opis badania nr %d, '
    b"wynik w granicach normy, bez zmian wobec poprzedniego badania. Kontrola za miesiac.</paragraph></text></section>"
)
"""One ``<`` in 30 octets; real documents have one in 35."""
_PLACE: Final = b'<component ID="body">'
_KIB: Final = 1024


def measure(work: Path) -> list[Figure]:
    """Figures: 50 kB against bare xmlsec with all of the trust in place; memory for 20 MB of markup and of text."""
    small = sign(document(50 * KB))
    validator = trusting()
    found = validator.validate(small, NOW).signatures[0]
    if found.sub_indication is not None:
        raise RuntimeError(f"the bench's own document does not pass: {found.sub_indication}")
    product, against = _best(lambda: validator.validate(small, NOW), lambda: bare(small))
    return [
        Figure("signature of a CDA, 50 kB", "µs", product, against, at_most=3),
        _memory(work, "signature, 20 MB, memory", document(LARGE_BYTES)),
        _memory(work, "signature, 20 MB of base64, memory", document(0, b"QUJD" * (LARGE_BYTES // 4))),
    ]


def document(size: int, text: bytes = b"") -> bytes:
    """A CDA of about this size, of short sections, or with one long text."""
    count = max(size - len(CDA), 0) // (len(_SECTION) + 6)
    sections = b"".join(_SECTION % (i, i, i) for i in range(count))
    return CDA.replace(_PLACE, _PLACE + sections + text)


def trusting() -> Validator:
    """A validator that trusts the bench's authority and has its CRLs."""
    authorities = world()
    crls = tuple(item for der in authorities.crls() if (item := read_crl(der)))
    anchors = (Anchor(authorities.root.ours, "bench"),)
    return Validator(Assessor(Trust(anchors, (authorities.ca.ours,), crls)))


def bare(octets: bytes) -> None:
    """Parse and let xmlsec verify: what cannot be saved."""
    root = etree.fromstring(octets, etree.XMLParser(huge_tree=True))
    xmlsec.tree.add_ids(root, ["Id", "ID"])
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(world().signer.der, xmlsec.constants.KeyDataFormatCertDer)
    signature = root.find(f"{{{DS}}}Signature")
    assert signature is not None
    context.verify(signature)


def _best(*sides: Callable[[], object], repeat: int = 30) -> list[float]:
    """Least microseconds of each, taking turns."""
    best = [float("inf")] * len(sides)
    for _ in range(ROUNDS):
        for place, side in enumerate(sides):
            start = time.process_time()
            for _ in range(repeat):
                side()
            best[place] = min(best[place], (time.process_time() - start) / repeat * 1e6)
    return best


def _memory(work: Path, what: str, octets: bytes) -> Figure:
    """What a process of its own needs more than before it read the document, which is ten times its size at most."""
    path = work / "signed.xml"
    path.write_bytes(sign(octets))
    size = path.stat().st_size / _KIB / _KIB
    command = [sys.executable, "-m", "bench.signatures", str(path)]
    shown = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return Figure(what, "MiB", float(shown), at_most=round(10 * size))


def _alone(path: Path) -> float:
    """MiB of memory that validating a file needs; called in a process of its own."""
    validator = Validator()
    validator.validate(sign(CDA), NOW)
    before = peak()
    (found,) = validator.validate(path.read_bytes(), NOW).signatures
    if not (found.intact and found.covers_document):
        raise RuntimeError("the large document is not intact")
    return (peak() - before) / _KIB


def peak() -> int:
    """KiB that this process has had at most; ru_maxrss would remember the bench's own."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    print(_alone(Path(sys.argv[1])))
