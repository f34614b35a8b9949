"""What the service says of itself, on `webhooks.ops`: read back and delivered like any other event.

What is told of a change was kept with it in Postgres, by a worker or the API. The owner of one partition
passes it on, what is about one subscription in order. Killed in between it writes once more what it had
not crossed out: under the same id, as every repeat.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

import orjson
import structlog

from services.kernel.clock import Clock
from services.kernel.errors import BrokerGoneError, BrokerRefusedError, StoreGoneError
from services.kernel.event import Json
from services.kernel.ids import new_id
from services.kernel.operation import OPS_TOPIC, Kept, Operation
from services.kernel.ports.broker import Producer
from services.kernel.ports.store.operations import OperationStore

log = structlog.get_logger()

LOOK_SECONDS = 0.5
AT_ONCE = 100


class Operations:
    """Passes on what is kept, while this worker is the one that does."""

    def __init__(
        self,
        *,
        store: OperationStore,
        producer: Producer,
        is_ours: Callable[[], bool],
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._store = store
        self._producer = producer
        self._is_ours = is_ours
        self._clock = clock
        self._chance = chance

    async def run(self) -> None:
        """Pass on what is kept, until cancelled. Waits out a lost Kafka or Postgres."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            try:
                await self.pass_on()
            except (BrokerGoneError, StoreGoneError) as error:
                log.warning("operations_wait", error=str(error))

    async def pass_on(self) -> None:
        """Write what waits; cross it out when Kafka has it. Raises BrokerGoneError, StoreGoneError.

        Of 100,000 that are told of one gap each would wait for Kafka's answer to the one before; so those
        about different subscriptions are written at once.
        """
        while self._is_ours() and (kept := await self._store.waiting(limit=AT_ONCE)):
            lines: dict[bytes, list[Kept]] = defaultdict(list)
            for each in kept:
                lines[each.operation.key].append(each)
            # All have ended before anything is raised: none goes on beside the next try.
            ended = await asyncio.gather(
                *(self._pass_on_in_order(line) for line in lines.values()), return_exceptions=True
            )
            for error in ended:
                if error is not None:
                    raise error
            await self._store.told([each.number for each in kept])

    async def write(self, operation: Operation) -> None:
        """Write *operation* now, or raise BrokerGoneError: for what is looked at again after that."""

        def entropy(count: int) -> bytes:
            return int(self._chance() * (1 << 8 * count)).to_bytes(count, "big")

        id_ = new_id(now=self._clock.time(), entropy=entropy)
        await self._produce(operation, operation.event(id_=id_, now=self._clock.now()))

    async def _pass_on_in_order(self, line: Sequence[Kept]) -> None:
        # One after another: the client keeps no order of what waits for room in its buffer.
        for kept in line:
            await self._pass_on(kept)

    async def _pass_on(self, kept: Kept) -> None:
        operation = kept.operation
        try:
            await self._produce(operation, operation.event(id_=kept.id, now=kept.at))
        except BrokerRefusedError as error:  # no other would be taken after it
            log.error(  # noqa: TRY400 - what Kafka says is all there is to know
                "operation_refused",
                type=operation.type,
                subscription_id=operation.subscription_id,
                error=str(error),
            )

    async def _produce(self, operation: Operation, event: Json) -> None:
        await self._producer.produce(OPS_TOPIC, key=operation.key, value=orjson.dumps(event))
