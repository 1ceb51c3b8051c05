"""Pauses between attempts at what others may refuse for a while."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

_DOUBLINGS: Final = 60  # a power of two that a float can hold


@dataclass(frozen=True, slots=True)
class Pauses:
    """Between attempts: the first one, and the longest."""

    first_s: float
    longest_s: float

    def after(self, failures: int) -> float:
        """Doubles with each failure; chance takes up to half of it, so that attempts do not come in herds."""
        doubled = self.first_s * 2.0 ** min(failures - 1, _DOUBLINGS)
        return min(doubled, self.longest_s) * random.uniform(0.5, 1.0)  # noqa: S311  # no secret
