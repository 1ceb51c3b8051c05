"""Views without what changes nothing, and their outlines."""

from __future__ import annotations

from msim_xds.wire.view import Clause, Condition, Fact, Form, Outline, View

OWN = Condition(Fact.INSTITUTION, ("1.2",))
NO = Condition(Fact.OPTED_OUT)


def test_what_changes_nothing_is_left_out() -> None:
    view = View.of([Clause(True, (OWN,)), Clause(True, ()), Clause(False, (NO,))], otherwise=False)
    assert view.clauses == ()
    assert view.shows_all
    assert not view.shows_nothing


def test_a_view_without_permission_shows_nothing() -> None:
    view = View.of([Clause(False, (NO,))], otherwise=False)
    assert view.shows_nothing
    assert not view.shows_all


def test_outline_and_values() -> None:
    view = View.of(
        [Clause(False, (NO,), "a"), Clause(True, (NO._replace(negated=True), OWN), "b")], otherwise=False
    )
    assert view.outline == Outline(
        (
            (False, (Form(Fact.OPTED_OUT, False),)),
            (True, (Form(Fact.OPTED_OUT, True), Form(Fact.INSTITUTION, False))),
        ),
        False,
    )
    assert view.values == (((1, 1), ("1.2",)),)
