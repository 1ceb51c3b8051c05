"""Every error code that a module speaks of stands in the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import msim_xds
from msim_xds.ihe.errors import ERRORS
from msim_xds.ihe.names import Severity
from msim_xds.ihe.transactions import TRANSACTIONS, AnswerKind

PACKAGE = Path(msim_xds.__file__).parent
_CODE = re.compile(r'"(XDS[A-Z][A-Za-z]+|UnresolvedReferenceException)"')
#: Names that look like codes and are none, and codes that only others send.
_OTHER = re.compile(r"XDS(DocumentEntry|SubmissionSet|Folder|Metadata$|RegistryNotAvailable$)")
_PACKAGES = ("metadata", "registry", "repository", "federation", "gateway", "wire", "server")


@pytest.mark.parametrize("package", _PACKAGES)
def test_codes_in_use_are_in_the_table(package: str) -> None:
    used = {
        code
        for module in (PACKAGE / package).rglob("*.py")
        for code in _CODE.findall(module.read_text("utf-8"))
        if not _OTHER.match(code)
    }
    assert used <= ERRORS.keys()


def test_codes_of_transactions_are_allowed_in_them() -> None:
    for transaction in TRANSACTIONS:
        if transaction.answer in (AnswerKind.ACKNOWLEDGEMENT, AnswerKind.PATIENT_DISCOVERY):
            continue  # they have codes of HL7
        for code in (transaction.invalid, transaction.failure):
            assert transaction.name in ERRORS[code].transactions


def test_rows_are_whole() -> None:
    names = {transaction.name for transaction in TRANSACTIONS}
    for code, row in ERRORS.items():
        assert row.code == code
        assert row.meaning.endswith(".")
        assert row.transactions
        assert set(row.transactions) <= names
        assert (row.severity is Severity.WARNING) == (code == "XDSExtraMetadataNotSaved")
