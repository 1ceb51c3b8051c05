"""cli.console: tables that can be copied from, and nothing that steers the terminal."""

from __future__ import annotations

import json

import pytest

from msim_xds.cli.console import print_json, print_line, print_record, print_table, say


@pytest.mark.parametrize("width", [20, 80, 300])
def test_words_of_a_table_are_never_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    identifier = "2.16.840.1.113883.3.4424.2.7.99999.7.1^7204918365520194873641"
    print_table(("id", "text", "last"), [(identifier, "two words", f"{identifier} and much more" * 3)])
    shown = capsys.readouterr().out
    assert shown.count(identifier) >= 3
    assert "two words" in shown


def test_a_table_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("one", "two"), [])
    assert "one" in capsys.readouterr().out


def test_control_characters_are_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b[31mb\x9bc\rd\x07"
    print_table(("x",), [(evil,)])
    print_line(evil)
    print_record(evil, {"name": evil})
    say(evil)
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert not {"\x1b", "\x9b", "\r", "\x07"} & set(text)
        assert "[31mb" in text


def test_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("[bold]x[/bold]")
    print_table(("x",), [("[red]y[/red]",)])
    shown = capsys.readouterr().out
    assert "[bold]x[/bold]" in shown
    assert "[red]y[/red]" in shown


def test_json_keeps_polish_letters(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "Żółć"})
    shown = capsys.readouterr().out
    assert "Żółć" in shown
    assert json.loads(shown) == {"name": "Żółć"}
