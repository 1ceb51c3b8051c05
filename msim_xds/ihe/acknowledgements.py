"""What acknowledgements of a patient feed say: HL7 tables 0008 and 0357 (ITI TF-2 Appendix C.2.3, O.1.2)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

TABLE: Final = "HL70357"
"""Name of the table of conditions in HL7 v2."""
TABLE_OID: Final = "2.16.840.1.113883.12.357"
"""The same table as a code system of HL7 v3."""


class Condition(StrEnum):
    """Message error condition codes, HL7 table 0357."""

    SEGMENT_SEQUENCE = "100"
    REQUIRED_FIELD_MISSING = "101"
    DATA_TYPE = "102"
    TABLE_VALUE = "103"
    UNSUPPORTED_MESSAGE = "200"
    UNSUPPORTED_EVENT = "201"
    UNSUPPORTED_PROCESSING_ID = "202"
    UNSUPPORTED_VERSION = "203"
    UNKNOWN_KEY = "204"
    DUPLICATE_KEY = "205"
    LOCKED = "206"
    INTERNAL = "207"


NAMES: Final = {
    Condition.SEGMENT_SEQUENCE: "Segment sequence error",
    Condition.REQUIRED_FIELD_MISSING: "Required field missing",
    Condition.DATA_TYPE: "Data type error",
    Condition.TABLE_VALUE: "Table value not found",
    Condition.UNSUPPORTED_MESSAGE: "Unsupported message type",
    Condition.UNSUPPORTED_EVENT: "Unsupported trigger event",
    Condition.UNSUPPORTED_PROCESSING_ID: "Unsupported processing id",
    Condition.UNSUPPORTED_VERSION: "Unsupported version id",
    Condition.UNKNOWN_KEY: "Unknown key identifier",
    Condition.DUPLICATE_KEY: "Duplicate key identifier",
    Condition.LOCKED: "Application record locked",
    Condition.INTERNAL: "Application internal error",
}
"""What each condition is called."""

REJECTING: Final = frozenset(
    {
        Condition.UNSUPPORTED_MESSAGE,
        Condition.UNSUPPORTED_EVENT,
        Condition.UNSUPPORTED_PROCESSING_ID,
        Condition.UNSUPPORTED_VERSION,
    }
)
"""Conditions that reject a message (AR, CR): nobody here reads its kind. All others are errors (AE, CE)."""


class Acknowledged(StrEnum):
    """Outcome of a message, HL7 table 0008; ``v3`` gives the accept-level code (ITI TF-2 Appendix O.1.2)."""

    ACCEPT = "AA"
    ERROR = "AE"
    REJECT = "AR"

    @property
    def v3(self) -> str:
        """CA, CE or CR."""
        return "C" + self[1]
