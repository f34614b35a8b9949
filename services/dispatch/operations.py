"""What the service says of itself, on `webhooks.ops`: read back and delivered like any other event."""

from collections import deque
from collections.abc import Callable
from datetime import datetime

import orjson
import structlog

from services.dispatch.wake import Wake
from services.kernel.clock import Clock, rfc3339
from services.kernel.errors import BrokerGoneError
from services.kernel.event import Json
from services.kernel.ids import new_id
from services.kernel.operation import OPS_TOPIC, Operation
from services.kernel.ports.broker import Producer
from services.kernel.subscription import Subscription

log = structlog.get_logger()

RETRY_SECONDS = 1.0
WAITING = 10_000
"""Beyond this the oldest is dropped, with a log line: the rows say the same."""
REASONS = {"gone": "http_410"}
"""Ours, in the words of the catalogue."""


class Operations:
    """A bounded queue, written one after the other as long as the worker lives."""

    def __init__(self, *, producer: Producer, clock: Clock, chance: Callable[[], float]) -> None:
        self._producer = producer
        self._clock = clock
        self._chance = chance
        self._queue: deque[Operation] = deque()
        self._wake = Wake()

    def disabled(self, subscription: Subscription, reason: str) -> None:
        """Tell the others of the project that we switched *subscription* off."""
        data = {
            "subscription_id": subscription.id,
            "url": subscription.url,
            "reason": REASONS.get(reason, reason),
            "failure_count": 1,
        }
        self._put(
            Operation(
                type="webhook.disabled",
                project_id=subscription.project_id,
                subscription_id=subscription.id,
                data=data,
            )
        )

    def failing(self, subscription: Subscription, *, reason: str, since: datetime) -> None:
        """Tell the others of the project that *subscription* can't get what it asks for."""
        data = {
            "subscription_id": subscription.id,
            "url": subscription.url,
            "reason": reason,
            "since": rfc3339(since),
        }
        self._put(
            Operation(
                type="webhook.failing",
                project_id=subscription.project_id,
                subscription_id=subscription.id,
                data=data,
            )
        )

    def _put(self, operation: Operation) -> None:
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
                if await self._write(self._queue[0]):
                    self._queue.popleft()
                else:
                    await self._clock.sleep(RETRY_SECONDS)

    async def _write(self, operation: Operation) -> bool:
        key = f"{operation.project_id}:{operation.subscription_id}".encode()
        try:
            await self._producer.produce(
                OPS_TOPIC, key=key, value=orjson.dumps(self._event(operation))
            )
        except BrokerGoneError as error:
            log.warning("operation_waits", type=operation.type, error=str(error))
            return False
        return True

    def _event(self, operation: Operation) -> Json:
        def entropy(count: int) -> bytes:
            return int(self._chance() * (1 << 8 * count)).to_bytes(count, "big")

        return {
            "id": new_id(now=self._clock.time(), entropy=entropy),
            "type": operation.type,
            "created_at": rfc3339(self._clock.now()),
            "project_id": operation.project_id,
            "user": None,
            "data": operation.data,
            "meta": {"ordering_key": operation.subscription_id, "origin": "system"},
        }
