"""From the policy file to a policy. Whatever is wrong is said with its place, and nothing opens access."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from msim_xds.ihe.codes import SEPARATOR, CodeTable
from msim_xds.ihe.transactions import TRANSACTIONS
from msim_xds.metadata.institution import institution
from msim_xds.metadata.period import is_dtm, period
from msim_xds.security.access.policy import CallerCondition, DocumentCondition, Emergency, Policy, Rule
from msim_xds.wire.exchange import SystemKind
from msim_xds.wire.view import Condition, Fact

SAMPLE: Final = Path(__file__).with_name("sample_policy.toml")
"""A policy to begin with."""

_RULE: Final = re.compile(r"^\s*\[\[\s*rule\s*\]\]", re.MULTILINE)
_ALWAYS: Final = (0, 99999999999999)
_NAMES: Final = frozenset(row.name for row in TRANSACTIONS)
_KINDS: Final = frozenset(kind.value for kind in SystemKind)

_Texts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]


class UnusablePolicy(ValueError):
    """The policy file cannot be used."""


class _Model(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Level(_Model):
    name: str = Field(min_length=1)
    codes: _Texts


class _Emergency(_Model):
    purposes: _Texts
    roles: _Texts
    organizations: tuple[str, ...] = ()


class _Caller(_Model):
    transactions: _Texts | None = None
    systems: _Texts | None = None
    kinds: _Texts | None = None
    roles: _Texts | None = None
    purposes: _Texts | None = None
    organizations: _Texts | None = None
    emergency: bool | None = None


class _Document(_Model):
    confidentiality: _Texts | None = None
    class_code: _Texts | None = None
    type_code: _Texts | None = None
    practice_setting_code: _Texts | None = None
    healthcare_facility_type_code: _Texts | None = None
    institutions: _Texts | None = None
    own: bool | None = None
    opted_out: bool | None = None
    opted_in: bool | None = None
    created_from: str | None = None
    created_to: str | None = None


class _Rule(_Model):
    name: str = Field(min_length=1)
    effect: Literal["permit", "deny"]
    absolute: bool = False
    caller: _Caller = _Caller()
    document: _Document = _Document()


class _File(_Model):
    default: Literal["permit", "deny"] = "deny"
    confidentiality: tuple[_Level, ...] = ()
    emergency: _Emergency | None = None
    rule: Annotated[tuple[_Rule, ...], Field(min_length=1)]


_CODES: Final = {
    "class_code": (Fact.CLASS, "classCode"),
    "type_code": (Fact.TYPE, "typeCode"),
    "practice_setting_code": (Fact.PRACTICE_SETTING, "practiceSettingCode"),
    "healthcare_facility_type_code": (Fact.FACILITY_TYPE, "healthcareFacilityTypeCode"),
}


def read(path: Path, codes: CodeTable) -> Policy:
    """The policy of a TOML file.

    Args:
        path: the file.
        codes: of the affinity domain: which codes there are, and how else their schemes are spelt.

    Raises:
        OSError: it cannot be read.
        UnusablePolicy: what is wrong, and where.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        file = _File.model_validate(_tuples(tomllib.loads(text)))
    except UnicodeDecodeError:
        raise UnusablePolicy(f"{path}: this is no UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UnusablePolicy(f"{path}: {error}") from None
    except ValidationError as error:
        lines = _lines(path.read_text("utf-8"))
        raise UnusablePolicy("\n".join(_problems(path, error, lines))) from None
    return _Reader(path, file, codes, _lines(text)).policy()


def _tuples(value: object) -> object:
    """TOML's arrays as tuples, which strict models want."""
    if isinstance(value, dict):
        return {key: _tuples(each) for key, each in value.items()}
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def _lines(text: str) -> list[int]:
    """On which lines rules begin."""
    return [text.count("\n", 0, found.end()) + 1 for found in _RULE.finditer(text)]


def _problems(path: Path, error: ValidationError, lines: list[int]) -> Iterator[str]:
    for each in error.errors():
        where, *rest = each["loc"] or ("the file",)
        if where == "rule" and rest:
            number = int(rest.pop(0))
            where = f"rule {number + 1}" + (f" (line {lines[number]})" if number < len(lines) else "")
        inner = ".".join(map(str, rest))
        seen = "" if isinstance(each["input"], dict) else f"; seen: {each['input']!r}"
        yield f"{path}: {': '.join(filter(None, (str(where), inner)))}: {each['msg']}{seen}"


class _Reader:
    def __init__(self, path: Path, file: _File, codes: CodeTable, lines: list[int]) -> None:
        self._path = path
        self._file = file
        self._codes = codes
        self._lines = lines if len(lines) == len(file.rule) else [0] * len(file.rule)
        self._place = ""
        self._levels = tuple(level.name for level in file.confidentiality)
        #: Of each level the codes up to it, in every spelling.
        self._up_to: list[tuple[str, ...]] = []

    def policy(self) -> Policy:
        self._read_levels()
        rules = [self._rule(number, rule) for number, rule in enumerate(self._file.rule)]
        self._check_names(rules)
        self._check_absolute(rules)
        given = self._file.emergency
        emergency = Emergency()
        if given is not None:
            organizations = frozenset(map(institution, given.organizations))
            emergency = Emergency(frozenset(given.purposes), frozenset(given.roles), organizations)
        return Policy(rules, otherwise=self._file.default == "permit", emergency=emergency)

    def _read_levels(self) -> None:
        known: dict[str, str] = {}
        for level in self._file.confidentiality:
            self._place = f"confidentiality {level.name!r}"
            for code in level.codes:
                for spelling in self._spellings("codes", code):
                    if spelling in known:
                        self._refuse("codes", "stands in two places", code)
                    known[spelling] = level.name
            self._up_to.append(tuple(sorted(known)))
        if len(set(self._levels)) < len(self._levels):
            self._place = "confidentiality"
            self._refuse("name", "is given twice", ", ".join(self._levels))

    def _rule(self, number: int, given: _Rule) -> Rule:
        line = f" (line {self._lines[number]})" if self._lines[number] else ""
        self._place = f"rule {number + 1} {given.name!r}{line}"
        permit = given.effect == "permit"
        if given.absolute and permit:
            self._refuse("absolute", "is only for rules that deny", "true")
        return Rule(
            given.name,
            self._place,
            permit,
            given.absolute,
            tuple(self._caller(given.caller)),
            tuple(self._document(given.document, permit=permit)),
        )

    def _caller(self, given: _Caller) -> Iterator[CallerCondition]:
        self._check_closed("caller.transactions", given.transactions, _NAMES)
        self._check_closed("caller.kinds", given.kinds, _KINDS)
        if given.emergency is not None:
            if self._file.emergency is None:
                self._refuse("caller.emergency", "needs a table [emergency]", str(given.emergency).lower())
            yield CallerCondition("emergency", frozenset([str(given.emergency).lower()]))
        for key in ("transactions", "systems", "kinds", "roles", "purposes", "organizations"):
            values: tuple[str, ...] | None = getattr(given, key)
            if values is not None:
                kept = map(institution, values) if key == "organizations" else values
                yield CallerCondition(key, frozenset(kept))

    def _document(self, given: _Document, *, permit: bool) -> Iterator[DocumentCondition]:
        if given.own is not None:
            yield DocumentCondition("own", _written(given.own), own=given.own)
        if given.confidentiality is not None:
            tests = tuple(self._confidentiality(given.confidentiality))
            yield DocumentCondition("confidentiality", _written(given.confidentiality), tests)
        for key, (fact, attribute) in _CODES.items():
            values: tuple[str, ...] | None = getattr(given, key)
            if values is not None:
                spellings = tuple(sorted({s for code in values for s in self._known(key, attribute, code)}))
                yield DocumentCondition(key, _written(values), (Condition(fact, spellings),))
        if given.institutions is not None:
            ids = tuple(sorted(set(map(institution, given.institutions))))
            yield DocumentCondition("institutions", _written(ids), (Condition(Fact.INSTITUTION, ids),))
        for key, fact in (("opted_out", Fact.OPTED_OUT), ("opted_in", Fact.OPTED_IN)):
            wanted: bool | None = getattr(given, key)
            if wanted is not None:
                yield DocumentCondition(key, _written(wanted), (Condition(fact, negated=not wanted),))
        if given.created_from is not None or given.created_to is not None:
            yield self._created(given.created_from, given.created_to, permit=permit)

    def _confidentiality(self, names: Iterable[str]) -> Iterator[Condition]:
        """That a document's level is one of these: at most the highest, and not at most what is below."""
        key = "document.confidentiality"
        for name in names:
            if name not in self._levels:
                allowed = ", ".join(self._levels) or "none: there is no [[confidentiality]]"
                self._refuse(key, f"is no level; levels: {allowed}", name)
        numbers = sorted({self._levels.index(name) for name in names})
        low, high = numbers[0], numbers[-1]
        if numbers != [*range(low, high + 1)]:
            self._refuse(key, "must be neighbours; write two rules", ", ".join(names))
        if high < len(self._levels) - 1:  # codes that nobody knows are as strict as the last level
            yield Condition(Fact.CONFIDENTIALITY, self._up_to[high])
        if low:
            yield Condition(Fact.CONFIDENTIALITY, self._up_to[low - 1], negated=True)

    def _created(self, start: str | None, end: str | None, *, permit: bool) -> DocumentCondition:
        low, high = _ALWAYS
        for key, value in (("created_from", start), ("created_to", end)):
            if value is not None and not is_dtm(value):
                self._refuse(f"document.{key}", "is no DTM YYYY[MM[DD[hh[mm[ss]]]]], UTC", value)
        low = low if start is None else period(start).low
        high = high if end is None else period(end).high
        if low > high:
            self._refuse("document.created_to", f"is before created_from {start}", str(end))
        fact = Fact.CREATED_SURELY if permit else Fact.CREATED_PERHAPS
        return DocumentCondition(
            "created", f"{start or '…'} to {end or '…'}", (Condition(fact, (low, high)),)
        )

    def _spellings(self, key: str, code: str) -> tuple[str, ...]:
        name, separator, scheme = code.partition(SEPARATOR)
        if not (name and separator and scheme):
            self._refuse(key, "is no 'code^^scheme'", code)
        return self._codes.expand(code)

    def _known(self, key: str, attribute: str, code: str) -> tuple[str, ...]:
        """Spellings of a code of the domain; a misspelt one would silently hide or open nothing."""
        name, _, scheme = code.partition(SEPARATOR)
        spellings = self._spellings(f"document.{key}", code)
        if not self._codes.check(attribute, name, scheme, aliases=True):
            near = ", ".join(self._codes.nearest(attribute, name, scheme))
            self._refuse(
                f"document.{key}", f"is no {attribute} of the domain's code table; near: {near}", code
            )
        return spellings

    def _check_closed(self, key: str, values: tuple[str, ...] | None, known: frozenset[str]) -> None:
        for value in values or ():
            if value not in known:
                self._refuse(key, f"is none of {', '.join(sorted(known))}", value)

    def _check_names(self, rules: Iterable[Rule]) -> None:
        seen: dict[str, str] = {}
        for rule in rules:
            if rule.name in seen:
                self._place = rule.place
                self._refuse("name", f"is that of {seen[rule.name]} too", rule.name)
            seen[rule.name] = rule.place

    def _check_absolute(self, rules: list[Rule]) -> None:
        """What is absolute must come before what emergencies open, or it would not be."""
        opening: Rule | None = None
        for rule in rules:
            if rule.permit and any(each == _IN_EMERGENCIES for each in rule.caller):
                opening = opening or rule
            elif rule.absolute and opening is not None:
                self._place = rule.place
                self._refuse("absolute", f"stands after {opening.place}, which opens in emergencies", "true")

    def _refuse(self, key: str, problem: str, seen: str) -> None:
        raise UnusablePolicy(f"{self._path}: {self._place}: {key}: {problem}; seen: {seen!r}")


_IN_EMERGENCIES: Final = CallerCondition("emergency", frozenset(["true"]))


def _written(value: bool | Iterable[str]) -> str:
    return str(value).lower() if isinstance(value, bool) else ", ".join(value)
