"""Trains the zstd dictionary that is shipped for registry fragments: ``python -m bench.train_dictionary``.

The samples are fictional submissions with the codes of the shipped table, written by the product's own writer.
A dictionary already in use stays in its databases; a new one is used beside it for new rows.
"""

from __future__ import annotations

import random
import tomllib
import uuid
from collections.abc import Iterator
from typing import Any, Final

import zstandard

from msim_xds.ihe.codes import SHIPPED
from msim_xds.ihe.names import STABLE_OBJECT_TYPE, AssociationType
from msim_xds.metadata import fragments
from msim_xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Folder,
    LocalizedString,
    RegistryObject,
    SubmissionSet,
)
from msim_xds.registry import fragment_codec

_SIZE: Final = 32 << 10  # octets
_SUBMISSIONS: Final = 1500
_ROOT: Final = "2.16.840.1.113883.3.4424"
_FAMILIES: Final = (
    "Nowak Kowalska Wiśniewski Wójcik Kowalczyk Kamińska Lewandowski Zielińska Szymański Woźniak Dąbrowska"
    " Kozłowski Mazur Jankowska Krawczyk Piotrowski Grabowska Zając Pawłowski Król Wieczorek Wróbel Stępień"
)
_GIVEN: Final = (
    "Anna Jan Maria Piotr Katarzyna Krzysztof Małgorzata Andrzej Agnieszka Tomasz Barbara Paweł Ewa Michał"
    " Elżbieta Marcin Zofia Łukasz Jadwiga Stanisław"
)
_SINGLE: Final = {
    "class_code": "classCode",
    "type_code": "typeCode",
    "format_code": "formatCode",
    "healthcare_facility_type_code": "healthcareFacilityTypeCode",
    "practice_setting_code": "practiceSettingCode",
}


