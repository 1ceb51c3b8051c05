"""Texts that break careless programs."""

from __future__ import annotations

import pytest

HOSTILE = {
    "sql": "'; DROP TABLE patient; --') OR ('1'='1",
    "path": "../../etc/passwd\\..\\con:",
    "escapes": "%00\\ud83d\\u0000&#0;\\x27${jndi:ldap://x/a}{0}%s{{7*7}}",
    "wildcards": "%_\\",
    "markup": ']]><a b="\'">&amp;</a><!--',
    "controls": "\U0001f600\x7f\x80\x85\u2028\u202e\ufeff\ufdd0\r\nX-Header: b\tc",
    "long": "9" * 5000,
    "number": "-1e999999999",
    "empty": "",
}

#: Gives a test each of them as ``value``.
hostile = pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
