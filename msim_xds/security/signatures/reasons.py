"""Why a signature is not simply good, for people: one table, in English and in Polish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple


class Wording(NamedTuple):
    """One reason in both languages; ``{name}`` stands for a value."""

    en: str
    pl: str


REASONS: Final[Mapping[str, Wording]] = {
    # the document and its structure
    "structure": Wording(
        "the signature does not hold exactly one SignedInfo and SignatureValue, and at most one KeyInfo",
        "podpis nie zawiera dokładnie jednego SignedInfo i SignatureValue oraz najwyżej jednego KeyInfo",
    ),
    "over-limit": Wording("not verified: {detail}", "nie zweryfikowano: {detail}"),
    "properties-ambiguous": Wording(
        "the signature holds more than one set of XAdES properties",
        "podpis zawiera więcej niż jeden zestaw właściwości XAdES",
    ),
    "properties-target": Wording(
        "the XAdES properties name another signature as their target",
        "właściwości XAdES wskazują inny podpis",
    ),
    "signed-properties-unsigned": Wording(
        "the signature does not sign its own XAdES properties (exactly one reference must)",
        "podpis nie obejmuje własnych właściwości XAdES (musi na nie wskazywać dokładnie jedno odwołanie)",
    ),
    "signed-properties-elsewhere": Wording(
        "reference '{uri}' leads to XAdES properties that are not this signature's own",
        "odwołanie '{uri}' prowadzi do właściwości XAdES, które nie należą do tego podpisu",
    ),
    "signs-nothing": Wording("the signature signs no data", "podpis nie obejmuje żadnych danych"),
    "object-moved": Wording(
        "reference '{uri}' leads to a signed object that does not stand in this signature (it was moved)",
        "odwołanie '{uri}' prowadzi do podpisanego obiektu spoza tego podpisu (przeniesiono go)",
    ),
    "countersigns-other": Wording(
        "reference '{uri}' does not lead to the value of the signature that is counter-signed",
        "odwołanie '{uri}' nie prowadzi do wartości podpisu kontrasygnowanego",
    ),
    "countersigns-nothing": Wording(
        "the counter-signature does not sign the value of the signature that holds it",
        "kontrasygnata nie obejmuje wartości podpisu, w którym się znajduje",
    ),
    # references
    "id-missing": Wording(
        "nothing in the document has the Id '{id}'", "żaden element dokumentu nie ma Id '{id}'"
    ),
    "id-ambiguous": Wording(
        "several elements of the document have the Id '{id}'", "kilka elementów dokumentu ma Id '{id}'"
    ),
    "not-handed-in": Wording(
        "the document '{uri}' was not handed in; nothing is fetched",
        "nie przekazano dokumentu '{uri}'; nic nie jest pobierane",
    ),
    "nameless": Wording(
        "a reference without URI can be matched only with exactly one document handed in",
        "odwołanie bez URI można dopasować tylko do dokładnie jednego przekazanego dokumentu",
    ),
    "digest-differs": Wording(
        "what reference '{uri}' signs was changed after signing",
        "to, co podpisano przez odwołanie '{uri}', zmieniono po podpisaniu",
    ),
    "digest-unknown": Wording("unknown digest '{algorithm}'", "nieznany algorytm skrótu '{algorithm}'"),
    "digest-malformed": Wording(
        "a digest is not base64 of the right length", "skrót nie jest w base64 o właściwej długości"
    ),
    "no-canonical-form": Wording("cannot be digested: {detail}", "nie można obliczyć skrótu: {detail}"),
    "too-many-transforms": Wording(
        "a reference has more than {limit} transforms", "odwołanie ma więcej niż {limit} przekształceń"
    ),
    "transform-refused": Wording(
        "the transform '{algorithm}' is not carried out", "przekształcenie '{algorithm}' nie jest wykonywane"
    ),
    "not-xml": Wording("a transform needs XML: {detail}", "przekształcenie wymaga XML: {detail}"),
    "not-base64": Wording(
        "what a transform should decode is not base64", "dane do zdekodowania nie są w base64"
    ),
    # why a digest may differ
    "line-ends": Wording(
        "only line ends were changed (CRLF and LF)", "zmieniono tylko znaki końca wiersza (CRLF i LF)"
    ),
    "indented": Wording(
        "the document was re-indented: it is right without the white space between elements",
        "dokument sformatowano na nowo (wcięcia): bez odstępów między elementami jest zgodny",
    ),
    "encoded": Wording(
        "the document was re-encoded: it is right when read as {encoding}",
        "dokument przekodowano: jest zgodny, gdy odczyta się go jako {encoding}",
    ),
    "byte-order-mark": Wording(
        "a byte order mark was added or removed", "dodano albo usunięto znacznik kolejności bajtów (BOM)"
    ),
    "instructions": Wording(
        "a processing instruction before the root (xml-stylesheet) was added",
        "dodano instrukcję przetwarzania przed elementem głównym (xml-stylesheet)",
    ),
    # the value and the certificate
    "no-certificate": Wording(
        "the signing certificate is neither in the signature nor configured",
        "certyfikatu podpisującego nie ma ani w podpisie, ani w konfiguracji",
    ),
    "not-bound": Wording(
        "the signature names another certificate than the one whose key verifies it",
        "podpis wskazuje inny certyfikat niż ten, którego klucz go weryfikuje",
    ),
    "not-named": Wording(
        "the signature does not say whose certificate is the signer's",
        "podpis nie wskazuje, który certyfikat należy do podpisującego",
    ),
    "method-refused": Wording(
        "the signature method '{algorithm}' is not accepted",
        "algorytm podpisu '{algorithm}' nie jest akceptowany",
    ),
    "value-wrong": Wording(
        "the signature value is wrong: the signature was changed, or made with another key",
        "wartość podpisu jest nieprawidłowa: podpis zmieniono albo złożono innym kluczem",
    ),
    "second-opinion": Wording("xmlsec does not verify the signature", "xmlsec nie potwierdza podpisu"),
    # trust
    "no-chain": Wording(
        "no path from the certificate (issuer: {issuer}) to a trusted authority",
        "brak ścieżki od certyfikatu (wystawca: {issuer}) do zaufanego urzędu",
    ),
    "chain-broken": Wording(
        "the certificate path is not valid: {detail}", "ścieżka certyfikacji jest nieprawidłowa: {detail}"
    ),
    "key-usage": Wording(
        "the certificate is not meant for signing documents (keyUsage)",
        "certyfikat nie służy do podpisywania dokumentów (keyUsage)",
    ),
    "revoked": Wording(
        "the certificate was revoked on {date}, and it is not proven that the signature is older",
        "certyfikat unieważniono {date}, a nie dowiedziono, że podpis jest wcześniejszy",
    ),
    "revoked-before": Wording(
        "the certificate was revoked on {date}, before the signature was made",
        "certyfikat unieważniono {date}, przed złożeniem podpisu",
    ),
    "ca-revoked": Wording(
        "the certificate of an authority on the path was revoked on {date}",
        "certyfikat urzędu na ścieżce unieważniono {date}",
    ),
    "no-revocation-data": Wording(
        "no current revocation data (CRL, OCSP) for the certificate {subject}",
        "brak aktualnych danych o unieważnieniach (CRL, OCSP) dla certyfikatu {subject}",
    ),
    "expired": Wording(
        "the certificate was valid until {date}, and it is not proven that the signature is older",
        "certyfikat był ważny do {date}, a nie dowiedziono, że podpis jest wcześniejszy",
    ),
    "expired-not-revoked": Wording(
        "the certificate was valid until {date}, not revoked; it is not proven that the signature is older",
        "certyfikat był ważny do {date} i nie był unieważniony; nie dowiedziono, że podpis jest wcześniejszy",
    ),
    "signed-after-expiry": Wording(
        "the certificate was valid until {date}; the signature is proven to be later",
        "certyfikat był ważny do {date}; dowiedziono, że podpis jest późniejszy",
    ),
    "not-yet-valid": Wording(
        "the certificate is valid from {date} on; the signature is older",
        "certyfikat jest ważny od {date}; podpis jest wcześniejszy",
    ),
    "weak": Wording(
        "{algorithm} has proved nothing since {date}", "{algorithm} nie stanowi dowodu od {date}"
    ),
    "weak-always": Wording("{algorithm} proves nothing", "{algorithm} nie stanowi dowodu"),
    "stamps-out-of-order": Wording(
        "the time-stamps' times contradict each other", "czasy znaczników czasu są ze sobą sprzeczne"
    ),
    # time-stamps
    "token-unreadable": Wording("the time-stamp token cannot be read", "nie można odczytać znacznika czasu"),
    "token-imprint": Wording(
        "the time-stamp ({type}) is about other data", "znacznik czasu ({type}) dotyczy innych danych"
    ),
    "token-no-certificate": Wording(
        "the time-stamp does not hold its authority's certificate",
        "znacznik czasu nie zawiera certyfikatu urzędu",
    ),
    "token-signature": Wording(
        "the time-stamp's own signature is wrong", "podpis znacznika czasu jest nieprawidłowy"
    ),
    "token-binding": Wording(
        "the time-stamp names another certificate than its authority's",
        "znacznik czasu wskazuje inny certyfikat niż certyfikat urzędu",
    ),
    "token-usage": Wording(
        "the certificate is not meant for time-stamps", "certyfikat nie służy do znakowania czasem"
    ),
    # worth knowing
    "issuer-serial": Wording(
        "IssuerSerialV2 does not fit the certificate (its digest does)",
        "IssuerSerialV2 nie zgadza się z certyfikatem (skrót się zgadza)",
    ),
    "type-missing": Wording(
        "the reference to the XAdES properties lacks its Type",
        "odwołanie do właściwości XAdES nie ma atrybutu Type",
    ),
    "not-last": Wording(
        "the signature is not the last child of the root", "podpis nie jest ostatnim elementem dokumentu"
    ),
    "partial": Wording(
        "the signature does not cover the whole document", "podpis nie obejmuje całego dokumentu"
    ),
    "claimed-time": Wording(
        "the claimed signing time lies outside of the certificate's validity",
        "deklarowany czas podpisu leży poza okresem ważności certyfikatu",
    ),
    "seal": Wording(
        "sealed; the person {name} is named by the seal, not by the certificate",
        "pieczęć; osobę {name} wskazuje pieczęć, a nie certyfikat",
    ),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason with its values."""

    code: str
    values: tuple[tuple[str, str], ...] = ()

    def text(self, language: str = "en") -> str:
        """The sentence, in English or ('pl') in Polish."""
        wording = REASONS[self.code]
        return (wording.pl if language == "pl" else wording.en).format_map(dict(self.values))


def reason(code: str, **values: str) -> Reason:
    """A row of the table with its values.

    Raises:
        KeyError: no such row.
    """
    if code not in REASONS:
        raise KeyError(code)
    return Reason(code, tuple(values.items()))
