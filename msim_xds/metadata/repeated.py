"""What is written again and again: kept, within bounds."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Final, TypeVar

#: At most so many texts, each of at most so many characters: a sender must not fill the memory.
MOST: Final = 2048
LONGEST: Final = 2048

_Part = TypeVar("_Part", bound=Hashable)


def repeated(write: Callable[[_Part], str]) -> Callable[[_Part], str]:
    """``write``, a function of nothing but its argument, with the texts that it last gave at hand.

    For what most submissions of a source have in common, such as codes and authors. The text must hold all
    that the argument does, so that its length bounds both.
    """
    kept: dict[_Part, str] = {}

    @wraps(write)
    def remembering(part: _Part) -> str:
        text = kept.get(part)
        if text is None:
            text = write(part)
            if len(text) <= LONGEST:
                if len(kept) >= MOST:
                    kept.clear()
                kept[part] = text
        return text

    return remembering
