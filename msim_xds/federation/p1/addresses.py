"""P1's address book of repositories (SZAR): where one is, and where ours is.

The requests' bodies are not public, so they come from files that an operator has from P1's documentation; the
names around them come from the settings. Without such a file there is the table ``p1.repositories``.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from lxml import etree

from msim_xds.federation.answers import RemoteUnavailable
from msim_xds.federation.p1.providers import Provider, UnusableP1
from msim_xds.federation.p1.soap import Service
from msim_xds.findings import shorten
from msim_xds.p1_settings import P1Settings
from msim_xds.wire import safexml
from msim_xds.wire.xmltext import escape

if TYPE_CHECKING:
    from lxml.etree import _Element

_HOLE: Final = re.compile(r"\{(repository|address|key)\}")
_MOST: Final = 10_000  # addresses kept


class AddressUnknown(RemoteUnavailable):
    """Neither the settings nor SZAR say where a repository is."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason, sent=False)


class AddressBook:
    """Looks addresses up and keeps them for a while; safe to share between threads.

    Args:
        settings: section ``p1``.

    Raises:
        UnusableP1: a template or ``lookup_answer`` cannot be used.
    """

    def __init__(self, settings: P1Settings) -> None:
        self._settings = settings
        self._lookup = Service(
            settings.base + settings.szar_lookup, settings.szar_soap, settings.szar_addressing
        )
        self._register = Service(
            settings.base + settings.szar_register, settings.szar_soap, settings.szar_addressing
        )
        self._templates = {
            name: _template(name, getattr(settings, name))
            for name in ("lookup_template", "repository_template", "addresses_template")
        }
        try:
            self._answer = etree.XPath(settings.lookup_answer)
        except etree.XPathError as error:
            raise UnusableP1(f"p1.lookup_answer: {error}") from None
        self._known: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def find(self, repository: str, provider: Provider) -> str:
        """URL of the repository's ITI-43.

        Raises:
            AddressUnknown: nothing says where it is.
            RemoteError: SZAR does not answer, or with a fault.
        """
        preset = self._settings.repositories.get(repository)
        if preset is not None:
            return preset
        with self._lock:
            url, until = self._known.get(repository, ("", 0.0))
            if time.monotonic() < until:
                return url
        url = self._ask(repository, provider)
        with self._lock:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[repository] = (url, time.monotonic() + self._settings.addresses_s)
        return url

    def new_repository(self, provider: Provider) -> str:
        """Ask P1 for a repositoryUniqueId.

        Raises:
            UnusableP1: the settings have no template of the request.
            RemoteError: there is none in the answer, or no answer.
        """
        request = self._filled("repository_template", {})
        action = self._settings.called("szar.register.action")
        answer = self._register.call(action, request, provider.options)
        identifier = self._said(answer, "szar.identifier")
        if not identifier:
            raise RemoteUnavailable(self._register.url, f"it gives no identifier: {self._outcome(answer)}")
        return identifier

    def register(self, repository: str, address: str, provider: Provider) -> str:
        """Tell P1 where the repository is; all that P1 had of it before is replaced. Returns what P1 says.

        Raises:
            UnusableP1: the settings have no template of the request.
            RemoteError: no answer, or a fault.
        """
        key = self._settings.called("szar.address_key")
        values = {"repository": repository, "address": address, "key": key}
        request = self._filled("addresses_template", values)
        action = self._settings.called("szar.addresses.action")
        return self._outcome(self._register.call(action, request, provider.options))

    def _ask(self, repository: str, provider: Provider) -> str:
        if self._templates["lookup_template"] is None:
            reason = f"the address of repository {repository} is in no setting, and look-ups are not set up"
            raise AddressUnknown(self._lookup.url, reason)
        request = self._filled("lookup_template", {"repository": repository})
        action = self._settings.called("szar.lookup.action")
        answer = self._lookup.call(action, request, provider.options)
        url = str(self._answer(answer, key=self._settings.called("szar.address_key"))).strip()
        if urlsplit(url).scheme not in ("https", urlsplit(self._settings.base).scheme):
            reason = f"it gives no usable address of repository {repository}: {shorten(url)!r}"
            raise AddressUnknown(self._lookup.url, reason)
        return url

    def _filled(self, name: str, values: Mapping[str, str]) -> _Element:
        template = self._templates[name]
        if template is None:
            raise UnusableP1(f"p1.{name}: not set; what P1 wants in this request is not public")
        filled = _HOLE.sub(lambda hole: escape(values.get(hole[1], hole[0])), template)
        return safexml.parse(filled.encode())

    def _said(self, answer: _Element, name: str) -> str:
        wanted = self._settings.called(name)
        texts = (each.text or "" for each in answer.iter("*") if etree.QName(each).localname == wanted)
        return next(texts, "").strip()

    def _outcome(self, answer: _Element) -> str:
        said = (self._said(answer, name) for name in ("szar.status", "szar.description"))
        return shorten(" ".join(filter(None, said)) or "nothing", 500)


def _template(name: str, path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        text = path.read_text("utf-8")
        safexml.parse(text.encode())
    except (OSError, ValueError) as error:
        raise UnusableP1(f"p1.{name}: {path}: {error}") from None
    return text
