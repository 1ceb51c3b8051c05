"""Reads consents from Advanced Patient Privacy Consents: the part of XACML 2.0 that consents can say.

A PolicySet names one patient; in it Rules permit or deny, and references stand for policies of the domain, of
all documents or of those that Resources name. Whatever else it says, about users, actions, times, conditions,
is refused with its place, since to pass it over would change who may see what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from lxml import etree

from msim_xds.ihe.codes import SEPARATOR, CodeTable
from msim_xds.metadata.hl7v2 import is_cx
from msim_xds.metadata.institution import institution
from msim_xds.metadata.values import is_oid
from msim_xds.security.access.document import Consent
from msim_xds.wire import safexml

if TYPE_CHECKING:
    from lxml.etree import _Element

LARGEST: Final = 1 << 20
"""Octets of a document; those of real patients have a few thousand."""
MOST: Final = 100
"""Consents of a document."""

_XACML: Final = "urn:oasis:names:tc:xacml:2.0:policy:schema:os"
_HL7: Final = "urn:hl7-org:v3"
_XSI: Final = "{http://www.w3.org/2001/XMLSchema-instance}"
_PATIENT: Final = "urn:oasis:names:tc:xacml:2.0:resource:resource-id"
_APPC: Final = "urn:ihe:iti:appc:2016:"
_AUTHOR: Final = f"{_APPC}author-institution:id"
#: By AttributeId the field of a consent, and which code it is.
_CODED: Final = {
    f"{_APPC}document-entry:class-code": ("classes", "classCode"),
    f"{_APPC}document-entry:healthcare-facility-type-code": ("facilities", "healthcareFacilityTypeCode"),
    f"{_APPC}document-entry:event-code": ("events", "eventCodeList"),
}
_II, _CV = f"{_HL7}#II", f"{_HL7}#CV"
_SCHEMA: Final = "http://www.w3.org/2001/XMLSchema#"
_EQUAL: Final = {
    _II: f"{_HL7}:function:II-equal",
    _CV: f"{_HL7}:function:CV-equal",
    f"{_SCHEMA}string": "urn:oasis:names:tc:xacml:1.0:function:string-equal",
    f"{_SCHEMA}anyURI": "urn:oasis:names:tc:xacml:1.0:function:anyURI-equal",
}
_TYPES: Final = {_PATIENT: (_II,), _AUTHOR: (_II, f"{_SCHEMA}string", f"{_SCHEMA}anyURI")} | dict.fromkeys(
    _CODED, (_CV,)
)
#: What wins where a Permit and a Deny are about one document; consents know no other.
_DENY_OVERRIDES: Final = ("deny-overrides", "ordered-deny-overrides")
#: Those that come to the same as long as nothing but Permits, or nothing but Denies, is combined.
_OTHERS: Final = ("permit-overrides", "ordered-permit-overrides", "first-applicable")
_EFFECTS: Final = {"Permit": True, "Deny": False}
_FLAGS: Final = {"MustBePresent": "false"}

Scope = Mapping[str, Any]
"""Fields of a consent, apart from ``opt_in``."""


class UnusableConsent(ValueError):
    """The document cannot be read as consents; the message names the element."""


class Directive(NamedTuple):
    """What a document says: whose it is, its PolicySetId, and the consents."""

    patient: str
    id: str
    consents: tuple[Consent, ...]


def read(octets: bytes, codes: CodeTable, policies: Mapping[str, bool]) -> Directive:
    """What a document says.

    Args:
        octets: the document.
        codes: of the domain: which codes there are, and how else their schemes are spelt.
        policies: by id of each policy of the domain that documents may refer to, whether it allows.

    Raises:
        UnusableConsent: it is no XML, or says what consents cannot.
    """
    if len(octets) > LARGEST:
        raise UnusableConsent(f"it has {len(octets)} octets; allowed: {LARGEST}")
    try:
        root = safexml.parse(octets)
    except safexml.MalformedXml as error:
        raise UnusableConsent(str(error)) from None
    if root.tag != f"{{{_XACML}}}PolicySet":
        _refuse(root, f"is no PolicySet of {_XACML}")
    return _Reader(codes, policies).directive(root)


@dataclass(frozen=True, slots=True)
class _Reader:
    codes: CodeTable
    policies: Mapping[str, bool]

    def directive(self, root: _Element) -> Directive:
        target = _only(root, "Target")
        resources = list(self._resources(target))
        if len(resources) != 1:
            _refuse(target, f"has {len(resources)} Resources; the patient is named by exactly one")
        matches = [self._match(each) for each in resources[0]]
        patients = [value for field, value in matches if field == "patient"]
        if len(patients) != 1:
            _refuse(resources[0], f"names {len(patients)} patients, by {_PATIENT}; exactly one is meant")
        scope = self._together(resources[0], [each for each in matches if each[0] != "patient"], {})
        consents = tuple(dict.fromkeys(self._set(root, scope)))
        if len(consents) > MOST:
            _refuse(root, f"has {len(consents)} consents; allowed: {MOST}")
        return Directive(str(patients[0]), root.get("PolicySetId", ""), consents)

    def _set(self, element: _Element, scope: Scope) -> list[Consent]:
        """Those of a PolicySet whose Target is looked at."""
        _attributes(element, required=("PolicySetId", "PolicyCombiningAlgId"), allowed={"Version": None})
        found: list[Consent] = []
        for child in _children(element, _SET):
            name = _name(child)
            if name == "PolicySet":
                found += self._scoped(child, scope, self._set)
            elif name == "Policy":
                found += self._scoped(child, scope, self._policy)
            elif name in _REFERENCES:
                found.append(self._reference(child, scope))
        return self._combined(element, "PolicyCombiningAlgId", "policy", found)

    def _policy(self, element: _Element, scope: Scope) -> list[Consent]:
        _attributes(element, required=("PolicyId", "RuleCombiningAlgId"), allowed={"Version": None})
        rules = [child for child in _children(element, _POLICY) if _name(child) == "Rule"]
        found = [each for rule in rules for each in self._scoped(rule, scope, self._rule)]
        return self._combined(element, "RuleCombiningAlgId", "rule", found)

    def _rule(self, element: _Element, scope: Scope) -> list[Consent]:
        _attributes(element, required=("RuleId", "Effect"))
        list(_children(element, _RULE))
        effect = element.get("Effect", "")
        if effect not in _EFFECTS:
            _refuse(element, f"has Effect {effect!r}; allowed: Permit, Deny")
        return [_consent(_EFFECTS[effect], scope)]

    def _reference(self, element: _Element, scope: Scope) -> Consent:
        _attributes(element)
        list(_children(element, {}, with_text=True))
        name = (element.text or "").strip()
        if name not in self.policies:
            known = ", ".join(sorted(self.policies)) or "none: access.consent_policies is empty"
            _refuse(element, f"refers to {name!r}; policies of this domain: {known}")
        return _consent(self.policies[name], scope)

    def _combined(self, element: _Element, attribute: str, kind: str, found: list[Consent]) -> list[Consent]:
        """What is found, if consents that are in force together come to what the algorithm says."""
        if not found:
            _refuse(element, "permits and denies nothing")
        algorithm = element.get(attribute, "")
        name = algorithm.rpartition(":")[2]
        version = "1.1" if name.startswith("ordered-") else "1.0"
        known = f"urn:oasis:names:tc:xacml:{version}:{kind}-combining-algorithm:{name}"
        if algorithm != known or name not in (*_DENY_OVERRIDES, *_OTHERS):
            _refuse(element, f"has {attribute} {algorithm!r}, which is not read")
        if name not in _DENY_OVERRIDES and len({each.opt_in for each in found}) > 1:
            _refuse(
                element, f"combines Permits and Denies by {name}; here a Deny always wins: deny-overrides"
            )
        return found

    def _scoped(
        self, element: _Element, scope: Scope, then: Callable[[_Element, Scope], list[Consent]]
    ) -> list[Consent]:
        """What an element says for each of the Resources of its Target, one of which must be met."""
        targets = [child for child in element if _name(child) == "Target"]
        if not targets and _name(element) != "Rule":
            _refuse(element, "has no Target")
        if len(targets) > 1:
            _refuse(targets[1], "is a second one")
        resources = list(self._resources(targets[0])) if targets else []
        if not resources:
            return then(element, scope)
        found: list[Consent] = []
        for resource in resources:
            matches = [self._match(each) for each in resource]
            if any(field == "patient" for field, _ in matches):
                _refuse(resource, "names a patient; only the outermost Target does")
            found += then(element, self._together(resource, matches, scope))
            if len(found) > MOST:
                _refuse(element, f"has more than {MOST} consents")
        return found

    def _resources(self, target: _Element) -> Iterator[_Element]:
        _attributes(target)
        lists = list(_children(target, {"Resources": 1}))
        for each in lists:
            _attributes(each)
            found = list(_children(each, {"Resource": MOST}))
            if not found:
                _refuse(each, "holds no Resource")
            for resource in found:
                _attributes(resource)
                if not list(_children(resource, {"ResourceMatch": MOST})):
                    _refuse(resource, "holds no ResourceMatch")
                yield resource

    def _together(self, element: _Element, matches: Sequence[tuple[str, object]], scope: Scope) -> Scope:
        """A narrower scope, in which all matches hold as well."""
        narrowed: dict[str, Any] = dict(scope)
        for field, value in matches:
            if narrowed.setdefault(field, value) != value:
                _refuse(element, f"asks for two values of one attribute at once ({field})")
        return narrowed

    def _match(self, element: _Element) -> tuple[str, object]:
        """Field of a consent, or ``patient``, and its value."""
        _attributes(element, required=("MatchId",))
        list(_children(element, {"AttributeValue": 1, "ResourceAttributeDesignator": 1}))
        value, designator = _only(element, "AttributeValue"), _only(element, "ResourceAttributeDesignator")
        _attributes(value, required=("DataType",))
        _attributes(designator, required=("AttributeId", "DataType"), allowed=_FLAGS, unless=_PATIENT)
        list(_children(designator, {}))
        name, kind = designator.get("AttributeId", ""), designator.get("DataType", "")
        if name not in _TYPES:
            _refuse(designator, f"has AttributeId {name!r}; allowed: {', '.join(_TYPES)}")
        if kind not in _TYPES[name] or value.get("DataType") != kind:
            seen = f"{kind!r} and {value.get('DataType')!r}"
            _refuse(
                designator, f"and AttributeValue have DataTypes {seen}; allowed: {', '.join(_TYPES[name])}"
            )
        if element.get("MatchId") != _EQUAL[kind]:
            _refuse(element, f"has MatchId {element.get('MatchId')!r}; allowed: {_EQUAL[kind]}")
        if name == _PATIENT:
            return "patient", _cx(value)
        if name == _AUTHOR:
            return "institution", _institution(value, kind)
        field, attribute = _CODED[name]
        return field, self._code(value, attribute)

    def _code(self, element: _Element, attribute: str) -> frozenset[str]:
        """Every spelling of a code that the domain knows."""
        held = _held(element, "CodedValue", ("code", "codeSystem"), ("displayName", "codeSystemName"))
        code, scheme = held.get("code", ""), held.get("codeSystem", "")
        if not self.codes.check(attribute, code, scheme, aliases=True):
            near = ", ".join(self.codes.nearest(attribute, code, scheme))
            _refuse(held, f"is no {attribute} of the domain's code table: {code}^^{scheme}; near: {near}")
        return frozenset(self.codes.expand(f"{code}{SEPARATOR}{scheme}"))


def _consent(opt_in: bool, scope: Scope) -> Consent:
    return Consent(opt_in)._replace(**scope)


def _cx(element: _Element) -> str:
    """An identifier with root and extension as CX."""
    held = _held(element, "InstanceIdentifier", ("root", "extension"), _NAMES)
    cx = f"{held.get('extension')}^^^&{held.get('root')}&ISO"
    if not is_cx(cx):
        _refuse(held, "is no identifier of an OID and an extension")
    return cx


def _institution(element: _Element, kind: str) -> str:
    """The id of an institution in its one spelling."""
    if kind != _II:
        list(_children(element, {}, with_text=True))
        name = institution(element.text or "")
        if not name:
            _refuse(element, "holds no id of an institution")
        return name
    held = _held(element, "InstanceIdentifier", ("root",), ("extension", *_NAMES))
    if held.get("extension"):
        return _cx(element)
    root = held.get("root", "")
    if not is_oid(root):
        _refuse(held, f"has root {root!r}, which is no OID")
    return root


_NAMES: Final = ("assigningAuthorityName", "displayable")
_REFERENCES: Final = ("PolicySetIdReference", "PolicyIdReference")
#: Children that are read, and how many of each.
_SET: Final = {"Description": 1, "Target": 1} | dict.fromkeys(("PolicySet", "Policy", *_REFERENCES), MOST)
_POLICY: Final = {"Description": 1, "Target": 1, "Rule": MOST}
_RULE: Final = {"Description": 1, "Target": 1}


def _held(element: _Element, name: str, required: Sequence[str], allowed: Sequence[str]) -> _Element:
    """The one element of HL7 in an AttributeValue."""
    if len(element) != 1 or element[0].tag != f"{{{_HL7}}}{name}" or (element.text or "").strip():
        _refuse(element, f"holds something else than one {name} of {_HL7}")
    _attributes(element[0], required, dict.fromkeys(allowed))
    list(_children(element[0], {}))
    return element[0]


def _only(element: _Element, name: str) -> _Element:
    found = [child for child in element if child.tag == f"{{{_XACML}}}{name}"]
    if len(found) != 1:
        _refuse(element, f"has {len(found)} {name}; it must have one")
    return found[0]


def _children(element: _Element, most: Mapping[str, int], *, with_text: bool = False) -> Iterator[_Element]:
    """The children, none of which is unknown; text only where it is meant."""
    counts: dict[str, int] = {}
    texts = [*([] if with_text else [element.text]), *(child.tail for child in element)]
    if any(text and text.strip() for text in texts):
        _refuse(element, "holds text")
    for child in element:
        name = _name(child)
        counts[name] = counts.get(name, 0) + 1
        if child.tag != f"{{{_XACML}}}{name}" or name not in most:
            _refuse(child, "is not read")
        if counts[name] > most[name]:
            _refuse(child, f"is more than {most[name]} of its kind")
        if name == "Description":
            list(_children(child, {}, with_text=True))
        yield child


def _attributes(
    element: _Element,
    required: Sequence[str] = (),
    allowed: Mapping[str, str | None] | None = None,
    *,
    unless: str = "",
) -> None:
    """That it has those that it must and no unknown ones.

    Args:
        element: whose.
        required: must be there.
        allowed: may be there, with the one value that each may have, None for any.
        unless: AttributeId with which the value does not matter.
    """
    allowed = allowed or {}
    for name in required:
        if element.get(name) is None:
            _refuse(element, f"has no {name}")
    for name, value in ((str(name), str(value)) for name, value in element.items()):
        if name in required or name.startswith(_XSI):
            continue
        wanted = allowed.get(name, "")
        if name not in allowed or (wanted not in (None, value) and element.get("AttributeId") != unless):
            _refuse(element, f"has {name}={value!r}, which is not read")


def _name(element: _Element) -> str:
    return etree.QName(element).localname


def _refuse(element: _Element, problem: str) -> NoReturn:
    """Say what is wrong with an element, and where it stands."""
    path = "/".join(reversed([_name(element), *map(_name, element.iterancestors())]))
    raise UnusableConsent(f"line {element.sourceline}: {path} {problem}")
