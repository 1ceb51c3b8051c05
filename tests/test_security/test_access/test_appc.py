"""Consents from APPC documents: they say what XACML says, or the document is refused."""

# ruff: noqa: E501  # a row of a table is one line
from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msim_xds.ihe.codes import CodeTable
from msim_xds.metadata.hl7v2 import is_cx
from msim_xds.security.access import appc
from msim_xds.security.access.appc import Directive, UnusableConsent
from msim_xds.security.access.document import Consent, Document, concerns
from msim_xds.wire.view import Fact
from tests.test_security.test_access.appc import (
    APPC,
    AUTHOR,
    CLASS,
    CV,
    DENY,
    EVENT,
    FACILITY,
    II,
    PATIENT,
    PERMIT,
    RESOURCE_ID,
    SILENT,
    STRING,
    STRING_EQUAL,
    Match,
    Node,
    coded,
    cv,
    document,
    ii,
    match,
    policy,
    rule,
    target,
)

CODES = CodeTable.load()
P1 = "2.16.840.1.113883.3.4424.11.1.32"
DISCHARGE, CONSULTATION = f"00.20^^{P1}", f"05.00^^{P1}"
POLICIES = {"urn:oid:1.2.3.4.1": False, "urn:oid:1.2.3.4.2": True}


def read(octets: bytes) -> Directive:
    return appc.read(octets, CODES, POLICIES)


def consents(*inside: str, algorithm: str = "deny-overrides", also: str = "") -> tuple[Consent, ...]:
    return read(document(*inside, algorithm=algorithm, also=also)).consents


def refusal(octets: bytes) -> str:
    with pytest.raises(UnusableConsent) as caught:
        read(octets)
    return str(caught.value)


def test_the_patient_and_a_refusal_of_everything() -> None:
    directive = read(document(policy(rule("Deny"))))
    assert directive == ("7^^^&1.2.3&ISO", "urn:uuid:1", (Consent(False),))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (match(AUTHOR, II, ii("1.2.616.1")), Consent(False, institution="1.2.616.1")),
        (match(AUTHOR, II, ii("1.2.616", "9")), Consent(False, institution="9^^^&1.2.616&ISO")),
        (
            match(AUTHOR, STRING, " urn:oid:1.2.616.1 ", STRING_EQUAL),
            Consent(False, institution="1.2.616.1"),
        ),
        (
            coded(CLASS, DISCHARGE) + match(AUTHOR, II, ii("1.2.616.1")),
            Consent(False, frozenset(CODES.expand(DISCHARGE)), "1.2.616.1"),
        ),
    ],
)
def test_scopes(where: str, expected: Consent) -> None:
    assert consents(policy(rule("Deny", target(where)))) == (expected,)
    assert consents(policy(rule("Deny"), where=target(where))) == (expected,)
    assert consents(policy(rule("Deny")), also=where) == (expected,)


def test_each_of_several_resources_is_a_consent() -> None:
    one, other = (match(AUTHOR, II, ii(each)) for each in ("1.2", "1.3"))
    assert consents(policy(rule("Deny", target(one, other)))) == (
        Consent(False, institution="1.2"),
        Consent(False, institution="1.3"),
    )


def test_policies_of_the_domain() -> None:
    everything = "<PolicySetIdReference> urn:oid:1.2.3.4.2 </PolicySetIdReference>"
    some = (
        '<PolicySet PolicySetId="x" PolicyCombiningAlgId="'
        'urn:oasis:names:tc:xacml:1.1:policy-combining-algorithm:ordered-deny-overrides">'
        f"{target(match(AUTHOR, II, ii('1.2')))}<PolicyIdReference>urn:oid:1.2.3.4.1</PolicyIdReference></PolicySet>"
    )
    assert consents(everything, some) == (Consent(True), Consent(False, institution="1.2"))
    assert "refers to 'urn:oid:9'; policies of this domain: urn:oid:1.2.3.4.1, urn:oid:1.2.3.4.2" in refusal(
        document("<PolicyIdReference>urn:oid:9</PolicyIdReference>")
    )
    with pytest.raises(UnusableConsent, match=r"none: access\.consent_policies is empty"):
        appc.read(document(everything), CODES, {})


