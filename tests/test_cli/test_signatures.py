"""verify-signature: what a person reads and what a program reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.authority import DAY, NOW, crl, world
from tests.support.signing import CDA, PPZP, Plan, Reference, add_stamp, counter_sign, sign, standalone
from tests.test_cli.conftest import Run

W = world()


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    folder = tmp_path / "trust"
    for name, content in {"zus/root.pem": W.root.pem, "intermediate/ca.pem": W.ca.pem}.items():
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    for name, content in {"root.crl": crl(W.root), "ca.crl": crl(W.ca)}.items():
        (folder / name).write_bytes(content)
    return folder


def written(tmp_path: Path, content: bytes, name: str = "signed.xml") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_json_with_and_without_trust(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path, sign(CDA))
    result = run("verify-signature", "--json", path)
    (one,) = json.loads(result.stdout)["signatures"]
    assert result.exit_code == 0
    assert (one["intact"], one["indication"], one["sub_indication"]) == (
        True, "INDETERMINATE", "NO_CERTIFICATE_CHAIN_FOUND"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            [
                "Signature 1: not valid [TOTAL_FAILED (HASH_FAILURE)]",
                "changed after signing",
                "unchanged since",
            ],
        ),
        (
            "pl",
            ["Podpis 1: nieważny [TOTAL_FAILED (HASH_FAILURE)]", "zmieniono po podpisaniu", "obejmuje cały"],
        ),
    ],
)
def test_readable_in_both_languages(run: Run, tmp_path: Path, language: str, words: list[str]) -> None:
    document = sign(CDA, Plan(role=PPZP)).replace(b"bez zmian", b"raka")
    result = run("verify-signature", written(tmp_path, document), "--language", language)
    assert result.exit_code == 0
    assert [word for word in words if word not in result.stdout] == []


def test_everything_that_may_be_shown(run: Run, tmp_path: Path, trust: Path) -> None:
    def edit(signature: object) -> None:
        add_stamp(signature, NOW - DAY)  # type: ignore[arg-type]
        counter_sign(signature, W.signer)  # type: ignore[arg-type]

    path = written(tmp_path, sign(CDA, Plan(role=PPZP), then=edit))
    result = run("verify-signature", path, "--trust", trust)
    for words in (
        "CN=Łucja Lekarz",
        "Łucja Żółcińska",
        "zus",
        "XAdES-BASELINE-T, enveloped",
        "authority not trusted",
        "Counter-signature",
        "2026-06-01T12:00:00Z",
    ):
        assert words in result.stdout


def test_detached_documents_come_from_a_directory(run: Run, tmp_path: Path) -> None:
    signature = written(tmp_path, standalone(Plan(references=[Reference("a.xml", (), octets=CDA)])))
    folder = tmp_path / "detached"
    folder.mkdir()
    written(folder, CDA, "a.xml")
    alone = json.loads(run("verify-signature", "--json", signature).stdout)["signatures"][0]
    both = json.loads(run("verify-signature", "--json", signature, "--detached-dir", folder).stdout)[
        "signatures"
    ][0]
    assert (alone["intact"], alone["sub_indication"]) == (False, "SIGNED_DATA_NOT_FOUND")
    assert (both["intact"], both["covers_document"], both["packaging"]) == (True, True, "detached")


def test_a_document_that_is_not_signed(run: Run, tmp_path: Path) -> None:
    assert run("verify-signature", written(tmp_path, CDA)).stdout == "The document is not signed.\n"
    assert json.loads(run("verify-signature", "--json", written(tmp_path, CDA)).stdout) == {"signatures": []}


def test_a_file_that_is_refused(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path, b"<!DOCTYPE a><a/>")
    answer = run("verify-signature", "--json", path)
    assert answer.exit_code == 3
    assert json.loads(answer.stdout)["error"]["code"] == "DOCTYPE"
    assert json.loads(answer.stdout)["signatures"] == []
    assert run("verify-signature", path).exit_code == 3


def test_mistakes_in_the_call(run: Run, tmp_path: Path) -> None:
    assert run("verify-signature", tmp_path / "nothing.xml").exit_code == 2
    path = written(tmp_path, sign(CDA))
    assert run("verify-signature", path, "--trust", tmp_path / "nothing").exit_code == 2
    bad = tmp_path / "bad"
    bad.mkdir()
    written(bad, b"nothing", "x.pem")
    assert run("verify-signature", path, "--trust", bad).exit_code == 2


def test_the_network_is_asked_only_where_settings_say_so(run: Run, tmp_path: Path, trust: Path) -> None:
    config = written(
        tmp_path, b'[signatures]\nfetch_hosts = ["ocsp.invalid"]\nfetch_timeout_s = 0.2\n', "msim.toml"
    )
    for path in trust.glob("*.crl"):
        path.unlink()
    result = run(
        "verify-signature", "--json", written(tmp_path, sign(CDA)), "--trust", trust, "--config", config
    )
    assert json.loads(result.stdout)["signatures"][0]["sub_indication"] == "TRY_LATER"
