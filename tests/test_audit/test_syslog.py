"""Syslog messages: their header, and what becomes of those that are too long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msim_xds.audit.syslog import Sealed, Syslog
from tests.support.arr import line

TIME = "2026-09-14T12:00:00.123+00:00"
QUERY = (
    b"<AuditMessage><ParticipantObjectIdentification><ParticipantObjectQuery>"
    + b"QUJD" * 1000
    + b'</ParticipantObjectQuery><ParticipantObjectDetail type="a" value="b"/>'
    b"</ParticipantObjectIdentification></AuditMessage>"
)


def test_the_whole_message() -> None:
    message = Syslog("reg1.example.org", "msim-xds").message(Sealed(7, TIME, b"<AuditMessage/>"))
    assert message == (
        b"<85>1 2026-09-14T12:00:00.123+00:00 reg1.example.org msim-xds - IHE+RFC-3881 - "
        b'<?xml version="1.0" encoding="UTF-8"?><AuditMessage/>'
    )


@pytest.mark.parametrize(
    ("position", "shown"), [(1, "1"), (2_147_483_647, "2147483647"), (2_147_483_648, "1")]
)
def test_sequence_ids_begin_anew_where_the_standard_ends_them(position: int, shown: str) -> None:
    message = Syslog("h", "a", sequence_ids=True).message(Sealed(position, TIME, b"<m/>"))
    assert line(message).parts["data"] == f'[meta sequenceId="{shown}"]'


@given(host=st.text(max_size=300), application=st.text(max_size=60))
def test_any_name_makes_a_header(host: str, application: str) -> None:
    parts = line(Syslog(host, application).message(Sealed(1, TIME, b"<m/>"))).parts
    assert 1 <= len(parts["host"]) <= 255
    assert 1 <= len(parts["app"]) <= 48
    assert (parts["host"] + parts["app"]).isascii()


def test_of_a_long_message_the_query_is_left_out() -> None:
    short = Syslog("h", "a", longest=2048).message(Sealed(1, TIME, QUERY))
    assert line(short).record == (
        b'<AuditMessage><ParticipantObjectIdentification><ParticipantObjectDetail type="a" value="b"/>'
        b"</ParticipantObjectIdentification></AuditMessage>"
    )
    assert Syslog("h", "a", longest=5000).message(Sealed(1, TIME, QUERY)).endswith(QUERY)


def test_what_is_too_long_without_a_query_is_cut() -> None:
    record = b"<AuditMessage>" + b"x" * 3000 + b"</AuditMessage>"
    assert len(Syslog("h", "a", longest=2048).message(Sealed(1, TIME, record))) == 2048
