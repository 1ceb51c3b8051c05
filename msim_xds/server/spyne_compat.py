"""Makes Spyne 2.14.0 importable on every Python that we support. Import this before any module of Spyne.

Spyne 2.14.0 is the newest release. It carries its own copy of six 1.14, whose import hook lacks ``find_spec``
and so has been dead since Python 3.12 (``No module named 'spyne.util.six.moves'``). The cure is to put the
maintained six in that copy's place, with the one name that only the copy has. Two more things are set here
because they must be set before Spyne is used:

* Spyne imports ``cgi``, which warns from Python 3.11 on; from 3.13 on the package legacy-cgi supplies it.
* Spyne runs a full ``gc.collect()`` inside requests, at most every ``MIN_GC_INTERVAL`` seconds (1 by
  default). Our endpoint clears Spyne's contexts itself, so that collection is never needed.
"""

from __future__ import annotations

import importlib
import operator
import sys
import warnings
from typing import Final

import six  # type: ignore[import-untyped]  # has no types

_COPY: Final = "spyne.util.six"
_MODULES: Final = (
    "",
    ".moves",
    ".moves.collections_abc",
    ".moves.http_cookies",
    ".moves.urllib",
    ".moves.urllib.error",
    ".moves.urllib.parse",
    ".moves.urllib.request",
)

if _COPY in sys.modules:
    raise ImportError("msim_xds.server.spyne_compat must be imported before Spyne")

six.get_function_name = operator.attrgetter("__name__")
for _module in _MODULES:
    sys.modules[_COPY + _module] = importlib.import_module("six" + _module)

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)
    importlib.import_module("cgi")

import spyne.const  # noqa: E402  # needs what is above

spyne.const.MIN_GC_INTERVAL = float("inf")
