"""Spyne at work: a method for each row, contexts that let go, failures that come out."""

from __future__ import annotations

import gc
import math
import weakref

import pytest
import spyne.const

from msim_xds.ihe.transactions import ITI_18, TRANSACTIONS, Endpoint
from msim_xds.server.spyne_app import SoapEndpoint
from msim_xds.wire.exchange import Answer, Request
from msim_xds.wire.mtom import Message
from tests.test_server.soap import envelope


class Payload(list[bytes]):
    """A list that can be watched."""


def message(action: str = ITI_18.action) -> Message:
    return Message(envelope(action=action), {}, mtom=False)


@pytest.mark.parametrize("endpoint", Endpoint)
def test_spyne_has_a_method_for_each_row(endpoint: Endpoint) -> None:
    soap = SoapEndpoint(endpoint, lambda request: Answer([]))
    names = {key.rpartition("}")[2] for key in soap.app.interface.service_method_map}
    assert names == {row.name for row in TRANSACTIONS if row.endpoint is endpoint}


@pytest.mark.parametrize("action", [ITI_18.action, "urn:unknown"])
def test_contexts_let_go_of_messages_without_the_collector(action: str) -> None:
    watched: list[weakref.ref[object]] = []

    def run(request: Request) -> Answer:
        payload = Payload([b"<x/>"])
        watched.append(weakref.ref(payload))
        return Answer(payload)

    soap = SoapEndpoint(Endpoint.REGISTRY, run)
    soap.call(message(action))
    gc.collect()
    gc.disable()
    try:
        parts = {"d": object()}
        watched.append(weakref.ref(given := Watched()))
        soap.call(Message(envelope(action=action), {**parts, "w": given}, mtom=False))  # type: ignore[dict-item]
        del given
        assert all(reference() is None for reference in watched)
    finally:
        gc.enable()


class Watched:
    """Stands for a part."""


def test_failure_behind_spyne_comes_out() -> None:
    def run(request: Request) -> Answer:
        raise ZeroDivisionError

    with pytest.raises(RuntimeError, match="Spyne failed"):
        SoapEndpoint(Endpoint.REGISTRY, run).call(message())


def test_no_collection_inside_requests() -> None:
    assert math.isinf(spyne.const.MIN_GC_INTERVAL)
