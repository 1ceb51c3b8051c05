"""What people are told when a command cannot do its work."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from msim_xds.cli.failures import IMPOSSIBLE, REFUSED, Failure, explain
from msim_xds.federation.answers import RemoteFault, RemoteUnavailable
from msim_xds.settings import Settings


def told(error: Exception) -> str:
    failure = explain(error)
    assert failure is not None
    assert failure.exit_code == IMPOSSIBLE
    return str(failure)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"tls": {"key": "k"}}, "tls: key: needs tls.certificate"),
        ({"access": {"burst": 1}}, "access: burst: needs access.requests_per_s"),
        ({"p1": {"enabled": True}}, "p1: provider: must be one of providers where P1 is enabled"),
        ({"server": {"port": "x"}}, "server.port: Input should be a valid integer"),
        ({"none": 1}, "none: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_setting_is_named_once_and_without_the_words_of_a_library(
    values: dict[str, object], line: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(values)
    first, *lines = told(caught.value).splitlines()
    assert first == "These settings are wrong (`msim-xds settings` lists all):"
    assert [each.startswith(line) for each in lines] == [True], lines


def test_a_file_is_named_where_there_is_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "none").read_bytes()
    assert told(caught.value) == f"{tmp_path / 'none'}: No such file or directory"
    assert told(PermissionError(13, "Permission denied")) == "[Errno 13] Permission denied"
    assert told(FileNotFoundError("no archive there")) == "no archive there"


def test_only_a_command_with_an_option_url_asks_about_it() -> None:
    error = RemoteUnavailable("https://p1.example/szar", "connection refused")
    assert told(error) == "https://p1.example/szar: connection refused"


def test_a_refusal_of_the_other_side_has_its_own_exit_code() -> None:
    failure = explain(RemoteFault("http://there", "Sender", "", "no"))
    assert failure is not None
    assert failure.exit_code == REFUSED


def test_what_is_told_already_stays_and_what_nobody_expects_is_nothing() -> None:
    failure = Failure("no")
    assert explain(failure) is failure
    assert explain(ZeroDivisionError()) is None
