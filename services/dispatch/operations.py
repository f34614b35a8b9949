"""What the service says of itself, on `webhooks.ops`: read back and delivered like any other event."""

from collections import deque
from collections.abc import Callable

import orjson
import structlog

from services.dispatch.wake import Wake
from services.kernel.clock import Clock
from services.kernel.errors import BrokerGoneError
from services.kernel.ids import new_id
from services.kernel.operation import OPS_TOPIC, Operation
from services.kernel.ports.broker import Producer

log = structlog.get_logger()

RETRY_SECONDS = 1.0
WAITING = 10_000
"""Beyond this the oldest is dropped, with a log line: the rows say the same."""


class Operations:
    """A bounded queue, written one after the other as long as the worker lives.

    Whoever has something to tell calls `tell` with what a function of `kernel.operation` made.
    """

    def __init__(self, *, producer: Producer, clock: Clock, chance: Callable[[], float]) -> None:
        self._producer = producer
        self._clock = clock
        self._chance = chance
        self._queue: deque[Operation] = deque()
        self._wake = Wake()

    def tell(self, operation: Operation) -> None:
        """Write *operation* as soon as Kafka takes it. Never waits."""
        if len(self._queue) >= WAITING:
            dropped = self._queue.popleft()
            log.error("operation_dropped", type=dropped.type, subscription=dropped.subscription_id)
        self._queue.append(operation)
        self._wake.set()

    async def run(self) -> None:
        """Write what is put, until cancelled."""
        while True:
            await self._wake.wait()
            while self._queue:
                try:
                    await self.write(self._queue[0])
                    self._queue.popleft()
                except BrokerGoneError as error:
                    log.warning("operation_waits", type=self._queue[0].type, error=str(error))
                    await self._clock.sleep(RETRY_SECONDS)

    async def write(self, operation: Operation) -> None:
        """Write *operation* now, or raise BrokerGoneError."""

        def entropy(count: int) -> bytes:
            return int(self._chance() * (1 << 8 * count)).to_bytes(count, "big")

        event = operation.event(
            id_=new_id(now=self._clock.time(), entropy=entropy), now=self._clock.now()
        )
        await self._producer.produce(OPS_TOPIC, key=operation.key, value=orjson.dumps(event))
