"""Reads AdhocQueryRequests: what comes of one, or why it is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
from lxml import etree

from msim_xds.findings import Finding, Refused
from msim_xds.ihe.queries import QUERIES, StoredQuery
from msim_xds.registry.query_reader import Query, read
from msim_xds.settings import LimitSettings

LIMITS = LimitSettings()
CODE = "34133-9^^2.16.840.1.113883.6.1"


def query(message: bytes, queries: Mapping[str, StoredQuery] = QUERIES) -> Query:
    return read(etree.fromstring(message), queries, LIMITS)


def refused(message: bytes, queries: Mapping[str, StoredQuery] = QUERIES) -> tuple[Finding, ...]:
    with pytest.raises(Refused) as caught:
        query(message, queries)
    return caught.value.findings


def codes(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(finding.code, finding.attribute) for finding in findings]


def groups(message: bytes, name: str) -> tuple[tuple[object, ...], ...]:
    return next(c.groups for c in query(message).criteria if c.param.name == name)
