"""Anchors, lists and revocation data from files."""

from __future__ import annotations

import base64
from datetime import date
from pathlib import Path

import pytest

from msim_xds.security.signatures.setup import validator
from msim_xds.security.signatures.table import Limits
from msim_xds.security.signatures.trust import Period, UnusableTrust, anchors_of, from_directory
from msim_xds.security.signatures.trusted_list import load
from msim_xds.signature_settings import SignatureSettings
from tests.support.authority import DAY, NOW, Identity, issue, ocsp_answer, world
from tests.support.signing import CDA, Plan, add_stamp, sign

W = world()
OPERATOR = issue("Operator listy", None, key_name="rsa-2048 operator", usage={"digital_signature": True})
LIST = """<TrustServiceStatusList xmlns="http://uri.etsi.org/02231/v2#" Id="tsl">
<SchemeInformation><NextUpdate><dateTime>{next}</dateTime></NextUpdate></SchemeInformation><TrustServiceProviderList><TrustServiceProvider>
<TSPServices>{services}</TSPServices></TrustServiceProvider></TrustServiceProviderList></TrustServiceStatusList>"""
STATUS = "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/"
QC, QTST = "http://uri.etsi.org/TrstSvc/Svctype/CA/QC", "http://uri.etsi.org/TrstSvc/Svctype/TSA/QTST"


def service(who: Identity, kind: str = QC, *rows: tuple[str, str]) -> str:
    """A service with its current status and its history, newest first."""
    (status, start), *history = rows or ((f"{STATUS}granted", "2020-01-01T00:00:00Z"),)
    past = "".join(
        f"<ServiceHistoryInstance><ServiceStatus>{old}</ServiceStatus>"
        f"<StatusStartingTime>{since}</StatusStartingTime></ServiceHistoryInstance>"
        for old, since in history
    )
    return (
        f"<TSPService><ServiceInformation><ServiceTypeIdentifier>{kind}</ServiceTypeIdentifier>"
        f"<ServiceDigitalIdentity><DigitalId><X509Certificate>{base64.b64encode(who.der).decode()}"
        f"</X509Certificate></DigitalId></ServiceDigitalIdentity><ServiceStatus>{status}</ServiceStatus>"
        f"<StatusStartingTime>{start}</StatusStartingTime></ServiceInformation>"
        f"<ServiceHistory>{past}</ServiceHistory></TSPService>"
    )


