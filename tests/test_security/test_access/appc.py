"""APPC documents in pieces, and what they say of a document by the rules of XACML 2.0.

The judge follows XACML's own way, from the decision of each Rule up to the combining algorithms, and shares
nothing with the reader, which makes consents of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from msim_xds.security.access.document import Document
from msim_xds.wire.view import Fact

XACML: Final = "urn:oasis:names:tc:xacml:2.0:policy:schema:os"
ALGORITHM: Final = "urn:oasis:names:tc:xacml:1.0:{}-combining-algorithm:{}"
II, CV = "urn:hl7-org:v3#II", "urn:hl7-org:v3#CV"
STRING: Final = "http://www.w3.org/2001/XMLSchema#string"
STRING_EQUAL: Final = "urn:oasis:names:tc:xacml:1.0:function:string-equal"
RESOURCE_ID: Final = "urn:oasis:names:tc:xacml:2.0:resource:resource-id"
APPC: Final = "urn:ihe:iti:appc:2016:"
AUTHOR: Final = f"{APPC}author-institution:id"
CLASS, FACILITY, EVENT = (
    f"{APPC}document-entry:{name}" for name in ("class-code", "healthcare-facility-type-code", "event-code")
)
PERMIT, DENY, SILENT = "Permit", "Deny", "NotApplicable"


def match(attribute: str, kind: str, value: str, function: str = "", more: str = "") -> str:
    """A ResourceMatch."""
    function = function or f"urn:hl7-org:v3:function:{kind.rpartition('#')[2]}-equal"
    return (
        f'<ResourceMatch MatchId="{function}"><AttributeValue DataType="{kind}">{value}</AttributeValue>'
        f'<ResourceAttributeDesignator AttributeId="{attribute}" DataType="{kind}" {more}/></ResourceMatch>'
    )


def ii(root: str, extension: str = "") -> str:
    """An InstanceIdentifier."""
    more = f'extension="{extension}"' if extension else ""
    return f'<h:InstanceIdentifier xmlns:h="urn:hl7-org:v3" root="{root}" {more}/>'


def cv(code: str, scheme: str) -> str:
    """A CodedValue."""
    return f'<h:CodedValue xmlns:h="urn:hl7-org:v3" code="{code}" codeSystem="{scheme}" displayName="x"/>'


def coded(attribute: str, text: str) -> str:
    """A match of ``code^^scheme``."""
    code, _, scheme = text.partition("^^")
    return match(attribute, CV, cv(code, scheme))


PATIENT: Final = match(RESOURCE_ID, II, ii("1.2.3", "7"), more='MustBePresent="true"')


def target(*resources: str) -> str:
    """A Target of Resources, each with its matches."""
    inner = "".join(f"<Resource>{each}</Resource>" for each in resources)
    return f"<Target><Resources>{inner}</Resources></Target>" if resources else "<Target/>"


def document(*inside: str, algorithm: str = "deny-overrides", also: str = "", before: str = "") -> bytes:
    """A whole document of the patient."""
    return (
        f'<PolicySet xmlns="{XACML}" PolicySetId="urn:uuid:1" '
        f'PolicyCombiningAlgId="{ALGORITHM.format("policy", algorithm)}">{before}'
        f"<Description>Consent</Description>{target(PATIENT + also)}{''.join(inside)}</PolicySet>"
    ).encode()


def policy(*rules: str, algorithm: str = "deny-overrides", where: str = "<Target/>") -> str:
    """A Policy of these Rules."""
    algorithm = ALGORITHM.format("rule", algorithm)
    return f'<Policy PolicyId="p" RuleCombiningAlgId="{algorithm}">{where}{"".join(rules)}</Policy>'


def rule(effect: str, where: str = "", more: str = "") -> str:
    """A Rule."""
    return f'<Rule RuleId="r" Effect="{effect}">{where}{more}</Rule>'


@dataclass(frozen=True)
class Match:
    """A condition on a document: which attribute has which value."""

    attribute: str
    value: str

    def xml(self) -> str:
        if self.attribute == AUTHOR:
            return match(AUTHOR, II, ii(self.value))
        return coded(self.attribute, self.value)

    def holds(self, about: Document) -> bool:
        return (
            self.value
            in {
                AUTHOR: about.institutions,
                EVENT: about.events,
                CLASS: {about.codes.get(Fact.CLASS)},
                FACILITY: {about.codes.get(Fact.FACILITY_TYPE)},
            }[self.attribute]
        )


Resources = Sequence[Sequence[Match]]


def applies(resources: Resources, about: Document) -> bool:
    """Whether a Target is met: no Resources are any, else all matches of one."""
    return not resources or any(all(each.holds(about) for each in one) for one in resources)


@dataclass(frozen=True)
class Node:
    """A Rule, where there is an effect; else a PolicySet of further ones, or a Policy of Rules."""

    resources: Resources = ()
    effect: str = ""
    algorithm: str = "deny-overrides"
    children: Sequence[Node] = field(default_factory=tuple)

    @property
    def is_policy(self) -> bool:
        return bool(self.children) and all(each.effect for each in self.children)

    def xml(self) -> str:
        where = target(*("".join(each.xml() for each in one) for one in self.resources))
        inside = [each.xml() for each in self.children]
        if self.effect:
            return rule(self.effect, where)
        if self.is_policy:
            return policy(*inside, algorithm=self.algorithm, where=where)
        algorithm = ALGORITHM.format("policy", self.algorithm)
        return (
            f'<PolicySet PolicySetId="s" PolicyCombiningAlgId="{algorithm}">{where}'
            f"{''.join(inside)}</PolicySet>"
        )

    def decision(self, about: Document) -> str:
        if not applies(self.resources, about):
            return SILENT
        if self.effect:
            return self.effect
        found = [each.decision(about) for each in self.children]
        said = [each for each in found if each != SILENT]
        if not said:
            return SILENT
        if self.algorithm == "first-applicable":
            return said[0]
        strong = DENY if self.algorithm == "deny-overrides" else PERMIT
        return strong if strong in said else said[0]
