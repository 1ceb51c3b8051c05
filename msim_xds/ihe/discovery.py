"""What Cross Gateway Patient Discovery says by codes (ITI TF-2 3.55.4)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

QUERY_INTERACTION: Final = "PRPA_IN201305UV02"
ANSWER_INTERACTION: Final = "PRPA_IN201306UV02"
QUERY_TRIGGER: Final = "PRPA_TE201305UV02"
ANSWER_TRIGGER: Final = "PRPA_TE201306UV02"
XCPD: Final = "urn:ihe:iti:xcpd:2009"
"""Namespace of its WSDL and of the header CorrelationTimeToLive."""

LOCATOR_CODES: Final = "1.3.6.1.4.1.19376.1.2.27.2"
REQUESTED_CODES: Final = "1.3.6.1.4.1.19376.1.2.27.1"
MANAGEMENT_CODES: Final = "1.3.6.1.4.1.19376.1.2.27.3"
GENDER_REQUESTED: Final = "LivingSubjectAdministrativeGenderRequested"


class QueryResponse(StrEnum):
    """queryResponseCode (ITI TF-2 3.55.4.2.2)."""

    FOUND = "OK"
    NOT_FOUND = "NF"
    FAILED = "AE"


class Management(StrEnum):
    """Why there is no answer (ITI TF-2 3.55.4.2.2.6)."""

    BUSY = "ResponderBusy"
    NOT_AVAILABLE = "AnswerNotAvailable"
    INTERNAL = "InternalError"
