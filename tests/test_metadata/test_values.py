"""URNs, OIDs, UUIDs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msim_xds.metadata.values import is_extra_metadata_name, is_oid, is_urn, is_uuid, looks_like_uuid


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("urn:extpl:SlotName:MedicalEventId", True),
        ("URN:Example:a%C5%BC", True),
        ("urn:ihe:iti:x", False),
        ("Urn:Ihe:iti:x", False),
        ("urn:ihex:a", True),
        ("urn:att", True),
        ("urn:", False),
        ("urn:x:a b", False),
        ("urn:x:%zz", False),
        ("urn:x:ż", False),
        ("urn:x:" + "a" * 251, False),
        ("http://a.example/", False),
        ("", False),
    ],
)
def test_names_of_extra_metadata(name: str, right: bool) -> None:
    assert is_extra_metadata_name(name) is right


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=4), st.integers(0, 255))
@settings(max_examples=50, deadline=None)
def test_oids(arcs: list[int], first: int) -> None:
    oid = ".".join(map(str, [first, *arcs]))
    assert is_oid(oid)
    assert not is_oid(f"{oid}.")
    assert not is_oid(f"{oid}.01")
    assert not is_oid(f"0{oid}")


@given(st.uuids())
@settings(max_examples=20, deadline=None)
def test_uuids(value: object) -> None:
    name = f"urn:uuid:{value}"
    assert is_uuid(name)
    assert is_uuid(name.upper())
    assert is_urn(name)
    assert looks_like_uuid(name.upper())
    assert not is_uuid(str(value))
    assert not is_uuid(name + "\n")
