"""P1's consent decisions (SOZ): may the bearer of an assertion have these documents (XACML 3.0 over SAML)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from lxml import etree

from msim_xds.federation.answers import RemoteUnavailable
from msim_xds.federation.p1.providers import Provider
from msim_xds.federation.p1.soap import Service
from msim_xds.findings import shorten
from msim_xds.p1_settings import P1Settings

if TYPE_CHECKING:
    from lxml.etree import _Element


class Decision(StrEnum):
    """What SOZ says; only Permit lets anything pass."""

    PERMIT = "Permit"
    DENY = "Deny"
    NOT_APPLICABLE = "NotApplicable"
    INDETERMINATE = "Indeterminate"


_BY_NAME: Final = {each.value: each for each in Decision}
_STRICTEST: Final = (Decision.DENY, Decision.INDETERMINATE, Decision.NOT_APPLICABLE, Decision.PERMIT)


class Decisions:
    """Asks SOZ; keeps nothing, so that a consent that is withdrawn counts at once."""

    def __init__(self, settings: P1Settings) -> None:
        self._settings = settings
        self._service = Service(settings.base + settings.soz, settings.soz_soap, settings.soz_addressing)

    def ask(self, documents: Sequence[str], assertion: bytes, provider: Provider) -> Decision:
        """The decision on all of ``documents`` together, the strictest where there are several.

        Args:
            documents: their uniqueIds.
            assertion: P1's, of whoever wants them.
            provider: whose repository holds them.

        Raises:
            RemoteFault: answered by a SOAP fault.
            RemoteUnavailable: no usable answer.
        """
        options = provider.with_assertion(assertion)
        answer = self._service.call(self._settings.called("soz.action"), self._request(documents), options)
        core = self._settings.called("soz.core")
        said = [(each.text or "").strip() for each in answer.iter(f"{{{core}}}Decision")]
        if not said or any(each not in _BY_NAME for each in said):
            seen = shorten(", ".join(said)) or "none"
            raise RemoteUnavailable(self._service.url, f"its answer holds no decision that is known: {seen}")
        return next(each for each in _STRICTEST if each.value in said)

    def _request(self, documents: Sequence[str]) -> _Element:
        called = self._settings.called
        protocol, core = called("soz.protocol"), called("soz.core")
        query = etree.Element(
            f"{{{protocol}}}XACMLAuthzDecisionQueryRequest", nsmap={"xacml-samlp": protocol, "xacml": core}
        )
        request = etree.SubElement(
            query, f"{{{core}}}Request", {"CombinedDecision": "false", "ReturnPolicyIdList": "false"}
        )
        attributes = etree.SubElement(request, f"{{{core}}}Attributes", {"Category": called("soz.category")})
        attribute = etree.SubElement(
            attributes,
            f"{{{core}}}Attribute",
            {"AttributeId": called("soz.document"), "IncludeInResult": "false"},
        )
        for document in documents:
            value = etree.SubElement(
                attribute, f"{{{core}}}AttributeValue", {"DataType": called("soz.data_type")}
            )
            value.text = document
        return query
