"""Signatures of the documents of a submission: looked at, recorded, and judged by the policy of their source.

What cannot be validated is INDETERMINATE; a defect of ours is logged besides, and never refuses anything.
Only the policies ``warn`` and ``reject`` speak to the sender.
"""

from __future__ import annotations

import threading
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from structlog.typing import FilteringBoundLogger

from msim_xds.findings import Finding
from msim_xds.ihe.names import Severity
from msim_xds.metadata.model import Code, DocumentEntry
from msim_xds.metadata.signature_slots import SignatureResult
from msim_xds.settings import Settings
from msim_xds.signature_settings import SignaturePolicy, SignatureRule

if TYPE_CHECKING:
    from msim_xds.repository.detached import Others
    from msim_xds.security.signatures.report import Report, SignatureReport
    from msim_xds.security.signatures.validator import Validator

_log: FilteringBoundLogger = structlog.get_logger()

#: The framework has no code for signatures (xades: codeContext names document and sub-indication).
_CODE: Final = "XDSRepositoryError"
_SOURCE: Final = "ETSI EN 319 102-1, 5.1"
_NAMESPACE: Final = "http://www.w3.org/2000/09/xmldsig#"
#: How a document that can hold an XML signature begins, and how it names the namespace, by encoding.
_FORMS: Final = tuple(
    (start.encode(codec), _NAMESPACE.encode(codec))
    for codec in ("utf-16-le", "utf-16-be", "utf-8")
    for start in ("<", "\ufeff")
)
_SPACE: Final = b" \t\r\n"
_OVERLAP: Final = 2 * len(_NAMESPACE) - 1
#: EN 319 102-1: any other reason. Here: over a limit, or a defect of this server.
GENERIC: Final = "GENERIC"
_FAILED, _UNDECIDED = "TOTAL_FAILED", "INDETERMINATE"
_MOST_REASONS: Final = 3


class Examined(NamedTuple):
    """What was found in one document.

    Attributes:
        result: what is kept and shown.
        problem: what is wrong, for people; '' where nothing is.
        is_defect: the validation itself has failed.
        covers: whether what is signed is all of what was submitted, as far as that was looked at.
    """

    result: SignatureResult
    problem: str = ""
    is_defect: bool = False
    covers: bool = True


@dataclass(frozen=True, slots=True)
class Subject:
    """One document whose signatures are looked at.

    Attributes:
        entry: its DocumentEntry.
        source_id: of its SubmissionSet.
        set_unique_id: of that as well.
        octets: reads it in chunks, from the beginning at each call.
        others: finds documents that it may sign, by uniqueId.
    """

    entry: DocumentEntry
    source_id: str | None
    set_unique_id: str | None
    octets: Callable[[], Iterable[bytes]]
    others: Others


class Signing:
    """Looks at signatures by the policies of the settings; safe to share between threads.

    Args:
        settings: section ``signatures``.
        load: makes the validator; called once, at the first signature or by ``load``.
        clock: the time of day, UTC.
    """

    def __init__(
        self, settings: Settings, load: Callable[[], Validator], clock: Callable[[], datetime]
    ) -> None:
        self._settings = settings.signatures
        self._make = load
        self._clock = clock
        self._validator: Validator | None = None
        self._loading = threading.Lock()

    def load(self) -> Validator:
        """The validator. Raises OSError or ValueError where what it trusts cannot be read."""
        if self._validator is None:
            with self._loading:
                self._validator = self._validator or self._make()
        return self._validator

    def policy(self, entry: DocumentEntry, source_id: str | None) -> SignaturePolicy:
        """What holds for a document: the first row of the table that fits."""
        for rule in self._settings.rules:
            if _fits(rule, entry, source_id):
                return rule.policy
        return self._settings.policy

    def examine(self, subject: Subject) -> Examined | None:
        """What the signatures of a document come to; None for one without.

        Raises:
            OSError: the document cannot be read.
        """
        octets, is_whole = _signed_octets(subject.octets(), self._settings.document_bytes)
        if octets is None:
            return None
        if not is_whole:
            most = self._settings.document_bytes
            return Examined(
                undecided(), f"the document is over {most} octets, so its signatures are not looked at"
            )
        try:
            return self._validated(octets, subject)
        except (
            Exception
        ) as error:  # the validator is fed with anything; no defect of it may refuse a document
            return Examined(undecided(), f"not validated; reference {_logged(error)}", is_defect=True)

    @staticmethod
    def may_be_signed(octets: Iterable[bytes]) -> bool:
        """Whether a document is worth ``examine``, for a look at its octets. Raises OSError."""
        return _signed_octets(octets, 0) != (None, True)

    def findings(
        self, entry: DocumentEntry, examined: Examined, policy: SignaturePolicy
    ) -> Iterator[Finding]:
        """What the sender is told under a policy."""
        if not examined.problem or policy in (SignaturePolicy.IGNORE, SignaturePolicy.RECORD):
            return
        result = examined.result
        refuses = policy is SignaturePolicy.REJECT and not self._is_open(examined)
        yield Finding(
            _CODE,
            f"the signature {'is not accepted' if refuses else 'is doubtful'}: {examined.problem}",
            place=f"{entry.place}, document {entry.unique_id}",
            attribute="signature",
            seen=" ".join(filter(None, (result.indication, result.sub_indication))),
            source=_SOURCE,
            severity=Severity.ERROR if refuses else Severity.WARNING,
        )

    def _is_open(self, examined: Examined) -> bool:
        """Whether ``reject`` lets it pass, since nothing is proven to be wrong."""
        result = examined.result
        return examined.is_defect or (
            examined.covers
            and result.indication == _UNDECIDED
            and result.sub_indication in self._settings.undecided
        )

    def _validated(self, octets: bytes, subject: Subject) -> Examined | None:
        # Loaded with the first signature: the libraries are large, and not every site is sent any.
        from msim_xds.repository import detached
        from msim_xds.security.signatures.document import Unacceptable

        validator, now = self.load(), self._clock()
        try:
            if has_code(subject.entry.format_code, detached.FORMAT):
                report = detached.validate(validator, octets, now, subject.others, subject.set_unique_id)
            else:
                report = validator.validate(octets, now)
        except Unacceptable as error:
            return Examined(
                SignatureResult(_FAILED, "FORMAT_FAILURE", "", "", False), f"{error.code}: {error}"
            )
        return _summed_up(report)


