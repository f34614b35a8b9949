"""The worker's side of the history: attempts in memory until Kafka has them."""

import asyncio
from collections import deque

import structlog

from services.kernel.attempt import Attempt, Verdict
from services.kernel.clock import Clock
from services.kernel.delivery import Delivery
from services.kernel.errors import BrokerGoneError, BrokerRefusedError
from services.kernel.ids import Entropy
from services.kernel.ports.broker import Producer
from services.kernel.value import value
from services.observe import metrics
from services.record.codec import RUN_BYTES, Row, encode, row

log = structlog.get_logger()

RECORD_BYTES = 786_432
"""Of attempts in one record before compression, as estimated: under every usual limit of a record."""
ROW_BYTES = 512
"""Of an attempt without excerpt, headers and error."""
AGAIN_SECONDS = 1.0
CLOSE_SECONDS = 3.0


@value
class Bounds:
    """What the buffer may hold, and how long."""

    attempts: int
    bytes: int
    seconds: float
    """Between two records."""


class Attempts:
    """Takes in attempts without ever waiting; writes them to Kafka in records of many."""

    def __init__(
        self,
        *,
        producer: Producer,
        topic: str,
        worker: str,
        bounds: Bounds,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._key = worker.encode()
        self._bounds = bounds
        self._clock = clock
        self._run = entropy(RUN_BYTES).hex()
        self._rows: deque[Row] = deque()
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._record: bytes | None = None
        self._held = 0
        self._number = 0
        self._first = 0
        self._lost = 0

    def add(self, delivery: Delivery, attempt: Attempt, verdict: Verdict | None) -> None:
        """Keep an attempt, or count it as lost where there is no room. Never waits."""
        size = ROW_BYTES
        if attempt.excerpt or attempt.headers or attempt.error:
            size += _extra(attempt)
        if delivery.about.also:
            size += sum(map(len, delivery.about.also))
        if len(self._rows) >= self._bounds.attempts or self._bytes + size > self._bounds.bytes:
            self._lose(1)
            return
        self._bytes += size
        self._sizes.append(size)
        self._rows.append(row(delivery, attempt, verdict))

    async def run(self) -> None:
        """Write what comes until cancelled; then write the rest, within seconds."""
        try:
            while True:
                await self._clock.sleep(self._bounds.seconds)
                some = bool(self._rows or self._record)
                while some:
                    if await self._write():
                        # What came meanwhile waits its tenth of a second too: a record for every
                        # few attempts would cost more than all else about them.
                        some = self._bytes >= RECORD_BYTES
                    else:
                        await self._clock.sleep(AGAIN_SECONDS)
        finally:
            await self._close()

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._rows or self._record:
                    if not await self._write():
                        break
        except TimeoutError:
            log.warning("attempts_unwritten")
        left = len(self._rows) + self._held
        if left:
            self._lose(left)

    async def _write(self) -> bool:
        """Write one record; tell whether Kafka has it. Otherwise it is written again, as it is."""
        if self._record is None:
            rows = self._taken()
            self._record = encode(rows, run=self._run, number=self._number, first=self._first)
            self._held = len(rows)
        try:
            await self._producer.produce(self._topic, key=self._key, value=self._record)
        except BrokerGoneError as error:
            log.warning("attempts_wait", attempts=len(self._rows) + self._held, error=str(error))
            return False
        except BrokerRefusedError as error:
            log.exception("attempts_refused", attempts=self._held, error=str(error))
            self._lose(self._held)
        else:
            metrics.ATTEMPTS_LOGGED.inc(self._held)
            self._lost = 0
        self._record, self._number, self._first = None, self._number + 1, self._first + self._held
        self._held = 0
        return True

    def _taken(self) -> list[Row]:
        """Take the oldest, as many as fit into a record."""
        rows: list[Row] = []
        size = 0
        while self._rows and (not rows or size + self._sizes[0] <= RECORD_BYTES):
            size += self._sizes.popleft()
            rows.append(self._rows.popleft())
        self._bytes -= size
        return rows

    def _lose(self, count: int) -> None:
        if not self._lost:  # said once until Kafka takes some again
            log.error("attempts_lost", held=len(self._rows))
        self._lost += count
        metrics.ATTEMPTS_LOST.inc(count)


def _extra(attempt: Attempt) -> int:
    headers = sum(len(name) + len(text) for name, text in attempt.headers)
    return len(attempt.excerpt) + headers + len(attempt.error or "")