def signed_list(*services: str, due: str = "2026-12-01T00:00:00Z") -> bytes:
    return sign(LIST.format(next=due, services="".join(services)).encode(), Plan(signer=OPERATOR))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Anchors of three sets, an authority in between, CRLs and an OCSP response."""
    for name, content in {
        "zus/root.pem": W.root.pem,
        "tsa/root.der": W.root.der,
        "other.crt": W.tsa.pem + W.responder.pem,
        "intermediate/ca.cer": W.ca.pem,
        "crl/root.crl": W.crls()[0],
        "crl/ca.crl": b"-----BEGIN X509 CRL-----\n%s\n-----END X509 CRL-----\n"
        % base64.b64encode(W.crls()[1]),
        "ocsp/signer.ocsp": ocsp_answer(W.signer, W.ca),
        "README": b"not looked at",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def test_a_directory_is_read_by_its_folders(folder: Path) -> None:
    trust = from_directory(folder)
    assert sorted((one.trust_set, one.time_stamps) for one in trust.anchors) == [
        ("local", False), ("local", False), ("tsa", True), ("zus", False)
    ]  # fmt: skip
    assert trust.others == (W.ca.ours,)
    assert [item.is_crl for item in trust.revocations] == [True, True, False]


def test_what_settings_trust_is_trusted(folder: Path) -> None:
    settings = SignatureSettings(trust=folder, algorithm_ends={"sha1": date(2030, 1, 1)})
    document = sign(CDA, Plan(digest="sha1"), then=lambda signature: add_stamp(signature, NOW - DAY))
    (found,) = validator(settings, NOW).validate(document, NOW).signatures
    assert found.sub_indication is None
    assert found.signer is not None
    assert found.signer.trust_set == "zus"
    assert [stamp.trusted for stamp in found.timestamps] == [True]


def test_sets_may_stand_elsewhere(folder: Path, tmp_path: Path) -> None:
    sets = {"p1": folder / "zus" / "root.pem", "seals": folder / "intermediate"}
    assert [(one.trust_set, one.certificate) for one in anchors_of(sets).anchors] == [
        ("p1", W.root.ours), ("seals", W.ca.ours)
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["zus/bad.pem", "crl/bad.crl", "ocsp/bad.ocsp", "intermediate/bad.der"])
def test_unusable_files_are_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n")
    with pytest.raises(UnusableTrust, match="bad"):
        from_directory(folder)


def test_an_empty_set_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UnusableTrust, match="no certificate files"):
        anchors_of({"zus": tmp_path})


def test_a_trusted_list_gives_qualified_anchors() -> None:
    octets = signed_list(service(W.ca), service(W.tsa, QTST), service(W.root, f"{QC}x"))
    trust = load(octets, "PL_TSL.xml", [OPERATOR.ours], NOW, Limits())
    assert [(one.trust_set, one.certificate, one.time_stamps) for one in trust.anchors] == [
        ("qualified", W.ca.ours, False), ("qualified", W.tsa.ours, True)
    ]  # fmt: skip
    assert trust.warnings == ()


def test_the_status_counts_at_its_time() -> None:
    rows = [(f"{STATUS}withdrawn", "2026-01-01T00:00:00Z"), (f"{STATUS}granted", "2025-01-01T00:00:00Z")]
    (anchor,) = load(signed_list(service(W.ca, QC, *rows)), "x", [OPERATOR.ours], NOW, Limits()).anchors
    assert [anchor.granted(moment) for moment in (NOW, NOW - 200 * DAY, NOW - 700 * DAY)] == [
        False,
        True,
        False,
    ]
    assert anchor.periods[0] == Period(NOW.replace(2025, 1, 1, 0), NOW.replace(2026, 1, 1, 0))


def test_a_service_that_was_never_granted_is_no_anchor() -> None:
    octets = signed_list(service(W.ca, QC, (f"{STATUS}withdrawn", "2020-01-01T00:00:00Z")))
    assert load(octets, "x", [OPERATOR.ours], NOW, Limits()).anchors == ()


def test_a_list_that_is_overdue_warns() -> None:
    octets = signed_list(service(W.ca), due="2026-01-01T00:00:00Z")
    assert "2026-01-01" in load(octets, "x", [OPERATOR.ours], NOW, Limits()).warnings[0]


@pytest.mark.parametrize(
    "octets",
    [
        b"<x/>",
        b"no list",
        LIST.format(next="", services="").encode(),
        sign(LIST.format(next="", services="").encode()),
        signed_list(service(W.ca)).replace(b"2020-01-01", b"2010-01-01"),
    ],
    ids=["another root", "not XML", "not signed", "signed by somebody else", "changed"],
)
def test_other_lists_are_not_taken(octets: bytes) -> None:
    with pytest.raises(UnusableTrust, match="PL_TSL"):
        load(octets, "PL_TSL.xml", [OPERATOR.ours], NOW, Limits())


def test_a_directory_that_is_none_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UnusableTrust, match="trust: not a directory"):
        validator(SignatureSettings(trust=tmp_path / "trust"), NOW)


def test_lists_may_lie_in_the_trust_directory(tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "pl.xml").write_bytes(signed_list(service(W.ca)))
    (lists / "operator.pem").write_bytes(OPERATOR.pem)
    chosen = validator(SignatureSettings(trust=tmp_path), NOW)
    assert [one.trust_set for one in chosen.assessor.trust.anchors] == ["qualified"]
    (tmp_path / "ca.crl").write_bytes(W.crls()[1])
    (found,) = validator(SignatureSettings(trust=tmp_path), NOW).validate(sign(CDA), NOW).signatures
    assert found.sub_indication is None


def test_a_list_needs_configured_signers(tmp_path: Path) -> None:
    path = tmp_path / "pl.xml"
    path.write_bytes(signed_list(service(W.ca)))
    with pytest.raises(UnusableTrust, match="not signed"):
        validator(SignatureSettings(trusted_lists=(path,)), NOW)


def test_too_large_a_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="references"):
        SignatureSettings(references=5000)


def test_names_with_what_they_hold(tmp_path: Path) -> None:
    assert W.signer.ours.subject == "CN=Łucja Lekarz, C=PL"
    assert W.signer.ours.issuer == "CN=Test CA, C=PL"
