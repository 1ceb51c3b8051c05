"""What each reference of a signature is for, decided by where it leads.

Moved and foreign targets are found out. Elements are compared by identity, never by the text of an Id: a
signed object that was moved below a wrapper still has the right digest, and only its place gives it away.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from msim_xds.security.signatures import names
from msim_xds.security.signatures.names import ds, local
from msim_xds.security.signatures.properties import Properties
from msim_xds.security.signatures.reasons import Reason, reason
from msim_xds.security.signatures.references import Outcome

if TYPE_CHECKING:
    from lxml.etree import _Element

_MANIFEST: Final = ds("Manifest")
_OWN: Final = frozenset([names.OBJECT, _MANIFEST])


class Role(StrEnum):
    """What a reference signs."""

    SIGNED_PROPERTIES = "signed properties"
    KEY_INFO = "key info"
    SIGNATURE_PROPERTIES = "signature properties"
    COUNTERSIGNED = "countersigned signature"
    MANIFEST = "manifest"
    DATA = "data"


class Placed(NamedTuple):
    """A reference with its role, and what is wrong with the place of its target."""

    outcome: Outcome
    role: Role
    why: Reason | None = None


_BY_TYPE: Final = {
    **dict.fromkeys(names.SIGNED_PROPERTIES_TYPES, Role.SIGNED_PROPERTIES),
    names.MANIFEST_TYPE: Role.MANIFEST,
    names.SIGNATURE_PROPERTIES_TYPE: Role.SIGNATURE_PROPERTIES,
    names.COUNTERSIGNED_TYPE: Role.COUNTERSIGNED,
}
BESIDE_DATA: Final = frozenset([Role.SIGNED_PROPERTIES, Role.KEY_INFO, Role.SIGNATURE_PROPERTIES])


def place(
    outcomes: Sequence[Outcome], signature: _Element, properties: Properties | None, parent: _Element | None
) -> list[Placed]:
    """Roles of the references.

    Args:
        outcomes: the references as they were resolved.
        signature: the signature that holds them.
        properties: its XAdES properties.
        parent: the signature that it counter-signs.
    """
    return [_placed(outcome, signature, properties, parent) for outcome in outcomes]


def _placed(
    outcome: Outcome, signature: _Element, properties: Properties | None, parent: _Element | None
) -> Placed:
    target = outcome.target.element if outcome.target is not None else None
    claimed = _BY_TYPE.get(outcome.type)
    if target is None:
        return Placed(outcome, claimed or Role.DATA)
    role = _role(target, claimed, signature, properties, parent)
    return Placed(outcome, role, _misplaced(outcome, role, target, signature, properties, parent))


def _role(
    target: _Element,
    claimed: Role | None,
    signature: _Element,
    properties: Properties | None,
    parent: _Element | None,
) -> Role:
    if properties is not None and target is properties.signed:
        return Role.SIGNED_PROPERTIES
    if parent is not None and target is parent.find(ds("SignatureValue")):
        return Role.COUNTERSIGNED
    if claimed is not None and (claimed is not Role.COUNTERSIGNED or parent is not None):
        return claimed  # on a top-level signature that Type is meaningless
    if target is signature.find(ds("KeyInfo")):
        return Role.KEY_INFO
    if local(target) == "SignatureProperties":
        return Role.SIGNATURE_PROPERTIES
    return Role.MANIFEST if target.tag == _MANIFEST else Role.DATA


def _misplaced(
    outcome: Outcome,
    role: Role,
    target: _Element,
    signature: _Element,
    properties: Properties | None,
    parent: _Element | None,
) -> Reason | None:
    """Why this target cannot be what the reference says it is."""
    uri = outcome.uri or ""
    if role is Role.SIGNED_PROPERTIES:
        own = properties is not None and target is properties.signed
        return None if own else reason("signed-properties-elsewhere", uri=uri)
    if role is Role.COUNTERSIGNED:
        own = parent is not None and target is parent.find(ds("SignatureValue"))
        return None if own else reason("countersigns-other", uri=uri)
    holder = target.getparent()
    if target.tag == names.OBJECT:
        return None if holder is signature else reason("object-moved", uri=uri)
    if target.tag == _MANIFEST or role is Role.MANIFEST:
        own = holder is not None and holder.tag == names.OBJECT and holder.getparent() is signature
        return None if own and target.tag == _MANIFEST else reason("object-moved", uri=uri)
    if outcome.type == names.OBJECT_TYPE:
        return (
            None if any(a is signature for a in target.iterancestors()) else reason("object-moved", uri=uri)
        )
    return None


def set_problems(
    placed: Sequence[Placed], properties: Properties | None, parent: _Element | None
) -> list[Reason]:
    """What is wrong with the references taken together."""
    problems = []
    roles = [row.role for row in placed]
    if properties is not None and roles.count(Role.SIGNED_PROPERTIES) != 1:
        problems.append(reason("signed-properties-unsigned"))
    if all(role in BESIDE_DATA for role in roles):
        problems.append(reason("signs-nothing"))
    if parent is not None and Role.COUNTERSIGNED not in roles:
        problems.append(reason("countersigns-nothing"))
    return problems


def packaging(placed: Sequence[Placed], signature: _Element) -> tuple[str, ...]:
    """How signature and document stand to each other (EN 319 132-1, 4.5); several where references differ."""
    return tuple(sorted({_packaging(row, signature) for row in placed if row.role not in BESIDE_DATA}))


def _packaging(row: Placed, signature: _Element) -> str:
    target = row.outcome.target
    if target is None:
        return "internally-detached" if (row.outcome.uri or "").startswith("#") else "detached"
    if target.element is None:
        return "detached"
    if any(ancestor is target.element for ancestor in signature.iterancestors()):
        return "enveloped"
    inside = any(ancestor is signature for ancestor in target.element.iterancestors())
    return "enveloping" if inside else "internally-detached"
