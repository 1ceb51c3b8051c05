"""A signed document as it was parsed, once: tree, Ids, signatures, and the work left to spend on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lxml import etree

from msim_xds.security.signatures.names import OBJECT, SIGNATURE
from msim_xds.security.signatures.table import Limits
from msim_xds.wire.safexml import MalformedXml, parse_signed

if TYPE_CHECKING:
    from lxml.etree import _Element

_ID_ATTRIBUTES: Final = etree.XPath("//@Id | //@ID | //@id | //@xml:id")
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
        ids: the Id attributes of each value, whatever their case.
        detached: octets of other documents by the name that references may use.
        limits: how much is looked at.
        budget: what is left of that.
    """

    root: _Element
    ids: Mapping[str, list[etree._ElementUnicodeResult]]
    detached: Mapping[str, bytes]
    limits: Limits
    budget: Budget

    def with_id(self, value: str) -> list[_Element]:
        """All elements with this Id."""
        found: list[_Element] = []
        for attribute in self.ids.get(value, ()):
            element = attribute.getparent()
            if element is not None and not any(element is one for one in found):
                found.append(element)
        return found

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


def _ids(root: _Element) -> dict[str, list[etree._ElementUnicodeResult]]:
    table: dict[str, list[etree._ElementUnicodeResult]] = {}
    for attribute in _ID_ATTRIBUTES(root):  # type: ignore[union-attr]  # a list of attributes
        table.setdefault(str(attribute), []).append(attribute)  # type: ignore[arg-type]  # the same
    return table


def _inside_signature(signature: _Element) -> bool:
    """Whether this signature is content or property of another one."""
    below = signature
    for ancestor in signature.iterancestors():
        if ancestor.tag == SIGNATURE and below.tag == OBJECT:
            return True
        below = ancestor
    return False
