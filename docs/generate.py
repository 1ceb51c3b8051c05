"""Writes the generated pages: configuration.md from the settings, errors.md from the error table, mistakes.md from
the answers of the server itself.

``python docs/generate.py`` writes them, ``--check`` only says whether they are current (exit 1 if not).
"""

from __future__ import annotations

import sys
import types
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import mistakes
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from msim_xds.ihe.errors import ERRORS
from msim_xds.settings import Settings, Tolerances

HERE = Path(__file__).parent

CONFIGURATION = """\
# Configuration

*This page is generated from `msim_xds/settings.py` by `make docs`.*

A setting comes from the TOML file named by `--config` (or by the environment variable `MSIM_CONFIG`), from an
environment variable, or from an option of the command; the later of these wins. `msim-xds settings` shows those in
force. A name that does not exist, or a value out of range, stops the start with a message that names it.

The unit stands in the name: `_bytes`, `_s` (seconds). In the environment `[limits] root_part_bytes` is
`MSIM_LIMITS__ROOT_PART_BYTES`; lists and tables are given there as JSON. [deploy/msim.toml](../deploy/msim.toml)
is a file to start from.

"""

ERROR_PAGE = """\
# Error catalogue

*This page is generated from `msim_xds/ihe/errors.py` by `make docs`.*

Every refusal is an `rs:RegistryErrorList` (ITI TF-3 4.2.4) that holds **all** findings of the message, each with:

| attribute | what it says |
| --- | --- |
| `errorCode` | one of the codes below |
| `codeContext` | object, attribute, value seen, what is allowed, rule; where the framework fixes it, the text named below |
| `location` | where `codeContext` is fixed: the explanation; in ITI-43: the DocumentUniqueId |
| `severity` | `urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error` or `…:Warning`; warnings come with `Success` |

What cannot be answered in this form, because the message is not a SOAP 1.2 envelope with a known action or its MIME
framing is broken, is a SOAP fault: [vendor-guide.md](vendor-guide.md) lists them.

"""


def type_name(annotation: object) -> str:
    """How a setting's type is shown to the person who sets it."""
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(type_name(a) for a in get_args(annotation) if a is not type(None))
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is tuple and section_of(get_args(annotation)[0]):
        return "list of tables"
    if get_origin(annotation) in (dict, frozenset, tuple):
        return "table" if get_origin(annotation) is dict else "list of text"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    names: dict[Any, str] = {
        str: "text",
        int: "integer",
        float: "number",
        bool: "true or false",
        Path: "path",
    }
    return names[annotation]


def section_of(annotation: object) -> type[BaseModel] | None:
    """The model of a setting that is a section of its own."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def default_text(field: FieldInfo) -> str:
    """A setting's default as TOML would have it; empty where there is none."""
    value = field.get_default(call_default_factory=True)
    if value is None or value in ("", {}, frozenset(), ()):
        return ""
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


def bounds(field: FieldInfo) -> str:
    """' (at least 1)' and the like, from the field's constraints."""
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    parts = [
        f"{word} {getattr(m, key)}" for m in field.metadata for key, word in words.items() if hasattr(m, key)
    ]
    return f" ({', '.join(parts)})" if parts else ""


def rows(model: type[BaseModel]) -> list[str]:
    """The table of one section's settings."""
    lines = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        kind = type_name(field.annotation) + bounds(field)
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{name}` | {kind} | {default_text(field)} | {meaning} |")
    return lines


def configuration() -> str:
    """docs/configuration.md."""
    fields = Settings.model_fields
    lines = [
        "## At the top of the file",
        "",
        "| setting | type | default | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for name, field in fields.items():
        if section_of(field.annotation) is None:
            lines.append(
                f"| `{name}` | {type_name(field.annotation)} | {default_text(field)} | {field.description} |"
            )
    for name, field in fields.items():
        if section := section_of(field.annotation):
            lines += ["", f"## [{name}]", "", (section.__doc__ or "").strip(), "", *rows(section)]
    lines += ["", "## Tolerances", "", (Tolerances.__doc__ or "").strip()]
    lines += ['Each is a key of `[validation] tolerate`; `profile = "pl"` switches all of them on.', ""]
    lines += ["| tolerance | what is taken |", "| --- | --- |"]
    lines += [f"| `{name}` | {field.description} |" for name, field in Tolerances.model_fields.items()]
    return CONFIGURATION + "\n".join(lines) + "\n"


def errors() -> str:
    """docs/errors.md."""
    lines = [
        "| errorCode | severity | when | transactions | fixed codeContext |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in sorted(ERRORS.values(), key=lambda row: row.code):
        severity = row.severity.name.capitalize()
        transactions = ", ".join(row.transactions)
        lines.append(f"| `{row.code}` | {severity} | {row.meaning} | {transactions} | {row.context} |")
    return ERROR_PAGE + "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Every generated page: where it stands and what belongs in it."""
    return {
        HERE / "configuration.md": configuration(),
        HERE / "errors.md": errors(),
        HERE / "mistakes.md": mistakes.page(),
    }


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` compare them."""
    texts = pages()
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path} is out of date: run 'make docs'")
        return int(bool(stale))
    for path in stale:
        path.write_text(texts[path], "utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