class _Samples:
    """Fictional registry objects; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._families, self._given = _FAMILIES.split(), _GIVEN.split()
        table: dict[str, Any] = tomllib.loads(SHIPPED.read_text("utf-8"))
        self._codes = {
            attribute: [
                Code(code, values["scheme"], (LocalizedString(display, "pl-PL", "UTF-8"),))
                for values in sets
                for code, display in values.get("codes", {}).items()
                if "scheme" in values
            ]
            for attribute, sets in table["attribute"].items()
        }

    def fragments(self) -> Iterator[bytes]:
        """Fragments of many submissions."""
        for _ in range(_SUBMISSIONS):
            for thing in self._submission():
                yield fragments.write(thing)

    def _submission(self) -> Iterator[RegistryObject]:
        author, patient = self._author(), f"{self._digits(11)}^^^&{_ROOT}.1.1.616&ISO"
        package, entry = self._set(author, patient), self._entry(author, patient)
        yield package
        yield entry
        yield self._link(package, entry, AssociationType.HAS_MEMBER, ("Original",))
        if self._random.random() < 0.2:
            yield self._link(entry, self._entry(author, patient), AssociationType.RPLC)
        if self._random.random() < 0.1:
            folder = self._folder(patient)
            yield folder
            yield self._link(folder, entry, AssociationType.HAS_MEMBER)

    def _entry(self, author: Author, patient: str) -> DocumentEntry:
        stay = self._random.random() < 0.6
        family, given = self._random.choice(self._families), self._random.choice(self._given)
        singles = {field: self._code(name) for field, name in _SINGLE.items()}
        return DocumentEntry(
            entry_uuid=self._uuid(),
            object_type=STABLE_OBJECT_TYPE,
            mime_type=self._random.choice(("text/xml", "application/pdf", "application/dicom")),
            title=self._text(singles["class_code"].display[0].value),
            authors=(author,),
            **singles,  # type: ignore[arg-type]  # fields by name
            confidentiality_codes=(self._code("confidentialityCode"),),
            patient_id=patient,
            unique_id=f"{_ROOT}.2.7.{self._digits(4)}.4.1^{self._digits(22)}",
            creation_time=self._time(),
            service_start_time=self._time() if stay else None,
            service_stop_time=self._time() if stay else None,
            language_code="pl-PL",
            hash=f"{self._random.getrandbits(160):040x}",
            size=str(self._random.randrange(2_000, 2_000_000)),
            repository_unique_id=f"{_ROOT}.2.7.{self._digits(4)}.24.1",
            source_patient_id=f"{self._digits(6)}^^^&{_ROOT}.2.7.{self._digits(4)}.17.1&ISO",
            source_patient_info=(
                f"PID-5|{family}^{given}^^^^^^",
                f"PID-7|{self._time()[:8]}",
                f"PID-8|{self._random.choice('MF')}",
            ),
            legal_authenticator=author.person,
        )

    def _set(self, author: Author, patient: str) -> SubmissionSet:
        oid = f"{_ROOT}.2.7.{self._digits(4)}"
        return SubmissionSet(
            entry_uuid=self._uuid(),
            title=self._text("Dokumentacja medyczna"),
            authors=(author,),
            content_type_code=self._code("contentTypeCode"),
            patient_id=patient,
            source_id=oid,
            unique_id=f"{oid}.18.{self._digits(9)}",
            submission_time=self._time(),
        )

    def _folder(self, patient: str) -> Folder:
        return Folder(
            entry_uuid=self._uuid(),
            title=self._text("Leczenie szpitalne"),
            codes=(self._code("classCode"),),
            patient_id=patient,
            unique_id=f"{_ROOT}.2.7.{self._digits(4)}.19.{self._digits(9)}",
        )

    def _link(
        self, source: RegistryObject, target: RegistryObject, kind: str, status: tuple[str, ...] = ()
    ) -> Association:
        return Association(
            entry_uuid=self._uuid(),
            type=kind,
            source=source.entry_uuid,
            target=target.entry_uuid,
            submission_set_status=status,
        )

    def _author(self) -> Author:
        family, given = self._random.choice(self._families), self._random.choice(self._given)
        city = self._random.choice(("Krakowie", "Warszawie", "Gdańsku", "Łodzi", "Rzeszowie"))
        unit = f"Szpital w {city}^^^^^&{_ROOT}.2.3.1&ISO^^^^{self._digits(12)}"
        return Author(
            person=f"{self._digits(7)}^{family}^{given}^^^dr^^^&{_ROOT}.1.6.2&ISO",
            institutions=(unit,),
            roles=("Lekarz",),
            specialties=(self._code("practiceSettingCode").display[0].value,),
        )

    def _code(self, attribute: str) -> Code:
        choices = self._codes.get(attribute) or self._codes["classCode"]
        return self._random.choice(choices)

    def _text(self, value: str) -> tuple[LocalizedString, ...]:
        return (LocalizedString(value, "pl-PL", "UTF-8"),)

    def _time(self) -> str:
        day = f"{self._random.randrange(2015, 2035)}{self._random.randrange(1, 13):02}"
        return f"{day}{self._random.randrange(1, 29):02}{self._random.randrange(86400):06}"

    def _digits(self, count: int) -> str:
        return "".join(self._random.choices("0123456789", k=count))

    def _uuid(self) -> str:
        return f"urn:uuid:{uuid.UUID(int=self._random.getrandbits(128), version=4)}"


def main() -> None:
    """Train, and put the file into the source tree."""
    samples: list[bytes | bytearray | memoryview] = list(_Samples(seed=1).fragments())
    dictionary = zstandard.train_dictionary(_SIZE, samples)
    fragment_codec.DICTIONARY.write_bytes(dictionary.as_bytes())
    packed = zstandard.ZstdCompressor(level=fragment_codec.LEVEL, dict_data=dictionary)
    unseen = list(_Samples(seed=2).fragments())
    before, after = sum(map(len, unseen)), sum(len(packed.compress(sample)) for sample in unseen)
    print(f"{len(samples)} samples; {before / len(unseen):.0f} octets become {after / len(unseen):.0f}")


if __name__ == "__main__":
    main()
