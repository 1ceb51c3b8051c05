"""Namespaces, element names and identifiers of XML signatures and XAdES."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lxml.etree import _Element

DS: Final = "http://www.w3.org/2000/09/xmldsig#"
XADES: Final = "http://uri.etsi.org/01903/v1.3.2#"
XADES141: Final = "http://uri.etsi.org/01903/v1.4.1#"
OLD_XADES: Final = ("http://uri.etsi.org/01903/v1.1.1#", "http://uri.etsi.org/01903/v1.2.2#")
EXC: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
XML: Final = "http://www.w3.org/XML/1998/namespace"
PPZP: Final = "http://crd.gov.pl/xml/schematy/ppzp/"
OSOBA: Final = "http://crd.gov.pl/xml/schematy/osoba/2009/03/06/"

SIGNED_PROPERTIES_TYPES: Final = frozenset(
    ["http://uri.etsi.org/01903#SignedProperties", *(f"{name}SignedProperties" for name in OLD_XADES)]
)
COUNTERSIGNED_TYPE: Final = "http://uri.etsi.org/01903#CountersignedSignature"
OBJECT_TYPE: Final = f"{DS}Object"
MANIFEST_TYPE: Final = f"{DS}Manifest"
SIGNATURE_PROPERTIES_TYPE: Final = f"{DS}SignatureProperties"

SIGNATURE: Final = f"{{{DS}}}Signature"
OBJECT: Final = f"{{{DS}}}Object"
REFERENCE: Final = f"{{{DS}}}Reference"
TRANSFORM_PATH: Final = f"{{{DS}}}Transforms/{{{DS}}}Transform"
CERTIFICATE_PATH: Final = f"{{{DS}}}X509Data/{{{DS}}}X509Certificate"


def ds(name: str) -> str:
    """``name`` in the XML signature namespace."""
    return f"{{{DS}}}{name}"


def local(element: _Element) -> str:
    """The name of an element without its namespace; empty for comments and instructions."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def namespace(element: _Element) -> str:
    """The namespace of an element."""
    return (
        element.tag[1:].partition("}")[0] if isinstance(element.tag, str) and element.tag[:1] == "{" else ""
    )


def text(element: _Element | None) -> str:
    """The text of an element, white space around it dropped; empty where there is none."""
    return (element.text or "").strip() if element is not None else ""
