"""Attributes of an assertion, by a table of their names (ITI TF-2 3.40.4.1.2; XSPA; the names P1 uses)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from msim_xds.security.xua.names import saml, text
from msim_xds.security.xua.refusal import Check, refuse

if TYPE_CHECKING:
    from lxml.etree import _Element

_XSPA: Final = "urn:oasis:names:tc:xspa:1.0:subject:"
_XACML: Final = "urn:oasis:names:tc:xacml:"
_POLAND: Final = "2.16.840.1.113883.3.4424"
_ROOT_AND_EXTENSION: Final = re.compile(r"(PL|\d+)((?:\.\d+)+)#([^#^&]+)", re.ASCII)


class Meaning(StrEnum):
    """What an attribute says of the user."""

    NAME = "name"
    ORGANIZATION = "organization"
    ORGANIZATION_ID = "organization id"
    CHILD_ORGANIZATION = "child organization"
    ON_BEHALF_OF = "on behalf of"
    HOME = "home community"
    PROVIDER = "provider identifier"
    ROLE = "role"
    PURPOSE = "purpose of use"
    PATIENT = "patient"
    CONSENT_DOCUMENT = "consent document"
    POLICY = "policy"
    REASON = "reason"


MEANINGS: Final[dict[str, Meaning]] = {
    f"{_XSPA}subject-id": Meaning.NAME,
    f"{_XACML}1.0:subject:subject-id": Meaning.NAME,
    f"{_XSPA}organization": Meaning.ORGANIZATION,
    f"{_XSPA}organization-id": Meaning.ORGANIZATION_ID,
    f"{_XSPA}child-organization": Meaning.CHILD_ORGANIZATION,
    "urn:p1:source-organization": Meaning.ON_BEHALF_OF,
    "urn:ihe:iti:xca:2010:homeCommunityId": Meaning.HOME,
    "urn:nhin:names:saml:homeCommunityId": Meaning.HOME,
    f"{_XSPA}npi": Meaning.PROVIDER,
    "urn:oasis:names:tc:xspa:2.0:subject:npi": Meaning.PROVIDER,
    "urn:ihe:iti:xua:2017:subject:provider-identifier": Meaning.PROVIDER,
    "urn:oasis:names:tc:SAML:attribute:subject-id": Meaning.PROVIDER,
    f"{_XACML}2.0:subject:role": Meaning.ROLE,
    f"{_XSPA}functional-role": Meaning.ROLE,
    f"{_XSPA}purposeofuse": Meaning.PURPOSE,
    f"{_XACML}2.0:action:purpose": Meaning.PURPOSE,
    f"{_XACML}2.0:resource:resource-id": Meaning.PATIENT,
    f"{_XACML}1.0:resource:resource-id": Meaning.PATIENT,
    "urn:ihe:iti:bppc:2007:docid": Meaning.CONSENT_DOCUMENT,
    "urn:ihe:iti:xua:2012:acp": Meaning.POLICY,
    "urn:msim:access:reason": Meaning.REASON,
}
"""Attributes of other names may be there; nothing is read of them. The framework names none for the reason of
an emergency, so there is one of our own; ``xua.attributes`` adds those of a domain."""


class Value(NamedTuple):
    """A value: a code with its system and text, or a text or identifier alone in ``code``."""

    code: str
    system: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What the attributes of an assertion say.

    Attributes:
        values: each different value once, in the order of the assertion.
        names: the names of all attributes with a value, also those that are not in the table.
    """

    values: Mapping[Meaning, tuple[Value, ...]] = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    def all(self, meaning: Meaning) -> tuple[Value, ...]:
        """The values of that meaning."""
        return self.values.get(meaning, ())

    def first(self, *meanings: Meaning) -> str:
        """The first value of the first of these meanings that has one; empty where none has."""
        return next((value.code for meaning in meanings for value in self.all(meaning)), "")


def read(assertion: _Element, meanings: Mapping[str, Meaning] = MEANINGS) -> Attributes:
    """The attributes of all AttributeStatements; names and values may repeat (ITI TF-2 3.40.4.1.2).

    Args:
        assertion: whose they are.
        meanings: of which names something is read.

    Raises:
        SecurityFault: a value of an attribute of the table is neither text nor one code or identifier.
    """
    values: dict[Meaning, dict[Value, None]] = {}
    names = set()
    for attribute in assertion.iterfind(f"{saml('AttributeStatement')}/{saml('Attribute')}"):
        name = attribute.get("Name", "")
        elements = attribute.findall(saml("AttributeValue"))
        if any(len(element) or text(element) for element in elements):
            names.add(name)
        meaning = meanings.get(name)
        if meaning is not None:
            values.setdefault(meaning, {}).update(dict.fromkeys(_values(elements, meaning)))
    if len(values.get(Meaning.PATIENT, ())) > 1:
        refuse(Check.ATTRIBUTES, "resource-id names more than one patient")
    return Attributes({meaning: tuple(found) for meaning, found in values.items()}, frozenset(names))


def _values(elements: Iterable[_Element], meaning: Meaning) -> Iterable[Value]:
    for element in elements:
        if len(element) > 1:
            refuse(Check.ATTRIBUTES, f"{meaning}: a value holds more than one element")
        if len(element):
            yield _coded(element[0], meaning)
        elif text(element):
            yield Value(as_cx(text(element)))


def _coded(element: _Element, meaning: Meaning) -> Value:
    """A CE or an II of HL7 version 3; by its attributes, whatever its name and xsi:type are."""
    if code := element.get("code"):
        return Value(code, element.get("codeSystem", ""), element.get("displayName", ""))
    if (root := element.get("root")) and (extension := element.get("extension")):
        return Value(f"{extension}^^^&{root}&ISO")
    return refuse(Check.ATTRIBUTES, f"{meaning}: a value is neither a code nor an identifier")


def as_cx(value: str) -> str:
    """An identifier ``root#extension``, whose root may begin with PL, as CX; other texts as they are."""
    match = _ROOT_AND_EXTENSION.fullmatch(value)
    if match is None:
        return value
    root = (_POLAND if match[1] == "PL" else match[1]) + match[2]
    return f"{match[3]}^^^&{root}&ISO"
