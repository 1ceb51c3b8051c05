"""deploy/ agrees with the settings and with itself."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from msim_xds.settings import GIB, Settings, load

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@pytest.fixture
def settings() -> Settings:
    return load(DEPLOY / "msim.toml")


@pytest.fixture
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "msim-xds.service", encoding="utf-8")
    return parser


def directive(name: str) -> str:
    found = re.search(rf"^\s*{name}\s+(.+?);", (DEPLOY / "nginx.conf").read_text("utf-8"), re.MULTILINE)
    assert found is not None, name
    return found[1]


def test_the_sample_speaks_the_polish_profile(settings: Settings) -> None:
    assert settings.validation.tolerances().local_time


def test_nginx_and_the_server_meet_at_one_socket(settings: Settings, unit: configparser.ConfigParser) -> None:
    assert directive("server") == f"unix:{settings.server.uds}"
    assert settings.server.uds is not None
    assert settings.server.uds.parent == Path("/run", unit["Service"]["RuntimeDirectory"])


def test_the_service_may_write_its_data_and_nothing_else(
    settings: Settings, unit: configparser.ConfigParser
) -> None:
    service = unit["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["ReadWritePaths"] == str(settings.data)
    assert Path("/var/lib", service["StateDirectory"]) == settings.data


def test_nginx_lets_through_what_the_server_takes(settings: Settings) -> None:
    assert directive("client_max_body_size") == f"{settings.limits.request_bytes // GIB}g"


def test_compose_sets_only_settings_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    compose = (DEPLOY / "compose.yaml").read_text("utf-8") + (DEPLOY / "Dockerfile").read_text("utf-8")
    variables = re.findall(r"\b(MSIM_\w+)[:=] ?([^\s\\]+)", compose)
    assert len(variables) >= 6
    for name, value in variables:
        monkeypatch.setenv(name, value.strip('"'))
    assert load().data == Path("/var/lib/msim-xds")


def test_the_image_is_built_from_files_that_exist() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    let_through = {
        line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"
    }
    assert names == let_through
    assert all((ROOT / name).exists() for name in names)
