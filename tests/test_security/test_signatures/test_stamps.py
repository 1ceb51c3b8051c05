"""Time-stamps of every kind over what they are about, and tokens with every defect."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from lxml import etree

from msim_xds.security.signatures.tokens import BadToken, Token
from tests.support import signing
from tests.support.authority import DAY, NOW, issue, stamp, world
from tests.support.signing import CDA, NS, Plan, canonical, sign, stamp_xml, unsigned
from tests.test_security.test_signatures.cases import SEAL, TSA_WRONG, W
from tests.test_security.test_signatures.test_validator import report

REFS = "<xades:CompleteCertificateRefs/>", "<xades:CompleteRevocationRefs/>"
REFS2 = "<xades141:CompleteCertificateRefsV2/>", "<xades:CompleteRevocationRefs/>"
Edit = Callable[[etree._Element], None]


def over_refs(name: str, prefix: str, refs: tuple[str, str], *, with_value: bool) -> Edit:
    """A time-stamp over references to certificates and revocation data."""

    def edit(signature: etree._Element) -> None:
        signing.add_stamp(signature, NOW - 20 * DAY)
        for one in refs:
            unsigned(signature, one)
        rows = signature.find(".//xades:UnsignedSignatureProperties", NS)
        value = signature.find("ds:SignatureValue", NS)
        assert rows is not None
        assert value is not None
        parts = (
            [canonical(value), *map(canonical, rows)]
            if with_value
            else [canonical(one) for one in list(rows)[1:]]
        )
        unsigned(signature, stamp_xml(name, stamp(b"".join(parts), NOW - 10 * DAY, W.tsa), prefix))

    return edit


@pytest.mark.parametrize(
    ("name", "prefix", "refs", "with_value"),
    [
        ("SigAndRefsTimeStamp", "xades", REFS, True),
        ("RefsOnlyTimeStamp", "xades", REFS, False),
        ("SigAndRefsTimeStampV2", "xades141", REFS2, True),
        ("RefsOnlyTimeStampV2", "xades141", REFS2, False),
    ],
)
def test_stamps_over_references(name: str, prefix: str, refs: tuple[str, str], with_value: bool) -> None:
    found = report(sign(CDA, then=over_refs(name, prefix, refs, with_value=with_value)))
    assert [(one.type, one.intact) for one in found.timestamps] == [
        ("SignatureTimeStamp", True),
        (name, True),
    ]
    assert found.level == "XAdES-X"


def test_a_stamp_of_one_form_over_references_of_the_other_is_not_about_them() -> None:
    found = report(sign(CDA, then=over_refs("SigAndRefsTimeStampV2", "xades141", REFS, with_value=True)))
    assert [one.intact for one in found.timestamps] == [True, False]


def test_stamp_of_single_references() -> None:
    document = signing.sign(CDA, Plan(content_stamp=NOW - DAY))
    include = f'<xades:Include xmlns:xades="{signing.XADES}" URI="#S1-r0" referencedData="true"/>'
    changed = document.replace(b"AllDataObjectsTimeStamp", b"IndividualDataObjectsTimeStamp")
    for part, intact in ((include.encode(), True), (include.replace("r0", "r9").encode(), False)):
        edited = changed.replace(b"<ds:CanonicalizationMethod", part + b"<ds:CanonicalizationMethod", 2)
        edited = edited.replace(part, b"", 1)  # that was SignedInfo's
        (only,) = report(edited).timestamps
        assert (only.type, only.intact) == ("IndividualDataObjectsTimeStamp", intact)


POLICY = (
    "<xades:SignaturePolicyIdentifier><xades:SignaturePolicyId><xades:SigPolicyId><xades:Identifier>urn:oid:1.2"
    "</xades:Identifier></xades:SigPolicyId></xades:SignaturePolicyId></xades:SignaturePolicyIdentifier>"
)


@pytest.mark.parametrize(
    ("level", "plan", "extras"),
    [
        ("XAdES-BES", Plan(time=None), ""),
        ("XAdES-BES", Plan(formats=False), ""),
        ("XAdES-EPES", Plan(time=None, policy=POLICY), ""),
        ("XAdES-BASELINE-B", Plan(policy=POLICY), ""),
        ("XAdES-BASELINE-T", Plan(), "stamp"),
        ("XAdES-T", Plan(time=None), "stamp"),
        ("XAdES-C", Plan(), "stamp refs"),
        ("XAdES-LT", Plan(time=None), "stamp values"),
        ("XAdES-BASELINE-LT", Plan(), "stamp values"),
        ("XAdES-BASELINE-LTA", Plan(), "stamp values archive"),
        ("XAdES-A", Plan(time=None), "stamp values archive"),
        ("XAdES-A", Plan(), "stamp refs archive"),
    ],
)
def test_levels(level: str, plan: Plan, extras: str) -> None:
    adding: dict[str, Edit] = {
        "stamp": lambda s: signing.add_stamp(s, NOW - 3 * DAY),
        "refs": lambda s: unsigned(s, REFS[0]),
        "values": lambda s: signing.add_values(s, [W.ca, W.root], W.crls(NOW - 2 * DAY)),
        "archive": lambda s: signing.add_archive_stamp(s, NOW - DAY, W.tsa),
    }

    def edit(signature: etree._Element) -> None:
        for name in extras.split():
            adding[name](signature)

    found = report(sign(CDA, plan, then=edit))
    assert found.level == level
    assert all(stamp.intact for stamp in found.timestamps)
    assert found.policy == ("1.2" if plan.policy else "")


@pytest.mark.parametrize(
    ("code", "token"),
    [
        ("token-unreadable", b"nothing"),
        ("token-unreadable", W.signer.der),
        ("token-unreadable", b""),
        ("token-unreadable", b"0" * 70000),
        ("token-imprint", stamp(b"other", NOW, W.tsa)),
    ],
)
def test_tokens_that_say_nothing(code: str, token: bytes) -> None:
    found = report(sign(CDA, then=lambda s: unsigned(s, stamp_xml("SignatureTimeStamp", token))))
    assert [[why.code for why in one.reasons] for one in found.timestamps] == [[code]]
    assert found.indication == "TOTAL_PASSED"


def _token(**options: object) -> Token:
    return Token(stamp(b"x", NOW, options.pop("authority", W.tsa), **options))  # type: ignore[arg-type]


def test_a_good_token() -> None:
    token = _token()
    assert (token.problem(), token.gen_time, token.imprint_algorithm) == (None, NOW, "sha256")
    assert token.signer == W.tsa.ours
    by_rsa = issue("TSA RSA", W.ca, key_name="rsa-2048 tsa", eku=ExtendedKeyUsageOID.TIME_STAMPING)
    assert _token(authority=by_rsa).problem() is None


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("token-signature", {"spoil": True}),
        ("token-binding", {"binding": b"another"}),
        ("token-usage", {"authority": SEAL}),
        ("token-usage", {"authority": TSA_WRONG}),
        ("token-no-certificate", {"bare": True}),
        ("token-binding", {"unbound": True}),
    ],
)
def test_tokens_with_a_defect(code: str, options: dict[str, object]) -> None:
    problem = _token(**options).problem()
    assert problem is not None
    assert problem.code == code


@pytest.mark.parametrize("octets", [b"", b"0\x80", world().signer.der, base64.b64decode("MAA=")])
def test_what_is_no_token(octets: bytes) -> None:
    with pytest.raises(BadToken):
        Token(octets)