def _summed_up(report: Report) -> Examined | None:
    worst = report.worst
    if worst is None:
        return None
    covers = any(one.covers_document for one in report.signatures)
    result = SignatureResult(
        str(worst.indication),
        str(worst.sub_indication or ""),
        worst.level,
        worst.signing_time,
        covers,
    )
    covers = covers or worst.packaging == ("enveloping",)  # whose content is what was submitted
    return Examined(result, _problem(worst, covers=covers), covers=covers)


def _problem(worst: SignatureReport, *, covers: bool) -> str:
    """What is wrong with the signature that decides, its failing references first."""
    failing = [
        f"reference {one.uri!r}"
        for one in (*worst.references, *worst.manifest)
        if not one.intact and one.reasons
    ]
    reasons = [why.text() for why in worst.reasons[:_MOST_REASONS]]
    if worst.intact and not covers:
        reasons.append("no intact signature covers the whole document")
    named = ", ".join(failing[:_MOST_REASONS])
    return ": ".join(filter(None, (named, "; ".join(reasons))))


def _signed_octets(chunks: Iterable[bytes], most: int) -> tuple[bytes | None, bool]:
    """The document where it may hold a signature, and whether it is small enough to have come whole.

    An unsigned one of usual size costs a look for the namespace. One that is too large is looked through
    without being held.
    """
    held: list[bytes] = []
    size, tail, found, namespace = 0, b"", False, b""
    for chunk in chunks:
        if not size:
            namespace = _namespace(chunk)
            if not namespace:
                return None, True
        size += len(chunk)
        found = found or namespace in (tail + chunk if tail else chunk)
        if size > most:
            held.clear()
            if found:
                return b"", False
        else:
            held.append(chunk)
        tail = chunk[-_OVERLAP:]
    return (b"".join(held), True) if found else (None, True)


def _namespace(start: bytes) -> bytes:
    """The namespace of signatures as a document that begins so would spell it; b'' for one that is no XML."""
    start = start[:64].lstrip(_SPACE)
    return next((namespace for head, namespace in _FORMS if start.startswith(head)), b"")


def _fits(rule: SignatureRule, entry: DocumentEntry, source_id: str | None) -> bool:
    return (
        (rule.source_id is None or rule.source_id == source_id)
        and (rule.mime_type is None or rule.mime_type == entry.mime_type)
        and (rule.format_code is None or has_code(entry.format_code, rule.format_code))
        and (rule.class_code is None or has_code(entry.class_code, rule.class_code))
    )


def has_code(code: Code | None, wanted: str) -> bool:
    """Whether a code is the one wanted, given as ``code`` or ``code^^scheme``."""
    return code is not None and wanted in (code.code, f"{code.code}^^{code.scheme}")


def stored_code(stored: str | None) -> Code | None:
    """The code of a column, ``code^^scheme``."""
    if stored is None:
        return None
    code, _, scheme = stored.partition("^^")
    return Code(code, scheme)


def undecided(sub_indication: str = GENERIC) -> SignatureResult:
    """That nothing is known of a document's signatures."""
    return SignatureResult(_UNDECIDED, sub_indication, "", "", False)


def _logged(error: BaseException) -> str:
    """Reference of the log line: where it failed, without the error's text, which may quote the document."""
    reference = uuid.uuid4().hex
    frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    _log.error(
        "signature validation failed", error=type(error).__name__, where=frames[-3:], reference=reference
    )
    return reference
