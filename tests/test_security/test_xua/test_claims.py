"""What is read of an assertion: who asks, in which roles, for what purpose, of which patient."""

from __future__ import annotations

from tests.support.saml import PATIENT, ROLE, XSPA, ask, attribute, coded, sign, signed, statement
from tests.test_security.test_xua.conftest import Door
from tests.test_security.test_xua.welcome import USER


def test_caller(door: Door) -> None:
    found = door.caller(ask(sign()))
    assert found is not None
    assert found.user == USER
    assert found.roles == (("112247003", "2.16.840.1.113883.6.96", "Medical doctor"),)
    assert found.purposes == (("TREATMENT", "1.2.3", "Text"),)
    assert found.organization == "urn:oid:1.2.3.4"
    assert found.patient == "104233^^^&1.2.3&ISO"


def test_repeated_attributes_and_values_are_all_read(door: Door) -> None:
    attributes = statement(
        attribute(ROLE, coded("Role", "1"), coded("role", "2")), attribute(ROLE, coded("hl7Role", "1"))
    ) + statement(attribute(ROLE, "plain"), attribute(f"{XSPA}functional-role", "nurse"))
    found = door.caller(ask(signed(attributes=attributes)))
    assert found is not None
    assert [role[0] for role in found.roles] == ["1", "2", "plain", "nurse"]


def test_polish_attributes(door: Door) -> None:
    attributes = statement(
        attribute(f"{XSPA}organization-id", "PL.2.3.1#000000999901"),
        attribute("urn:oasis:names:tc:SAML:attribute:subject-id", "PL.1.6.2#2999999"),
        attribute("urn:oasis:names:tc:xacml:1.0:resource:resource-id", "PL.1.1.616#58831404726"),
        attribute(f"{XSPA}functional-role", "medical doctor"),
        attribute("urn:oasis:names:tc:xacml:2.0:action:purpose", "TREAT"),
    )
    found = door.caller(ask(signed(attributes=attributes)))
    assert found is not None
    assert found.organization == "000000999901^^^&2.16.840.1.113883.3.4424.2.3.1&ISO"
    assert found.patient == "58831404726^^^&2.16.840.1.113883.3.4424.1.1.616&ISO"
    assert found.roles == (("medical doctor", "", ""),)
    assert found.purposes == (("TREAT", "", ""),)


def test_identifiers_of_hl7_version_3(door: Door) -> None:
    element = '<id xmlns="urn:hl7-org:v3" root="1.2.3" extension="104233"/>'
    found = door.caller(ask(signed(attributes=statement(attribute(PATIENT, element)))))
    assert found is not None
    assert found.patient == "104233^^^&1.2.3&ISO"


def test_comment_does_not_cut_the_name(door: Door) -> None:
    """``admin<!-- -->.evil``, signed as ``admin.evil``, is never read as admin."""
    assertion = signed(name_id="<s:NameID>admin.evil</s:NameID>")
    found = door.caller(ask(assertion.replace("admin.evil", "admin<!-- x -->.evil")))
    assert found is not None
    assert found.user == "<admin.evil@https://sts.example.pl/xua>"
