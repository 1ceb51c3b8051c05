"""Settings of P1, the Polish national platform; a section of ``settings``, kept apart for its length.

No specification of P1's interfaces is public. What is preset here comes from one public implementation or
from none: docs/p1.md says which, and that none of it has met the real platform.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from msim_xds.gateway_settings import OptionalHomeId

_XSPA: Final = "urn:oasis:names:tc:xspa:1.0:subject:"
_TRUST: Final = "http://docs.oasis-open.org/ws-sx/ws-trust/200512"
_XACML: Final = "urn:oasis:names:tc:xacml:3.0"

#: Every name on the wire that is P1's to choose; ``p1.names`` lays others over it.
NAMES: Final = {
    "token.namespace": _TRUST,
    "token.action": f"{_TRUST}/RST/Issue",
    "token.request": f"{_TRUST}/Issue",
    "token.type": "http://docs.oasis-open.org/wss/oasis-wss-saml-token-profile-1.1#SAMLV2.0",
    "token.claims": "urn:oasis:names:tc:SAML:2.0:assertion",
    "token.organization": f"{_XSPA}organization-id",
    "token.place": f"{_XSPA}child-organization",
    "token.worker": "urn:oasis:names:tc:SAML:attribute:subject-id",
    "token.patient": "urn:oasis:names:tc:xacml:1.0:resource:resource-id",
    "token.role": f"{_XSPA}functional-role",
    "token.purpose": "urn:oasis:names:tc:xacml:2.0:action:purpose",
    "token.on_behalf_of": "urn:p1:source-organization",
    "szar.register.action": "urn:rejestrujRepozytorium",
    "szar.addresses.action": "urn:rejestrujDaneDostepowe",
    "szar.lookup.action": "",
    "szar.identifier": "identyfikatorRepozytorium",
    "szar.status": "status",
    "szar.description": "opis",
    "szar.address_key": "urn:csioz:p1:daneDostepowe:adresUslugi",
    "soz.action": "urn:weryfikujDostepDoDanych",
    "soz.protocol": f"{_XACML}:profile:saml2.0:v2:schema:protocol:wd-13",
    "soz.core": f"{_XACML}:core:schema:wd-17",
    "soz.category": f"{_XACML}:attribute-category:resource",
    "soz.document": "urn:csioz:p1:autoryzacja:idDokumentu",
    "soz.data_type": "http://www.w3.org/2001/XMLSchema#string",
}


class P1Provider(BaseModel):
    """A provider of care as P1 knows it, with its certificates."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    organization: str = Field(
        pattern=r"^[^#\s]+#[^#\s]+$", description="The provider, `root#extension` (`PL.2.3.1#book`)."
    )
    place: str = Field("", description="Its organisational cell, `root#extension` (`PL.2.3.3#book-cell`).")
    worker: str = Field(
        "", description="The worker in whose name it publishes, `root#extension` (`PL.1.6.2#licence`)."
    )
    role: str = Field("medical doctor", description="That worker's functional role.")
    wss_certificate: Path = Field(description="PEM file of the certificate that signs its messages.")
    wss_key: Path = Field(description="PEM file of its RSA key.")
    tls_certificate: Path | None = Field(None, description="PEM file of its TLS certificate.")
    tls_key: Path | None = Field(None, description="PEM file of that certificate's key.")
    publish: bool = Field(False, description="Documents that it submits are published at P1.")

    @model_validator(mode="after")
    def _whole(self) -> P1Provider:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if self.publish and not self.worker:
            raise ValueError("worker: must not be empty where documents are published")
        return self


