"""The affinity domain's codes: which a coded attribute may carry, and what its schemes are called.

The table is a TOML file; ``codes_pl.toml`` is shipped. Several names may stand for one scheme.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

SHIPPED: Final = Path(__file__).with_name("codes_pl.toml")
SEPARATOR: Final = "^^"  # between code and scheme in stored queries (ITI TF-2 3.18.4.1.2.3.4)
_NEAREST: Final = 3


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None
    return text


class _Model(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class _Scheme(_Model):
    id: str
    names: tuple[str, ...] = ()


class _ValueSet(_Model):
    """Codes of one scheme: ``codes`` with display names, those that ``pattern`` matches, or ``any``."""

    scheme: str = ""
    any: bool = False
    pattern: Annotated[str, AfterValidator(_pattern)] = ""
    codes: Mapping[str, str] = {}

    @model_validator(mode="after")
    def _says_something(self) -> _ValueSet:
        if sum((self.any, bool(self.pattern), bool(self.codes))) != 1:
            raise ValueError("give exactly one of any, pattern and codes")
        return self


class _File(_Model):
    scheme: tuple[_Scheme, ...] = ()
    attribute: Mapping[str, tuple[_ValueSet, ...]]


@dataclass(frozen=True, slots=True)
class _Codes:
    """The codes of one attribute in one scheme."""

    codes: Mapping[str, str]
    pattern: re.Pattern[str] | None

    def __contains__(self, code: str) -> bool:
        return code in self.codes or (self.pattern is not None and self.pattern.fullmatch(code) is not None)


@dataclass(frozen=True, slots=True, eq=False)
class CodeTable:
    """Codes by attribute and scheme, and the names of each scheme.

    Build it with ``load``.
    """

    _attributes: Mapping[str, Mapping[str, _Codes]]
    _synonyms: Mapping[str, tuple[str, ...]]

    @classmethod
    def load(cls, path: Path | None = None) -> CodeTable:
        """The table of a TOML file; None is the one that is shipped.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no TOML, or says what this table does not know; the message names the key.
        """
        file = _File.model_validate(tomllib.loads((path or SHIPPED).read_text("utf-8")))
        attributes: dict[str, dict[str, _Codes]] = {}
        for attribute, sets in file.attribute.items():
            for values in sets:
                pattern = ".+" if values.any else values.pattern
                codes = _Codes(values.codes, re.compile(pattern) if pattern else None)
                if attributes.setdefault(attribute, {}).setdefault(values.scheme, codes) is not codes:
                    raise ValueError(f"{path or SHIPPED}: {attribute} has scheme {values.scheme!r} twice")
        synonyms: dict[str, tuple[str, ...]] = {}
        for scheme in file.scheme:
            group = (scheme.id, *scheme.names)
            for name in group:
                if synonyms.setdefault(name, group) is not group:
                    raise ValueError(f"{path or SHIPPED}: scheme name {name!r} stands for two schemes")
        return cls(attributes, synonyms)

    def check(self, attribute: str, code: str, scheme: str = "", *, aliases: bool = False) -> bool:
        """Whether the domain knows ``code`` in ``scheme`` for ``attribute``; unlimited attributes take all.

        Args:
            attribute: the framework's name, ``classCode``, ``mimeType``.
            code: the code, or the value of an attribute without schemes.
            scheme: its coding scheme.
            aliases: whether other names of a scheme count as the scheme.
        """
        sets = self._attributes.get(attribute)
        if sets is None:
            return True
        names = self.synonyms(scheme) if aliases else (scheme,)
        return any([code in sets[name] for name in names if name in sets])

    def nearest(self, attribute: str, code: str, scheme: str = "") -> Sequence[str]:
        """What the domain knows that comes closest, for people: ``00.20 (Karta …)``, or its schemes."""
        return _nearest(self, attribute, code, scheme)

    def synonyms(self, scheme: str) -> tuple[str, ...]:
        """Every name of ``scheme``, the OID first; only itself where no other is known."""
        return self._synonyms.get(scheme, (scheme,))

    def expand(self, value: str) -> tuple[str, ...]:
        """Every way to write ``code^^scheme``, the one given first."""
        code, separator, scheme = value.rpartition(SEPARATOR)
        if not separator:
            return (value,)
        others = (f"{code}{SEPARATOR}{name}" for name in self.synonyms(scheme) if name != scheme)
        return (value, *others)


@lru_cache(maxsize=1024)
def _nearest(table: CodeTable, attribute: str, code: str, scheme: str) -> tuple[str, ...]:
    sets = table._attributes.get(attribute, {})
    known = next((sets[name] for name in table.synonyms(scheme) if name in sets), None)
    if known is None:
        return tuple(f"scheme {name}" for name in sorted(sets))
    if known.pattern is not None:
        return (f"codes like {known.pattern.pattern}",)
    close = difflib.get_close_matches(code, known.codes, _NEAREST, cutoff=0.5)
    return tuple(f"{near} ({known.codes[near]})" for near in close or list(known.codes)[:_NEAREST])
