"""certs dev, and a server that is started with what it prints."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from msim_xds.security.systems.table import load as load_systems
from msim_xds.settings import load
from msim_xds.tls import server_context
from msim_xds.wire.exchange import SystemKind
from tests.test_cli.conftest import Run
from tests.test_tls import shake


def client(folder: Path, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "root.pem")
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}-key.pem")
    return context


def test_settings_that_it_prints_let_the_right_ones_in(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    done = run("certs", "dev", str(folder))
    assert done.exit_code == 0, done.stderr
    config = tmp_path / "msim.toml"
    config.write_text(done.stdout)
    settings = load(config)
    assert settings.server.engine == "cheroot"
    context = server_context(settings.tls)
    for name in ("hospital", "gateway", "administrator"):
        shake(context, client(folder, name))
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        shake(context, client(folder, "revoked"))
    assert settings.access.systems is not None
    systems = load_systems(settings.access.systems)
    shown = x509.load_pem_x509_certificate((folder / "gateway.pem").read_bytes())
    row = systems.of(shown)
    assert row is not None
    assert (row.system.name, row.system.kind) == ("gateway", SystemKind.GATEWAY)


def test_files_have_the_right_modes(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    run("certs", "dev", str(folder), "--system", "szpital-7", "--host", "xds.example.org", "--keys", "rsa")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    keys = {name: mode for name, mode in modes.items() if name.endswith("-key.pem")}
    assert set(keys.values()) == {0o600}
    others = {"root.pem", "server.pem", "szpital-7.pem", "revoked.pem", "crl.pem", "systems.toml"}
    assert set(modes) - set(keys) == others


def test_what_exists_is_not_replaced(run: Run, tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    done = run("certs", "dev", str(tmp_path))
    assert done.exit_code == 2
    assert "not empty" in done.stderr


@pytest.mark.parametrize("name", ["../x", "root", "crl", "revoked", "", "a b", "twice"])
def test_names_of_systems(run: Run, tmp_path: Path, name: str) -> None:
    done = run("certs", "dev", str(tmp_path / "certs"), "--system", "twice", "--system", name)
    assert done.exit_code == 2
    assert f"--system {name}: " in done.stderr
    assert not (tmp_path / "certs").exists()
