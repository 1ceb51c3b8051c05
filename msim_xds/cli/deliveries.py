"""deliveries list, retry, drop: the answers of the asynchronous exchange that wait or were given up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msim_xds.cli.waiting import Cells, Words, commands

if TYPE_CHECKING:
    from msim_xds.database.engine import Database
    from msim_xds.delivery.queue import Delivery, DeliveryQueue
    from msim_xds.settings import Settings


def _opened(database: Database, settings: Settings) -> DeliveryQueue:
    from msim_xds.delivery.queue import DeliveryQueue

    return DeliveryQueue(database, settings.delivery, lambda: datetime.now(UTC))


def _cells(row: Delivery) -> Cells:
    return Cells(row.transaction or "fault", row.address)


app = commands(
    Words(
        help="Answers to wsa:ReplyTo that wait for delivery or were given up. The server may run meanwhile.",
        show="Show what waits, the oldest first.",
        retry="Have answers that were given up sent again, with all their attempts.",
        drop="Forget answers; one that is just being sent may still arrive.",
        about="address",
        empty="no answer waits for delivery",
        retried="to be sent again",
    ),
    _opened,
    _cells,
)