class P1Settings(BaseModel):
    """P1, the Polish national platform; nothing of it has met the real one ([more](p1.md))."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(False, description="Whether P1 is talked to at all.")
    base: str = Field(
        "https://isus.ezdrowie.gov.pl",
        pattern=r"^https?://[^/?#\s]+$",
        description="Address of the platform; preset is its test environment INT.",
    )
    token: str = Field("/services/ObslugaGenerowanieTokenuSamlWS", description="Path of the token service.")
    iti42: str = Field("/services/ObslugaEdmIti42WS", description="Path of ITI-42.")
    iti18: str = Field("/services/ObslugaEdmIti18WS", description="Path of ITI-18.")
    iti57: str = Field("/services/ObslugaEdmIti57WS", description="Path of ITI-57.")
    szar_register: str = Field(
        "/services/ObslugaRejestrowanieDanychDostepowychWS",
        description="Path of the address book's registration (SZAR).",
    )
    szar_lookup: str = Field(
        "/services/ObslugaPobranieDanychDostepowychWS", description="Path of the address book's look-up."
    )
    soz: str = Field(
        "/services/ObslugaWeryfikacjiDostepuDoDanychWS", description="Path of the consent decisions (SOZ)."
    )
    ca_file: Path | None = Field(
        None, description="PEM file of authorities trusted for TLS with P1 and its providers."
    )
    home_community_id: OptionalHomeId = Field(
        "",
        description="homeCommunityId under which the gateway shows P1; our own choice. Empty: it does not.",
    )
    providers: dict[str, P1Provider] = Field(
        default_factory=dict,
        description="By sourceId, the providers for which this server speaks: `organization`, `place`, "
        "`worker`, `role`, `wss_certificate`, `wss_key`, `tls_certificate`, `tls_key`, `publish`.",
    )
    provider: str = Field(
        "", description="sourceId of the provider that asks where no other does: address book, decisions."
    )
    names: dict[str, str] = Field(
        default_factory=dict, description="Names on the wire over the preset ones; docs/p1.md lists them."
    )
    token_soap: Literal["1.1", "1.2"] = Field("1.1", description="Version of SOAP at the token service.")
    szar_soap: Literal["1.1", "1.2"] = Field("1.1", description="Version of SOAP at the address book.")
    soz_soap: Literal["1.1", "1.2"] = Field("1.1", description="Version of SOAP at the consent decisions.")
    token_addressing: bool = Field(True, description="WS-Addressing headers at the token service.")
    szar_addressing: bool = Field(False, description="WS-Addressing headers at the address book.")
    soz_addressing: bool = Field(False, description="WS-Addressing headers at the consent decisions.")
    signature_method: Literal["rsa-sha256", "rsa-sha384", "rsa-sha512"] = Field(
        "rsa-sha256", description="With which messages are signed."
    )
    signature_digest: Literal["sha256", "sha512"] = Field("sha256", description="Digest in signatures.")
    signature_canonicalization: Literal["exclusive", "inclusive"] = Field(
        "exclusive", description="Canonical XML in signatures."
    )
    signature_parts: tuple[Literal["Body", "Timestamp", "BinarySecurityToken"], ...] = Field(
        ("Body", "Timestamp"), min_length=1, description="What of a message is signed."
    )
    assertion_first: bool = Field(
        True, description="The assertion stands before all else in wsse:Security; else behind it."
    )
    timestamp_s: int = Field(300, ge=1, description="Validity of a message's Timestamp.")
    deadline_s: float = Field(30.0, gt=0, description="Longest exchange with P1, and longest silence.")
    answer_bytes: int = Field(64 << 20, ge=65536, description="Longest answer of P1, without documents.")
    answer_objects: int = Field(10_000, ge=1, description="Most objects in an answer of its index.")
    document_bytes: int = Field(4 << 30, ge=1, description="Longest document of a provider's repository.")
    retrieve_bytes: int = Field(
        16 << 30, ge=65536, description="Longest answer of a provider's repository, with its documents."
    )
    tokens: int = Field(10000, ge=1, description="Assertions of P1 that each worker keeps.")
    token_margin_s: int = Field(30, ge=0, description="Time before its end from which none is used again.")
    purpose: str = Field("TREAT", description="Purpose of use of what this server does by itself.")
    roles: dict[str, str] = Field(
        default_factory=dict,
        description="P1's functional role by role code of a caller's assertion; else the provider's `role`.",
    )
    purposes: dict[str, str] = Field(
        default_factory=lambda: {"TREATMENT": "TREAT", "TREAT": "TREAT", "CONTT": "CONTT"},
        description="P1's purpose by purpose-of-use code of a caller's assertion; else `purpose`. An "
        "emergency is none unless it is put here.",
    )
    queries: tuple[str, ...] = Field(
        (
            "FindDocuments",
            "GetDocuments",
            "GetAll",
            "FindFolders",
            "GetFolderAndContents",
            "GetRelatedDocuments",
        ),
        description="Stored queries that a gateway asks P1; by others nothing is found there.",
    )
    on_behalf_of: str = Field("", description="Organization on whose behalf tokens are asked for.")
    repositories: dict[str, str] = Field(
        default_factory=dict,
        description="URLs of other providers' repositories by repositoryUniqueId; looked at before SZAR.",
    )
    lookup_template: Path | None = Field(
        None,
        description="File with the look-up's request as XML; `{repository}` in it is the repositoryUniqueId. "
        "What P1 wants there is not public: without it no address is looked up.",
    )
    lookup_answer: str = Field(
        "string(//*[local-name()='wartosc'][../*[normalize-space()=$key]])",
        description="XPath that gives the URL in the look-up's answer; `$key` is names' `szar.address_key`.",
    )
    addresses_s: float = Field(3600.0, ge=0, description="Time for which looked-up addresses are kept.")
    repository_template: Path | None = Field(
        None,
        description="File with the request for a new repositoryUniqueId. Likewise not public.",
    )
    addresses_template: Path | None = Field(
        None,
        description="File with the request that registers the repository's address; `{repository}`, "
        "`{address}` and `{key}` in it are replaced. Likewise not public.",
    )
    decisions: Literal["off", "p1", "always"] = Field(
        "off",
        description="ITI-43 asks SOZ: never, for requests with an assertion of `issuers`, or for every "
        "one, and then refuses those without such an assertion.",
    )
    issuers: tuple[str, ...] = Field(
        (), description="Issuers of P1's assertions, as `xua.issuers` names them."
    )
    message_signatures: Literal["off", "optional", "required"] = Field(
        "off",
        description="Signatures of whole messages that come with an assertion of `issuers`: not looked at, "
        "checked where there is one, or demanded.",
    )
    signers: tuple[Path, ...] = Field(
        (),
        description="PEM files of the certificates that sign such messages, or of the authorities that issue "
        "them. CRLs are not looked at.",
    )
    emergency_codes: tuple[str, ...] = Field(("BTG",), description="Purposes of use that save a life.")
    emergency_without_soz: bool = Field(False, description="Such a request is answered without asking SOZ.")
    local_time: bool = Field(True, description="Times go to P1 in `validation.time_zone` instead of UTC.")
    content_type: tuple[str, str, str] = Field(
        ("REGISTER", "Typ wysyłki", "Rejestracja indeksu EDM"),
        description="contentTypeCode of submissions to P1: code, scheme, text.",
    )
    audit: bool = Field(
        False, description="Hand audit records of retrievals under P1's rules over to P1 ([more](p1.md))."
    )
    audit_url: str = Field(
        "",
        pattern=r"^(tls://[^/?#\s]+)?$",
        description="Where P1 takes them, `tls://host:port`; empty is port 6514 of the host of `base`.",
    )
    audit_confirmation: Literal["close_notify", "eof"] = Field(
        "close_notify", description="What proves that they have arrived, as in `audit.repositories`."
    )
    attempts: int = Field(20, ge=1, description="Attempts until a publication is given up.")
    first_pause_s: float = Field(5.0, gt=0, description="Pause after the first failed attempt; it doubles.")
    longest_pause_s: float = Field(3600.0, gt=0, description="Longest pause between attempts.")
    lease_s: float = Field(
        300.0,
        gt=0,
        description="Time after which a publication under way is taken over; longer than the exchanges "
        "for one.",
    )

    @model_validator(mode="after")
    def _whole(self) -> P1Settings:
        if unknown := sorted(self.names.keys() - NAMES.keys()):
            raise ValueError(f"names: {unknown[0]} is not one of {', '.join(NAMES)}")
        if not self.enabled:
            return self
        if self.provider not in self.providers:
            raise ValueError("provider: must be one of providers where P1 is enabled")
        if self.decisions != "off" and not self.issuers:
            raise ValueError("issuers: must not be empty where SOZ is asked")
        if self.message_signatures != "off":
            for name in ("issuers", "signers"):
                if not getattr(self, name):
                    raise ValueError(f"{name}: must not be empty where signatures of messages are checked")
        return self

    def called(self, name: str) -> str:
        """What P1 calls it: a key of ``NAMES``."""
        return self.names.get(name, NAMES[name])

    @property
    def publishing(self) -> frozenset[str]:
        """The sourceIds whose documents are published."""
        return frozenset(key for key, each in self.providers.items() if self.enabled and each.publish)
