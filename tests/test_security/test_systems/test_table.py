"""The table of systems: whose a certificate is, and what a wrong table is told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from msim_xds.ihe.transactions import TRANSACTIONS
from msim_xds.security.authority import Authority
from msim_xds.security.systems.table import Limits, Systems, UnusableSystems, load
from msim_xds.wire.exchange import System, SystemKind
from tests.support.tls import DAY

FULL = f"""
[systems.szpital-7]
kind = "hospital"
certificates = [
  {{ sha256 = "AA:{"00" * 31}" }},
  {{ subject = "CN=his,O=Szpital", issuer = "CN=Root" }},
  {{ san = "DNS:HIS.example.org", issuer = "CN=Root" }},
]
transactions = ["ITI-41", "ITI-44"]
repositories = ["1.2.3"]
source_ids = ["1.2.4"]
institutions = ["Szpital^^^^^&1.2.5&ISO^^^^0001", "urn:oid:1.2.6"]
limits = {{ requests_per_s = 5, concurrent = 2 }}

[systems."brama"]
kind = "gateway"
certificates = [{{ sha256 = "{"01" * 32}" }}]
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "systems.toml"


def certificate(subject: str, issuer: str, *names: x509.GeneralName) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string(subject))
        .issuer_name(x509.Name.from_rfc4514_string(issuer))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now)
        .not_valid_after(now + DAY)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256())


def loaded(table: Path, text: str, limits: Limits = Limits()) -> Systems:  # noqa: B008  # immutable
    table.write_text(text, "utf-8")
    return load(table, limits)


def owner(systems: Systems, shown: x509.Certificate) -> str | None:
    row = systems.of(shown)
    return None if row is None else row.system.name


def test_every_key(table: Path) -> None:
    systems = loaded(table, FULL, Limits(10, 20, 30))
    hospital, gateway = systems.rows
    assert hospital.system == System(
        name="szpital-7",
        kind=SystemKind.HOSPITAL,
        transactions=frozenset(["ITI-41", *(row.name for row in TRANSACTIONS if row.name[:6] == "ITI-44")]),
        repositories=frozenset(["1.2.3"]),
        source_ids=frozenset(["1.2.4"]),
        institutions=frozenset(["0001^^^&1.2.5&ISO", "1.2.6"]),
    )
    assert len(hospital.system.transactions or ()) == 4
    assert hospital.limits == Limits(5, None, 2)
    assert gateway.system == System("brama", SystemKind.GATEWAY)
    assert gateway.limits == Limits(10, 20, 30)


def test_by_fingerprint(table: Path) -> None:
    identity = Authority("Root", datetime.now(UTC), DAY).client("his")
    digits = identity.fingerprint.upper()
    spelt = ":".join(digits[i : i + 2] for i in range(0, 64, 2))
    systems = loaded(table, f'[systems.a]\nkind = "hospital"\ncertificates = [{{ sha256 = "{spelt}" }}]')
    assert owner(systems, identity.certificate) == "a"
    shown = quote(identity.certificate_pem.decode())
    found = systems.find(shown)
    assert found is not None
    assert found.system.name == "a"
    assert systems.find("") is None
    assert systems.find("%00garbage") is None


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (certificate("CN=his,O=Szpital", "CN=Root"), "szpital-7"),
        (certificate("CN=his,O=Szpital", "CN=Other"), None),
        (certificate("O=Szpital,CN=his", "CN=Root"), None),
        (certificate("CN=HIS,O=Szpital", "CN=Root"), None),
        (certificate("CN=x", "CN=Root", x509.DNSName("his.example.org")), "szpital-7"),
        (certificate("CN=x", "CN=Root", x509.DNSName("a.org"), x509.DNSName("HIS.EXAMPLE.ORG")), "szpital-7"),
        (certificate("CN=x", "CN=Other", x509.DNSName("his.example.org")), None),
        (certificate("CN=x", "CN=Root", x509.UniformResourceIdentifier("his.example.org")), None),
        (certificate("CN=x", "CN=Root", x509.RegisteredID(NameOID.COMMON_NAME)), None),
    ],
)
def test_by_name_and_issuer(table: Path, shown: x509.Certificate, expected: str | None) -> None:
    assert owner(loaded(table, FULL), shown) == expected


