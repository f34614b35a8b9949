"""What is no event goes to the quarantine topic; only when Kafka has it is its offset settled."""

from collections import deque

import structlog

from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.wake import Wake
from services.feed.quarantine import Quarantined, quarantine_record, shortened
from services.kernel.clock import Clock
from services.kernel.errors import BrokerGoneError, BrokerRefusedError
from services.kernel.event import Poison, Record
from services.kernel.ids import SubscriptionId
from services.kernel.ports.broker import Producer
from services.observe import metrics

log = structlog.get_logger()

QUARANTINE = SubscriptionId("quarantine")
"""Stands for the quarantine in the tracker, as a subscription would."""

RETRY_SECONDS = 1.0


class Quarantine:
    """A queue of poison, bounded by the partitions' windows: each entry is an open offset."""

    def __init__(
        self, *, producer: Producer, topic: str, partitions: OwnedPartitions, clock: Clock
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._clock = clock
        self._queue: deque[tuple[Owned, Record, Poison]] = deque()
        self._wake = Wake()

    def put(self, owned: Owned, record: Record, poison: Poison) -> None:
        """Open the offset of *record* until the quarantine has it."""
        owned.open(record.position.offset, QUARANTINE, len(record.value or b""))
        metrics.QUARANTINED[poison.reason].inc()
        log.warning(
            "record_quarantined",
            position=str(record.position),
            reason=poison.reason,
            pointer=poison.pointer,
            why=poison.message,
        )
        self._queue.append((owned, record, poison))
        self._wake.set()

    async def run(self) -> None:
        """Write what is put, one after the other, until cancelled."""
        while True:
            await self._wake.wait()
            while self._queue:
                owned, record, poison = self._queue[0]
                if self._partitions.is_held(owned) and not await self._write(record, poison):
                    await self._clock.sleep(RETRY_SECONDS)
                    continue
                self._queue.popleft()
                owned.settle(record.position.offset, QUARANTINE, len(record.value or b""))

    async def _write(self, record: Record, poison: Poison) -> bool:
        try:
            try:
                await self._produce(quarantine_record(record, poison))
            except BrokerRefusedError:  # with our headers even one that is allowed can be too large
                await self._produce(shortened(record, poison))
        except (BrokerGoneError, BrokerRefusedError) as error:
            log.warning("quarantine_waits", topic=self._topic, error=str(error))
            return False
        return True

    async def _produce(self, kept: Quarantined) -> None:
        key, value, headers = kept
        await self._producer.produce(self._topic, key=key, value=value, headers=headers)
