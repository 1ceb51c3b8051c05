"""Names of transforms as xmlsec has them."""

from __future__ import annotations

from typing import Final

import xmlsec

Transform: Final = xmlsec.Transform  # type: ignore[attr-defined]  # there, but not in its stubs' __all__