def test_a_certificate_that_two_claim_is_nobodys(table: Path) -> None:
    systems = loaded(
        table,
        '[systems.a]\nkind="hospital"\ncertificates=[{subject="CN=his",issuer="CN=Root"}]\n'
        '[systems.b]\nkind="hospital"\ncertificates=[{san="DNS:his.pl",issuer="CN=Root"}]\n',
    )
    assert owner(systems, certificate("CN=his", "CN=Root")) == "a"
    assert owner(systems, certificate("CN=his", "CN=Root", x509.DNSName("his.pl"))) is None


ONE = '[systems.b]\nkind = "hospital"\ncertificates = [{{ {} }}]'
A = '[systems.a]\nkind = "hospital"\ncertificates = [{ sha256 = "' + "00" * 32 + '" }]\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "systems.toml: systems: Field required"),
        ("[systems]", "systems.toml: systems: "),
        ("[other]\n" + A, "other: Extra inputs"),
        ("[systems.a]\n[systems.a]", "systems.toml: Cannot declare ('systems', 'a') twice (at line 2"),
        ("nonsense", "systems.toml: Expected '=' after a key"),
        (A + "kinds = 1", "line 1: [systems.a] kinds: Extra inputs are not permitted"),
        (A + "\n\n[systems.b]\n", "line 6: [systems.b] kind: Field required"),
        ('[systems."ż"]\nkind = "x"', "line 1: [systems.ż] kind: Input should be 'hospital'"),
        (ONE.format('sha256 = "00"'), "[systems.b] certificates.1.sha256: String should match pattern"),
        (ONE.format(""), "certificates.1: give exactly one of sha256, subject, san"),
        (ONE.format('subject = "CN=a"'), "certificates.1: subject and san need issuer, sha256 stands alone"),
        (ONE.format(f'sha256 = "{"00" * 32}", issuer = "CN=a"'), "sha256 stands alone"),
        (ONE.format('subject = "his", issuer = "CN=a"'), "'his' is no distinguished name"),
        (ONE.format('subject = 7, issuer = "CN=a"'), "certificates.1.subject: Input should be"),
        (ONE.format('san = "his", issuer = "CN=a"'), "san is DNS:…, URI:…, email:…, IP:…"),
        (ONE.format('san = "FTP:his", issuer = "CN=a"'), "san is DNS:…"),
        (A + 'transactions = ["ITI-41", "ITI-999"]', "transactions: ITI-999 unknown; allowed: ITI-"),
        (A + "transactions = []", "transactions: "),
        (A + "institutions = ['']", "institutions"),
        (A + "limits = { concurrent = 0 }", "limits.concurrent: Input should be greater than or equal to 1"),
        (A + A.replace("systems.a", "systems.b"), f"line 4: [systems.b] certificates: sha256 {'00' * 32}"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table(table: Path, text: str, told: str) -> None:
    with pytest.raises(UnusableSystems) as caught:
        loaded(table, text)
    assert told in str(caught.value)
    assert f"access.systems: {table}" in str(caught.value)


def test_table_that_is_not_there_or_not_utf_8(table: Path) -> None:
    with pytest.raises(UnusableSystems, match="No such file"):
        load(table)
    table.write_bytes(b"\xff")
    with pytest.raises(UnusableSystems, match="utf-8"):
        load(table)


def test_all_that_is_wrong_is_told_at_once(table: Path) -> None:
    with pytest.raises(UnusableSystems) as caught:
        loaded(table, "[systems.a]\n[systems.b]\n")
    assert len(str(caught.value).splitlines()) == 4
