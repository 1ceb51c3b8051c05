"""Every form and every defect: indication, sub-indication, level, coverage, reason."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from lxml import etree

from msim_xds.security.signatures.assess import Assessor
from msim_xds.security.signatures.document import Unacceptable
from msim_xds.security.signatures.reasons import REASONS
from msim_xds.security.signatures.report import Indication, SignatureReport
from msim_xds.security.signatures.table import FILTER2, Limits
from msim_xds.security.signatures.trust import Trust
from msim_xds.security.signatures.validator import Validator
from tests.support import signing
from tests.support.authority import DAY, NOW, world
from tests.support.signing import CDA, NS, Plan, sign
from tests.test_security.test_signatures.cases import CASES, NOBODY, REFUSED, SEAL, TRUST, Case, trust

KEYS = set(
    [
        "id",
        "intact",
        "level",
        "signer",
        "signing_certificate_bound",
        "packaging",
        "covers_document",
        "signing_time",
        "references",
        "timestamps",
        "counter_signatures",
        "indication",
        "sub_indication",
        "reasons",
        "details",
    ]
)
DIGEST = base64.b64encode(bytes(32)).decode()


def reports(document: bytes, whom: Trust = TRUST, **more: dict[str, bytes]) -> tuple[SignatureReport, ...]:
    return Validator(Assessor(whom)).validate(document, NOW, **more).signatures


def report(document: bytes, whom: Trust = TRUST, **more: dict[str, bytes]) -> SignatureReport:
    (found,) = reports(document, whom, **more)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_form_and_defect(case: Case) -> None:
    found = report(case.document(), case.trust, detached=case.detached)
    said = [why.code for why in found.reasons]
    assert (found.indication, found.sub_indication) == (case.indication, case.sub), said
    assert case.intact is None or found.intact is case.intact
    assert case.covers is None or found.covers_document is case.covers
    assert found.signing_certificate_bound is case.bound
    assert not case.level or found.level == case.level
    assert not case.packaging or found.packaging == (case.packaging,)
    assert not case.reason or case.reason in said


@pytest.mark.parametrize("name", REFUSED)
def test_references_that_are_never_followed(name: str) -> None:
    reference, code = REFUSED[name]
    signature = signing.template(Plan(references=[reference]))
    root = etree.fromstring(CDA)
    root.append(signature)
    for value in signature.iter(f"{{{signing.DS}}}DigestValue"):
        value.text = DIGEST
    found = report(signing.octets(root))
    assert not found.intact
    assert not found.covers_document
    assert code in [why.code for row in found.references for why in row.reasons]


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"", "NOT_XML"),
        (b"<a>", "NOT_XML"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a/>', "DOCTYPE"),
        (b"<a" + b" " * 3000 + b"/>", "TOO_LARGE"),
        (b"<a>" * 300 + b"</a>" * 300, "NOT_XML"),
        (b'<a xmlns:ds="%s">%s</a>' % (signing.DS.encode(), b"<ds:Signature/>" * 3), "TOO_MANY_SIGNATURES"),
    ],
)
def test_documents_that_are_not_looked_at(octets: bytes, code: str) -> None:
    with pytest.raises(Unacceptable) as error:
        Validator(limits=Limits(document_bytes=2900, signatures=2)).validate(octets, NOW)
    assert error.value.code == code


def test_a_document_without_signatures() -> None:
    found = Validator().validate(CDA, NOW)
    assert found.signatures == ()
    assert found.worst is None


def test_the_worst_signature_decides() -> None:
    """Two signatures that leave each other out; one is broken afterwards."""
    apart = [signing.Reference("", (signing.XPATH, signing.EXC))]
    once = sign(CDA, Plan(references=apart))
    twice = sign(once, Plan(references=apart, id="S2", signer=SEAL))
    assert [one.indication for one in reports(twice)] == [Indication.TOTAL_PASSED] * 2
    root = etree.fromstring(twice)
    value = root.findall("ds:Signature/ds:SignatureValue", NS)[1]
    value.text = base64.b64encode(bytes(256)).decode()
    found = Validator(Assessor(TRUST)).validate(signing.octets(root), NOW)
    assert [one.intact for one in found.signatures] == [True, False]
    assert found.worst is found.signatures[1]


def test_a_later_signature_breaks_an_earlier_one_that_covers_everything() -> None:
    found = reports(sign(sign(CDA), Plan(id="S2", signer=SEAL)))
    assert [one.intact for one in found] == [False, True]


def test_the_person_of_a_trusted_signature_is_asserted_by_the_seal() -> None:
    found = report(sign(CDA, Plan(signer=SEAL, role=signing.PPZP)), trust(name="p1"))
    assert found.signer is not None
    assert found.signer.asserted == "Łucja Żółcińska"
    assert found.signer.trust_set == "p1"
    assert "CN=Minister" in found.signer.subject
    assert "seal" in [why.code for why in found.warnings]


def countersigned(target: str | None = None) -> Callable[[etree._Element], None]:
    def edit(signature: etree._Element) -> None:
        signing.counter_sign(signature, SEAL, target)

    return edit


def test_counter_signatures_are_reported_and_do_not_lower_the_parent() -> None:
    good = report(sign(CDA, then=countersigned()))
    assert good.indication is Indication.TOTAL_PASSED
    assert [one.indication for one in good.counter_signatures] == [Indication.TOTAL_PASSED]
    other = report(sign(CDA, then=countersigned("#doc")))
    assert other.indication is Indication.TOTAL_PASSED
    assert [one.intact for one in other.counter_signatures] == [False]


def test_counter_signatures_are_not_followed_for_ever() -> None:
    def nested(signature: etree._Element) -> None:
        for number in range(5):
            signature = signing.counter_sign(signature, SEAL, id=f"C{number}")

    found = report(sign(CDA, then=nested))
    assert [why.code for why in found.reasons] == ["over-limit"]


def test_stamps_prove_the_time_only_when_trusted() -> None:
    when = NOW - 10 * DAY
    document = sign(CDA, then=lambda s: signing.add_stamp(s, when))
    trusted, alone = report(document), report(document, NOBODY)
    assert (trusted.best_time, alone.best_time) == (when, NOW)
    assert [(one.intact, one.trusted) for one in trusted.timestamps] == [(True, True)]
    assert [(one.intact, one.trusted) for one in alone.timestamps] == [(True, False)]


def test_a_signature_over_an_embedded_one_is_one_top_level_signature() -> None:
    inner = etree.fromstring(sign(CDA))
    holder = f'<ds:Object Id="o1">{etree.tostring(inner, encoding="unicode")}</ds:Object>'
    inside = signing.Reference("#o1", (signing.EXC,), f"{signing.DS}Object")
    plan = Plan(references=[inside], objects=holder, id="OUT")
    found = report(signing.standalone(plan))
    assert (found.id, found.intact) == ("OUT", True)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(references=1),
        Limits(digested_factor=0, digested_extra=100),
        Limits(all_transforms=1),
        Limits(seconds=-1.0),
    ],
)
def test_over_a_limit_nothing_is_said_to_be_good(limits: Limits) -> None:
    (found,) = Validator(Assessor(TRUST), limits).validate(sign(CDA), NOW).signatures
    assert (found.intact, found.indication) == (False, Indication.TOTAL_FAILED)
    assert [why.code for why in found.reasons] == ["over-limit"]


def test_filter2_may_be_switched_off() -> None:
    transform = (
        f'<ds:Transform xmlns:ds="{signing.DS}" Algorithm="{FILTER2}">'
        f'<f:XPath xmlns:f="{FILTER2}" Filter="subtract">/descendant::ds:Signature</f:XPath></ds:Transform>'
    )
    root = etree.fromstring(CDA)
    plan = Plan(references=[signing.Reference("", (signing.ENVELOPED, signing.EXC))])
    signature = signing.template(plan)
    first = signature.find(".//ds:Transform", NS)
    assert first is not None
    first.getparent().replace(first, etree.fromstring(transform))  # type: ignore[union-attr]
    root.append(signature)
    signing.fill(signature, plan)
    document = signing.octets(root)
    assert report(document).covers_document
    (off,) = Validator(Assessor(TRUST), Limits(filter2=False)).validate(document, NOW).signatures
    assert [why.code for why in off.reasons] == ["transform-refused"]


def test_ends_of_algorithms_can_be_set() -> None:
    assessor = replace(Validator(Assessor(TRUST)).assessor, algorithms={"RSA-1900": NOW.date()})
    (found,) = Validator(assessor).validate(sign(CDA), NOW).signatures
    assert found.sub_indication == "CRYPTO_CONSTRAINTS_FAILURE_NO_POE"


def test_json_has_the_agreed_keys() -> None:
    found = Validator(Assessor(TRUST)).validate(
        sign(CDA, then=lambda s: signing.add_stamp(s, NOW - DAY)), NOW
    )
    (one,) = found.json()["signatures"]
    assert one.keys() == KEYS
    assert one["packaging"] == "enveloped"
    assert one["references"][0] == {"uri": "", "intact": True, "covers_document": True}
    assert one["timestamps"][0]["gen_time"] == "2026-05-31T12:00:00Z"
    assert one["signing_time"] == "2026-06-01T12:00:00Z"


@pytest.mark.parametrize("code", REASONS)
def test_reasons_say_the_same_in_both_languages(code: str) -> None:
    english, polish = REASONS[code]
    fields = [{part.split("}")[0] for part in text.split("{")[1:]} for text in (english, polish)]
    assert fields[0] == fields[1]
    assert english != polish
    assert not english.endswith(".")


def test_the_tree_is_left_as_it_was() -> None:
    """Marks that were put in while canonicalizing are gone, and texts are in their places."""
    from msim_xds.security.signatures.document import read
    from msim_xds.security.signatures.examine import examine

    document = read(sign(CDA), {}, Limits())
    before = etree.tostring(document.root.getroottree())
    examine(document, document.signatures()[0], known=[world().ca.ours])
    assert etree.tostring(document.root.getroottree()) == before
