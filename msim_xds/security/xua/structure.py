"""The form of an assertion as far as it is looked at before its signature is (SAML Core 2.3.3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msim_xds.security.signatures.names import SIGNATURE, local, namespace
from msim_xds.security.xua.names import SAML, moment, saml, text
from msim_xds.security.xua.refusal import Check, refuse

if TYPE_CHECKING:
    from lxml.etree import _Element

_CHILDREN: Final = re.compile(
    r"Issuer (?:ds:Signature )?Subject (?:Conditions )?(?:Advice )?"
    r"(?:(?:Authn|AuthzDecision|Attribute|)Statement )*"
)
_SUBJECT: Final = re.compile(r"NameID (?:SubjectConfirmation )*")
_ID: Final = re.compile(r"[^\W\d][\w.-]{0,255}")


def check(assertion: _Element) -> None:
    """Check 4: version, ID, instant, issuer, subject, and the order of what else is there.

    Raises:
        SecurityFault: what is not so.
    """
    if _CHILDREN.fullmatch(_names(assertion)) is None:
        refuse(Check.FORM, "the assertion's children are not those of SAML 2.0, or not in its order")
    if assertion.get("Version") != "2.0":
        refuse(Check.FORM, "Version is not 2.0")
    if _ID.fullmatch(assertion.get("ID", "")) is None:
        refuse(Check.FORM, "ID is missing or no XML ID")
    if moment(assertion.get("IssueInstant", "")) is None:
        refuse(Check.FORM, "IssueInstant is missing or no time with a zone")
    issuer, subject = assertion.find(saml("Issuer")), assertion.find(saml("Subject"))
    if not _is_plain(issuer):
        refuse(Check.FORM, "Issuer holds no name")
    if subject is None or _SUBJECT.fullmatch(_names(subject)) is None or not _is_plain(subject[0]):
        refuse(Check.FORM, "Subject holds no NameID, or more than it and SubjectConfirmations")


def _is_plain(element: _Element | None) -> bool:
    """Whether it holds text and nothing but text."""
    return element is not None and not len(element) and bool(text(element))


def _names(element: _Element) -> str:
    return "".join(f"{_name(child)} " for child in element)


def _name(child: _Element) -> str:
    if child.tag == SIGNATURE:
        return "ds:Signature"
    return local(child) if namespace(child) == SAML else "?"
