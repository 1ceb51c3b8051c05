"""The section p1: what contradicts itself is told at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from msim_xds.app import open_node
from msim_xds.federation.p1.providers import UnusableP1
from msim_xds.p1_settings import NAMES, P1Settings
from msim_xds.settings import RegistrySettings, Settings
from msim_xds.testing.p1 import Double
from msim_xds.testing.p1.server import SOURCE

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "p1.md"


def test_p1_is_off_by_default() -> None:
    assert not P1Settings().enabled
    assert P1Settings().publishing == frozenset()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"provider": "1.2"}, "provider: must be one of providers"),
        ({"names": {"token.colour": "x"}}, r"names: token\.colour is not one of"),
        ({"decisions": "p1", "issuers": []}, "issuers: must not be empty"),
        ({"home_community_id": "urn:oid:1..2.999"}, "home_community_id"),
        ({"home_community_id": f"urn:oid:2.{'9' * 63}"}, "at most 72 characters"),
    ],
)
def test_a_section_that_contradicts_itself_is_refused(
    double: Double, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason):
        P1Settings.model_validate(double.section(**changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"worker": ""}, "worker: must not be empty"),
        ({"tls_key": "x"}, "tls_certificate and tls_key go together"),
        ({"organization": "nobody"}, "organization"),
    ],
)
def test_a_provider_that_contradicts_itself_is_refused(
    double: Double, changes: dict[str, Any], reason: str
) -> None:
    providers = double.section()["providers"]
    assert isinstance(providers, dict)
    changed = {SOURCE: {**providers[SOURCE], **changes}}
    with pytest.raises(ValidationError, match=reason):
        P1Settings.model_validate(double.section(providers=changed))


def test_documents_are_not_published_where_their_registry_is_elsewhere(
    double: Double, tmp_path: Path
) -> None:
    p1 = P1Settings.model_validate(double.section())
    settings = Settings(data=tmp_path, registry=RegistrySettings(url="http://127.0.0.1:9"), p1=p1)
    with pytest.raises(UnusableP1, match="published where their registry is"):
        open_node(settings)


def test_every_name_on_the_wire_is_documented_with_its_preset() -> None:
    text = DOCUMENTATION.read_text("utf-8")
    for name, preset in NAMES.items():
        assert f"| `{name}` | {f'`{preset}`' if preset else 'empty'} |" in text, name
