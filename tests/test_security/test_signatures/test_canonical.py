"""Digests against xmlsec's: whatever xmlsec signs, in whatever canonical form, is intact here."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from msim_xds.security.signatures.canonical import NodeSet, NotCanonical, write
from msim_xds.security.signatures.references import Collected
from msim_xds.security.signatures.table import CANONICAL, Canonical
from msim_xds.security.signatures.validator import Validator
from tests.support.authority import NOW
from tests.support.signing import ENVELOPED, Plan, Reference, sign

TEXT = st.text(st.sampled_from("ab <>&\"'\t\n\r ż]"), max_size=6)
PREFIXES = ("", "p", "q")
SPACES = ("", "urn:a", "urn:b")
XML_ATTRIBUTES = {"lang": "pl", "space": "preserve"}


def _escaped(text: str) -> str:
    for char, reference in {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"}.items():
        text = text.replace(char, reference)
    return text


def _attribute(text: str) -> str:
    return _escaped(text).replace("\t", "&#9;").replace("\n", "&#10;")


@st.composite
def elements(draw: st.DrawFn, depth: int = 3, bound: frozenset[str] = frozenset()) -> str:
    """An element with namespaces declared, changed and undeclared, xml: attributes, comments, PIs."""
    declared = draw(st.dictionaries(st.sampled_from(PREFIXES), st.sampled_from(SPACES), max_size=2))
    spaces = {prefix: uri for prefix, uri in declared.items() if uri or not prefix}
    inside = bound | {prefix for prefix in spaces if prefix}
    prefix = draw(st.sampled_from(sorted({"", *inside})))
    attributes = [f'xmlns{":" + p if p else ""}="{uri}"' for p, uri in spaces.items()]
    attributes += [f'{p}:z="{_attribute(draw(TEXT))}"' for p in sorted(inside)[: draw(st.integers(0, 1))]]
    attributes += [
        f'xml:{n}="{v}"' for n, v in draw(st.sets(st.sampled_from(sorted(XML_ATTRIBUTES.items()))))
    ]
    attributes += [f'b="{_attribute(draw(TEXT))}"'] if draw(st.booleans()) else []
    parts = [_escaped(draw(TEXT))]
    if depth:
        for child in draw(st.lists(elements(depth - 1, inside), max_size=2)):
            parts += [child, draw(st.sampled_from(["", "<!--c-->", "<?i x?>"])), _escaped(draw(TEXT))]
    name = f"{prefix}:e" if prefix else "e"
    return f"<{' '.join([name, *attributes])}>{''.join(parts)}</{name}>"


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """A document whose element with the Id stands somewhere inside."""
    outer = draw(
        st.sampled_from(['xmlns="urn:hl7-org:v3"', 'xmlns:p="urn:a"', 'xml:lang="pl" xmlns="urn:a"', ""])
    )
    middle = draw(st.sampled_from(['xmlns=""', 'xmlns:q="urn:b"', 'xml:space="preserve"', ""]))
    bound = {"p"} & {outer[6:7]} | {"q"} & {middle[6:7]}
    body = draw(elements(bound=frozenset(bound)))
    own = draw(st.sampled_from(['xmlns="urn:c"', 'xml:lang="en"', ""]))
    inner = f'<t {own} Id="it">{body}</t>'
    return f"<?first x?><!--a--><root {outer}><m {middle}>t{inner}&#13;u</m></root><?last y?>".encode()


@given(document=documents(), algorithm=st.sampled_from(sorted(CANONICAL)), whole=st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_xmlsec_signs_is_intact(document: bytes, algorithm: str, whole: bool) -> None:
    reference = Reference("", (ENVELOPED, algorithm)) if whole else Reference("#it", (algorithm,))
    (found,) = Validator().validate(sign(document, Plan(references=[reference])), NOW).signatures
    assert found.intact, [why.code for why in found.reasons]
    assert found.covers_document is whole


def octets(nodes: NodeSet, method: Canonical) -> bytes:
    collected = Collected()
    write(nodes, method, collected)
    return bytes(collected.octets)


def test_the_root_alone_has_no_instructions_around_it() -> None:
    root = etree.fromstring(b"<?a b?><!--c--><r/><?d e?>")
    with_comments = Canonical(exclusive=True, comments=True)
    assert octets(NodeSet(root), with_comments) == b"<r></r>"
    assert (
        octets(NodeSet(root, whole=True, comments=True), with_comments)
        == b"<?a b?>\n<!--c-->\n<r></r>\n<?d e?>"
    )
    assert octets(NodeSet(root, whole=True), with_comments) == b"<?a b?>\n<r></r>\n<?d e?>"


def test_texts_around_what_is_left_out_stay() -> None:
    root = etree.fromstring(b"<r>a<s/>b<s/>c</r>")
    gone = tuple(root)
    assert octets(NodeSet(root, whole=True, without=gone), Canonical()) == b"<r>abc</r>"
    assert etree.tostring(root) == b"<r>a<s/>b<s/>c</r>"


def test_attributes_of_ancestors_are_inherited() -> None:
    outer = b'<r xmlns="urn:a" xml:lang="pl" xml:id="x" xml:base="http://h/" xmlns:p="urn:p">'
    root = etree.fromstring(outer + b'<s p:b="1" a="&lt;&quot;"/></r>')
    names = b'xmlns="urn:a" xmlns:p="urn:p" a="&lt;&quot;" xml:base="http://h/" '
    rest = b'xml:lang="pl" p:b="1"></s>'
    assert octets(NodeSet(root[0]), Canonical()) == b"<s " + names + b'xml:id="x" ' + rest
    assert octets(NodeSet(root[0]), Canonical(version11=True)) == b"<s " + names + rest


def test_nested_bases_are_refused_in_version_11() -> None:
    root = etree.fromstring(b'<r xml:base="http://h/"><s xml:base="x/"/></r>')
    with pytest.raises(NotCanonical, match="xml:base"):
        octets(NodeSet(root[0]), Canonical(version11=True))


def test_relative_namespace_names_have_no_canonical_form() -> None:
    with pytest.raises(NotCanonical, match="relative"):
        octets(NodeSet(etree.fromstring(b'<r xmlns="x/y"/>'), whole=True), Canonical())


def test_nothing_is_not_digested_as_nothing() -> None:
    root = etree.fromstring(b"<r><s><t/></s></r>")
    for gone in (root, root[0]):
        with pytest.raises(NotCanonical, match="leave nothing"):
            octets(NodeSet(root[0], without=(gone,)), Canonical())


def test_large_documents_are_written_in_pieces() -> None:
    root = etree.fromstring(b"<r>" + b"<s>text</s>" * 5000 + b"<gone>%s</gone></r>" % (b"y" * 20000))
    sink = hashlib.sha256()
    write(NodeSet(root, whole=True, without=(root[-1],)), Canonical(), sink)
    assert sink.digest() == hashlib.sha256(b"<r>" + b"<s>text</s>" * 5000 + b"</r>").digest()
