"""The text of query parameters: quoted strings, numbers, parenthesised lists (ITI TF-2 3.18.4.1.2.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

#: One item: text in single quotes, inner ones doubled, or a bare word. Possessive, so in linear time.
_ITEM: Final = re.compile(r"\s*+(?:'((?:[^']++|'')*+)'|([^\s'(),]++))\s*+")


class BadValue(ValueError):
    """A value that does not follow the syntax.

    Attributes:
        seen: the offending text.
        allowed: what would be right.
    """

    def __init__(self, problem: str, seen: str, allowed: str) -> None:
        super().__init__(problem)
        self.seen = seen
        self.allowed = allowed


def parse(values: Iterable[str], *, bare: bool, most: int, longest: int) -> list[str]:
    """The items that the rim:Values of one Slot hold, in order.

    Every Value may be a list of its own; the items of all belong together. Parentheses are not insisted on,
    nor on their absence, and white space may stand between items.

    Args:
        values: text of each rim:Value.
        bare: whether items may stand without quotes (numbers and times).
        most: how many items there may be.
        longest: how many characters an item may have.

    Raises:
        BadValue: the text is no list of items, or is larger than allowed.
    """
    items: list[str] = []
    for value in values:
        text = value.strip()
        if text[:1] == "(" and text[-1:] == ")":
            text = text[1:-1]
        position = -1
        while position < len(text):
            match = _ITEM.match(text, position + 1)
            if match is None:
                raise BadValue("is not a list of values", value, "'text' or ('text','text')")
            quoted, word = match.groups()
            if quoted is None and not bare:
                raise BadValue("is a text without single quotes", value, f"'{word[:40]}'")
            item = word if quoted is None else quoted.replace("''", "'")
            if len(item) > longest:
                raise BadValue("is too long", item, f"at most {longest} characters")
            items.append(item)
            if len(items) > most:
                raise BadValue("has too many values", item, f"at most {most} values")
            position = match.end()
            if position < len(text) and text[position] != ",":
                raise BadValue("is not a list of values", value, "a comma between the values")
    return items
