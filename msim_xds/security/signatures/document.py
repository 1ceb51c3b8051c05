"""A signed document as it was parsed, once: tree, Ids, signatures, and the work left to spend on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lxml import etree

from msim_xds.security.signatures.names import OBJECT, SIGNATURE, local
from msim_xds.security.signatures.table import Limits
from msim_xds.wire.safexml import MalformedXml, parse_signed

if TYPE_CHECKING:
    from lxml.etree import _Element

_ID_ATTRIBUTES: Final = ("Id", "ID", "id", "{http://www.w3.org/XML/1998/namespace}id")
_WITH_ID: Final = etree.XPath("//*[@Id or @ID or @id or @xml:id]")
_SIGNATURES: Final = etree.XPath("//ds:Signature", namespaces={"ds": "http://www.w3.org/2000/09/xmldsig#"})


class Unacceptable(ValueError):
    """The document is not looked at: not XML, a DOCTYPE, or over a limit."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class OverLimit(ValueError):
    """Verifying would cost more than is allowed."""


@dataclass(slots=True)
class Budget:
    """What may still be spent on one document."""

    octets: int
    transforms: int
    ends: float
    clock: Callable[[], float] = time.monotonic

    def spend(self, octets: int) -> None:
        """Octets that go into a digest.

        Raises:
            OverLimit: there are none left, or the time is over.
        """
        self.octets -= octets
        if self.octets < 0:
            raise OverLimit("the signatures ask for more octets to be digested than is allowed")
        self.check_time()

    def spend_transforms(self, count: int) -> None:
        """Transforms that are carried out.

        Raises:
            OverLimit: there are none left.
        """
        self.transforms -= count
        if self.transforms < 0:
            raise OverLimit("the document's signatures have too many transforms")

    def check_time(self) -> None:
        """Called between steps.

        Raises:
            OverLimit: the time is over.
        """
        if self.clock() > self.ends:
            raise OverLimit("verifying takes longer than is allowed")

    @property
    def seconds_left(self) -> float:
        """Time that is left."""
        return max(self.ends - self.clock(), 0.0)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document.

    Attributes:
        root: its element; the only tree there is.
        ids: the elements of each value of an Id attribute, whatever its case.
        detached: octets of other documents by the name that references may use.
        limits: how much is looked at.
        budget: what is left of that.
    """

    root: _Element
    ids: Mapping[str, list[_Element]]
    detached: Mapping[str, bytes]
    limits: Limits
    budget: Budget
    others: dict[str, _Element] = field(default_factory=dict)

    def signatures(self) -> list[_Element]:
        """The top-level signatures: neither counter-signatures nor content of another signature.

        Raises:
            Unacceptable: too many.
        """
        found: list[_Element] = list(_SIGNATURES(self.root))  # type: ignore[arg-type]  # of elements
        if len(found) > self.limits.signatures * (1 + self.limits.counter_depth):
            raise Unacceptable("TOO_MANY_SIGNATURES", f"more than {self.limits.signatures} signatures")
        found = [signature for signature in found if not _inside_signature(signature)]
        if len(found) > self.limits.signatures:
            raise Unacceptable("TOO_MANY_SIGNATURES", f"more than {self.limits.signatures} signatures")
        return found


def read(data: bytes, detached: Mapping[str, bytes], limits: Limits) -> Document:
    """Parse a document.

    Raises:
        Unacceptable: it is not to be looked at.
    """
    size = len(data) + sum(map(len, detached.values()))
    if len(data) > limits.document_bytes:
        raise Unacceptable("TOO_LARGE", f"the document is larger than {limits.document_bytes} octets")
    try:
        root = parse_signed(data)
    except MalformedXml as error:
        raise Unacceptable("DOCTYPE" if "DOCTYPE" in str(error) else "NOT_XML", str(error)) from None
    octets = limits.digested_factor * size + limits.digested_extra
    budget = Budget(octets, limits.all_transforms, time.monotonic() + limits.seconds)
    return Document(root, _ids(root), detached, limits, budget)


def _ids(root: _Element) -> dict[str, list[_Element]]:
    table: dict[str, list[_Element]] = {}
    for element in _WITH_ID(root):  # type: ignore[union-attr]  # a list of elements
        values = {element.get(name) for name in _ID_ATTRIBUTES}  # type: ignore[union-attr]
        for value in values - {None}:
            table.setdefault(str(value), []).append(element)  # type: ignore[arg-type]
    return table


def _inside_signature(signature: _Element) -> bool:
    """Whether this signature is content or property of another one."""
    below = signature
    for ancestor in signature.iterancestors():
        if ancestor.tag == SIGNATURE and below.tag == OBJECT:
            return True
        below = ancestor
    return False


def is_counter_signature(signature: _Element) -> bool:
    """Whether it stands in a CounterSignature property."""
    parent = signature.getparent()
    return parent is not None and local(parent) == "CounterSignature"
