"""The way in: octets of a document go in, a report comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from msim_xds.security.signatures import table
from msim_xds.security.signatures.assess import Assessor
from msim_xds.security.signatures.document import OverLimit, read
from msim_xds.security.signatures.examine import examine
from msim_xds.security.signatures.report import Report
from msim_xds.security.signatures.table import Limits


@dataclass(frozen=True, slots=True)
class Validator:
    """Verifies the XAdES signatures of documents.

    Attributes:
        assessor: whom to trust, and how revocation data are got.
        limits: how much is looked at.
    """

    assessor: Assessor = field(default_factory=Assessor)
    limits: Limits = field(default_factory=Limits)

    def validate(self, data: bytes, now: datetime, detached: Mapping[str, bytes] | None = None) -> Report:
        """Verify all signatures of a document.

        Args:
            data: the octets as stored.
            now: the moment of validation, with a zone.
            detached: octets of detached documents by the URI that references use.

        Raises:
            Unacceptable: the document is not looked at.
        """
        document = read(data, detached or {}, self.limits)
        known = self.assessor.trust.certificates
        found = []
        for signature in document.signatures():
            try:
                facts = examine(document, signature, known=known)
                found.append(self.assessor.assess(facts, document, now))
            except OverLimit as error:
                found.append(self.assessor.refused(signature, now, str(error)))
        return Report(tuple(found), now, table.ISSUED)
