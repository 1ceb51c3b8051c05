"""All documents of a message are staged, or none stays."""

from __future__ import annotations

import pytest

from msim_xds.settings import LimitSettings
from msim_xds.wire.staging import BadPackage, Staging
from tests.test_wire.memory import MemoryStager

LIMITS = LimitSettings(document_bytes=10)


@pytest.fixture
def stager() -> MemoryStager:
    return MemoryStager()


@pytest.fixture
def staging(stager: MemoryStager) -> Staging:
    staging = Staging(stager, LIMITS)
    staging.open("first", base64=False)
    staging.write(b"0123456789")
    staging.close()
    return staging


def test_documents_by_content_id(staging: Staging, stager: MemoryStager) -> None:
    staging.open("second", base64=True)
    staging.write(b"QU")
    staging.write(b"JD")
    staging.close()
    assert stager.of(staging.parts) == {"first": b"0123456789", "second": b"ABC"}
    assert staging.parts["second"].size == 3


def test_discard_forgets_the_complete_and_the_open_one(staging: Staging, stager: MemoryStager) -> None:
    staging.open("second", base64=False)
    staging.write(b"x")
    assert len(stager.octets) == 2
    staging.discard()
    staging.discard()
    assert stager.octets == {}
    assert staging.parts == {}


def test_content_ids_are_unique(staging: Staging) -> None:
    with pytest.raises(BadPackage, match="two parts have the Content-ID 'first'"):
        staging.open("first", base64=False)


@pytest.mark.parametrize("base64", [False, True])
def test_documents_are_bounded(staging: Staging, base64: bool) -> None:
    staging.open("second", base64=base64)
    with pytest.raises(BadPackage, match="document 'second' is over 10 bytes") as caught:
        staging.write(b"QUJD" * 4)
    assert caught.value.http_status == 413
