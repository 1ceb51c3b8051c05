"""Which patients the registry takes submissions and updates for (ITI TF-2 3.42.4.1.3.3, 3.8.4.2.3)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from msim_xds.findings import Finding
from msim_xds.registry import patients
from msim_xds.registry.patients import Patient
from msim_xds.settings import PatientPolicy, Settings

_REGISTER: Final = "ITI TF-2 3.42.4.1.3.3"


class Admission:
    """Finds the patient that a message names; ``patients.policy`` decides on those not met before."""

    def __init__(self, settings: Settings) -> None:
        #: Whether a patient not met before is taken in with the first submission.
        self.takes_any: Final = settings.patients.policy is PatientPolicy.OPEN

    def lock(self, connection: Connection, cx: str, *, add: bool) -> Patient | None:
        """The patient; None for one not met before, who is added where ``add`` and policy say so.

        Its row is locked, so that one patient's messages come one after another: what is read from here on
        stays true until the end.
        """
        if not cx:
            return None
        patient = patients.lock(connection, cx)
        if patient is None and self.takes_any and add:
            patient = patients.add(connection, cx)
        return patient

    def findings(self, cx: str, patient: Patient | None, place: str) -> list[Finding]:
        """That the patient's id is not in use."""
        if patient is not None and patient.survivor_id is not None:
            problem = "this id was merged into another patient's"
        elif not cx or self.takes_any or (patient is not None and patient.announced):
            return []
        else:
            problem = "this patient is not known to the registry"
        allowed = "a patientId that the domain's patient identity source has announced"
        return [
            Finding("XDSUnknownPatientId", problem, place, "patientId", cx, allowed, _REGISTER, context=cx)
        ]
