"""Document Administrator: the client side of ITI-62 and ITI-86."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from msim_xds.federation.answers import RegistryAnswer, payload, registry_answer
from msim_xds.federation.client import DocumentRequest, call, document_requests
from msim_xds.federation.transport import Channel, Options
from msim_xds.ihe.transactions import ITI_62, ITI_86, Transaction
from msim_xds.repository.spool import Spool


class DocumentAdministrator:
    """Removes metadata from a registry, and documents from a repository."""

    def __init__(self, registry_url: str, repository_url: str = "", options: Options | None = None) -> None:
        """An administrator of both. One thread at a time may use it."""
        self._registry = Channel(registry_url, options or Options())
        self._repository = Channel(repository_url, options or Options())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._registry.close()
        self._repository.close()

    def remove_metadata(self, entry_uuids: Sequence[str]) -> RegistryAnswer:
        """Remove Metadata (ITI TF-2 3.62): all of these objects and Associations, or none.

        Raises:
            RemoteFault: answered by a SOAP fault.
            RemoteUnavailable: no usable answer.
        """
        references = [{"id": entry_uuid} for entry_uuid in entry_uuids]
        return _answered(self._registry, ITI_62, {"ObjectRefList": {"ObjectRef": references}})

    def remove_documents(self, requests: Sequence[DocumentRequest]) -> RegistryAnswer:
        """Remove Documents (ITI TF-2 3.86): all of these, or none. Raises as above."""
        return _answered(self._repository, ITI_86, document_requests(requests))


def _answered(channel: Channel, transaction: Transaction, arguments: Mapping[str, Any]) -> RegistryAnswer:
    with TemporaryDirectory(prefix="msim-xds-") as directory:
        message = call(channel, transaction, arguments, Spool(Path(directory)))
        return registry_answer(payload(message.root, transaction, channel.url), channel.url)