RULE = policy(rule("Deny"))
SUBJECTS = "<Subjects><Subject/></Subjects>"
ROOT = "PolicySet/Policy/Rule"
OUTSIDE = {
    "users": (document(policy(rule("Permit", f"<Target>{SUBJECTS}</Target>"))), f"{ROOT}/Target/Subjects"),
    "actions": (document(policy(rule("Permit", "<Target><Actions/></Target>"))), "Target/Actions"),
    "times": (document(policy(rule("Permit", "<Target><Environments/></Target>"))), "Target/Environments"),
    "a condition": (document(policy(rule("Permit", more="<Condition/>"))), f"{ROOT}/Condition"),
    "obligations": (document(RULE, "<Obligations/>"), "PolicySet/Obligations"),
    "a variable": (document(policy('<VariableDefinition VariableId="v"/>')), "Policy/VariableDefinition"),
    "defaults": (document(RULE, before="<PolicySetDefaults/>"), "PolicySetDefaults"),
    "another namespace": (document(RULE, '<Policy xmlns="urn:x"/>'), "PolicySet/Policy is not read"),
    "a signature": (document(RULE, '<Signature xmlns="urn:x"/>'), "PolicySet/Signature is not read"),
    "an unknown attribute": (
        document(policy(rule("Deny", target(match(f"{APPC}document-entry:type-code", CV, cv("1", "2")))))),
        "type-code'; allowed: ",
    ),
    "a selector": (
        document(policy(rule("Deny", "<Target><Resources><Resource><ResourceMatch MatchId='x'>"
        "<AttributeSelector/></ResourceMatch></Resource></Resources></Target>"))),
        "ResourceMatch/AttributeSelector is not read",
    ),
    "an issuer": (document(policy(rule("Deny", target(match(AUTHOR, II, ii("1.2"), more='Issuer="x"'))))), "Issuer='x'"),
    "must be present": (
        document(policy(rule("Deny", target(match(AUTHOR, II, ii("1.2"), more='MustBePresent="true"'))))),
        "MustBePresent='true'",
    ),
    "another function": (
        document(policy(rule("Deny", target(match(AUTHOR, STRING, "1.2", "urn:x:string-regexp-match"))))),
        "has MatchId 'urn:x:string-regexp-match'",
    ),
    "another type": (document(policy(rule("Deny", target(match(CLASS, STRING, "x", STRING_EQUAL))))), "DataTypes"),
    "an unknown code": (document(policy(rule("Deny", target(coded(CLASS, f"00.2^^{P1}"))))), "is no classCode of the domain's code table: 00.2^^"),
    "an extra attribute of a code": (
        document(policy(rule("Deny", target(match(CLASS, CV, cv("00.20", P1).replace("displayName", "nullFlavor")))))),
        "CodedValue has nullFlavor",
    ),
    "two values at once": (
        document(policy(rule("Deny", target(match(AUTHOR, II, ii("1.2")) + match(AUTHOR, II, ii("1.3")))))),
        "asks for two values of one attribute at once (institution)",
    ),
    "an institution without id": (document(policy(rule("Deny", target(match(AUTHOR, II, ii("x")))))), "root 'x', which is no OID"),
    "an empty institution": (document(policy(rule("Deny", target(match(AUTHOR, STRING, " ", STRING_EQUAL))))), "holds no id"),
    "a second patient": (document(policy(rule("Deny", target(PATIENT)))), "only the outermost Target does"),
    "two patients": (document(RULE, also=match(RESOURCE_ID, II, ii("1.2.3", "8"))), "names 2 patients"),
    "no patient": (document(RULE).replace(PATIENT.encode(), match(AUTHOR, II, ii("1.2")).encode()), "names 0 patients"),
    "a patient without extension": (document(RULE).replace(b'extension="7"', b""), "has no extension"),
    "a patient of no authority": (document(RULE).replace(b'"1.2.3"', b'"x"'), "is no identifier"),
    "two Resources of the patient": (document(RULE).replace(target(PATIENT).encode(), target(PATIENT, PATIENT).encode()), "has 2 Resources"),
    "no Resource": (document(policy(rule("Deny", "<Target><Resources/></Target>"))), "holds no Resource"),
    "an empty Resource": (document(policy(rule("Deny", target("")))), "holds no ResourceMatch"),
    "no Target": (document(policy(rule("Deny"), where="")), "PolicySet/Policy has no Target"),
    "two Targets": (document(policy(rule("Deny", "<Target/><Target/>"))), "Target is a second one"),
    "no rule": (document(policy()), "PolicySet/Policy permits and denies nothing"),
    "nothing": (document(), "PolicySet permits and denies nothing"),
    "no effect": (document(policy(rule("Maybe"))), "has Effect 'Maybe'"),
    "no id": (document(RULE).replace(b'PolicySetId="urn:uuid:1"', b""), "has no PolicySetId"),
    "a version of a reference": (document('<PolicyIdReference Version="1">urn:oid:1.2.3.4.1</PolicyIdReference>'), "Version='1'"),
    "text": (document(RULE, "text"), "PolicySet holds text"),
    "another algorithm": (document(RULE, algorithm="only-one-applicable"), "only-one-applicable', which is not read"),
    "an algorithm of rules": (
        document(RULE).replace(b"policy-combining", b"rule-combining"), "which is not read",
    ),
    "permits that win": (document(policy(rule("Permit"), rule("Deny"), algorithm="permit-overrides")), "combines Permits and Denies by permit-overrides"),
    "the first that wins": (document(policy(rule("Permit")), RULE, algorithm="first-applicable"), "by first-applicable"),
    "two elements in a value": (document(RULE).replace(b"</AttributeValue>", b"<x/></AttributeValue>"), "something else than one InstanceIdentifier"),
    "no XACML 2.0": (document(RULE).replace(b"xacml:2.0:policy", b"xacml:3.0:policy"), "is no PolicySet of urn:oasis"),
    "no XML": (b"<PolicySet>", "XML"),
    "a DOCTYPE": (b"<!DOCTYPE x>" + document(RULE), "DOCTYPE"),
    "too many octets": (document(RULE) + b" " * appc.LARGEST, "allowed: 1048576"),
    "too many consents": (document(policy(*[rule("Deny", target(*(match(AUTHOR, II, ii(f"1.{a}.{b}")) for b in range(60)))) for a in range(2)])), "has 120 consents; allowed: 100"),
    "too many rules": (document(policy(*[rule("Deny")] * 101)), "is more than 100 of its kind"),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_consents_cannot_say_is_refused_with_its_place(name: str) -> None:
    octets, problem = OUTSIDE[name]
    assert problem in refusal(octets)


def test_the_line_is_told() -> None:
    octets = document("\n\n", policy(rule("Permit", more="<Condition/>")))
    assert refusal(octets) == "line 3: PolicySet/Policy/Rule/Condition is not read"


def test_documents_that_multiply_are_given_up_soon() -> None:
    """Two Resources at each of many levels would be two to their number."""
    where = target(*2 * [match(AUTHOR, II, ii("1.2"))])
    inner = policy(rule("Deny"))
    for _ in range(60):
        inner = document(inner).decode().replace(target(PATIENT), where)
    assert "PolicySet has more than 100 consents" in refusal(document(inner))


# --- against XACML itself ------------------------------------------------------------------------

VALUES = {
    AUTHOR: ("1.2.616.1", "1.2.616.2"),
    CLASS: (DISCHARGE, CONSULTATION),
    FACILITY: ("4500^^2.16.840.1.113883.3.4424.11.2.4", "4000^^2.16.840.1.113883.3.4424.11.2.4"),
    EVENT: ("1^^2.16.840.1.113883.3.4424.11.2.6", "A00^^2.16.840.1.113883.6.3"),
}
matches = st.sampled_from([Match(name, value) for name, values in VALUES.items() for value in values])
resources = st.lists(
    st.lists(matches, min_size=1, max_size=2, unique_by=lambda each: each.attribute), max_size=2
)
algorithms = st.sampled_from(["deny-overrides", "permit-overrides", "first-applicable"])
rules = st.builds(Node, resources, st.sampled_from([PERMIT, DENY]))
policies = st.builds(Node, resources, st.just(""), algorithms, st.lists(rules, min_size=1, max_size=3))
nodes = st.recursive(
    policies,
    lambda inner: st.builds(
        Node, resources, st.just(""), algorithms, st.lists(inner, min_size=1, max_size=2)
    ),
    max_leaves=4,
)
documents = st.builds(
    lambda by, class_code, facility, events: Document(
        codes={
            fact: code
            for fact, code in ((Fact.CLASS, class_code), (Fact.FACILITY_TYPE, facility))
            if code is not None
        },
        institutions=by,
        events=events,
    ),
    st.frozensets(st.sampled_from(VALUES[AUTHOR])),
    st.none() | st.sampled_from(VALUES[CLASS]),
    st.none() | st.sampled_from(VALUES[FACILITY]),
    st.frozensets(st.sampled_from(VALUES[EVENT])),
)


def decision(said: tuple[Consent, ...], about: Document) -> str:
    """What consents come to where a refusal wins."""
    answers = {each.opt_in for each in said if concerns(each, about)}
    return SILENT if not answers else DENY if False in answers else PERMIT


@given(inside=st.lists(nodes, min_size=1, max_size=3), abouts=st.lists(documents, min_size=1, max_size=5))
def test_what_is_read_says_what_xacml_says(inside: list[Node], abouts: list[Document]) -> None:
    try:
        said = consents(*(each.xml() for each in inside))
    except UnusableConsent as error:
        assert re.search("two values of one attribute|combines Permits and Denies", str(error))  # noqa: PT017
        return
    whole = Node(children=[*inside, Node(children=[])])
    for about in abouts:
        assert decision(said, about) == whole.decision(about)


def mutants(octets: bytes) -> Iterator[bytes]:
    """The same with an element or an attribute left out or renamed."""
    for name in re.findall(rb"<(\w+)", octets):
        yield octets.replace(b"<" + name, b"<X").replace(b"</" + name, b"</X")
    for found in re.finditer(rb' \w+="[^"]*"', octets):
        yield octets[: found.start()] + octets[found.end() :]


@given(data=st.data(), inside=policies)
def test_damaged_documents_never_say_more(data: st.DataObject, inside: Node) -> None:
    """An element that is not known, or an attribute that is missing, is never passed over."""
    octets = document(inside.xml())
    spoilt = data.draw(st.sampled_from(list(mutants(octets))))
    try:
        before = read(octets)
    except UnusableConsent:
        return
    try:
        after = read(spoilt)
    except UnusableConsent:
        return
    assert after == before  # only what says nothing was spoilt: a displayName, a flag that is the default
    assert is_cx(after.patient)
