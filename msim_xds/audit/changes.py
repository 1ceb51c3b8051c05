"""Which settings have changed since the last start, and what the files hold that they name."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel


def changed(settings: BaseModel, key: bytes, kept: Path) -> Sequence[str]:
    """Names of the settings that are not what they were when this was last asked; none the first time.

    Args:
        settings: all of them.
        key: secret of the digests by which they are remembered: among them are passwords.
        kept: file of the digests, written anew.

    Raises:
        OSError: it cannot be read or written.
    """
    digests = {name: _digest(key, name, value) for name, value in _named(settings)}
    try:
        before = json.loads(kept.read_bytes())
    except FileNotFoundError:
        before = digests
    except ValueError:  # somebody has tampered with it: nothing is known of what was
        before = {}
    draft = kept.with_name(f"{kept.name}.{os.getpid()}")
    draft.write_text(json.dumps(digests, indent=1))
    draft.replace(kept)
    return sorted(name for name in {*digests, *before} if digests.get(name) != before.get(name))


def _named(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _named(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _digest(key: bytes, name: str, value: object) -> str:
    text = json.dumps([name, value], default=_plain, sort_keys=True)
    digest = hmac.new(key, text.encode(), hashlib.sha256)
    for path in _files(value):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return dict(value)
    return sorted(value) if isinstance(value, (set, frozenset)) else str(value)


def _files(value: object) -> Iterator[Path]:
    """The files that a setting names, also inside lists and tables."""
    match value:
        case Path():
            if value.is_file():
                yield value
        case BaseModel():
            yield from _files(dict(value))
        case Mapping():
            yield from _files(tuple(value.values()))
        case tuple() | list():
            for each in value:
                yield from _files(each)
