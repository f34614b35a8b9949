"""What happens, as it happens: events from the log, deliveries from the log of attempts.

Each listener reads the two logs itself, at the pace at which it takes what it is given: nothing is
buffered for it. One that is slow is behind, no more; what retention takes meanwhile is told as
`missed`. A message's id names where all partitions stand after it, so that whoever comes back with
the last one goes on there, and nothing is lost or repeated.
"""

import base64
import binascii
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import orjson
import structlog

from services.control.access import Caller
from services.control.journal import Gap, Journal
from services.control.view import Asked, Entry, View
from services.kernel.clock import Clock
from services.kernel.errors import (
    BrokerGoneError,
    ConflictError,
    Fault,
    FaultsError,
    OutOfLogError,
    WebhooksError,
)
from services.kernel.event import Partition, Record
from services.kernel.history import HistoryFilter, fits
from services.kernel.ports.broker import LogReader, Offsets
from services.kernel.ports.history import Written
from services.kernel.recorded import Recorded
from services.match import types

log = structlog.get_logger()

QUERY = "The query is not valid"
EVENTS, DELIVERIES = "events", "deliveries"
MAX_PER_KEY = 4
MAX_IN_ALL = 100
"""Listeners at once: each is a reader of its own."""
READ = 200
WAIT = timedelta(seconds=1)
HEARTBEAT_SECONDS = 2.0
"""Also how long a listener that has gone counts as one: it is missed when something is written."""
GONE_SECONDS = 1.0


class Message(NamedTuple):
    """Something that happened; None: nothing did, and the listener is told that we are there."""

    at: str
    what: Entry | Recorded | Gap | None


class Wanted(NamedTuple):
    """Which messages."""

    of: str | None = None
    """`events` or `deliveries`; None: both."""
    asked: Asked = Asked()
    deliveries: HistoryFilter = HistoryFilter()
    """What is asked of deliveries beside that."""
    after: str | None = None
    """The id of the last message that was taken; None: from now on."""


class Tail:
    """Follows the logs for those who listen."""

    def __init__(
        self,
        *,
        make_reader: Callable[[], LogReader],
        offsets: Offsets,
        journal: Journal,
        attempts_topic: str | None,
        decode: Callable[[bytes], Written],
        clock: Clock,
    ) -> None:
        self._make_reader = make_reader
        self._offsets = offsets
        self._journal = journal
        self._attempts_topic = attempts_topic
        self._decode = decode
        self._clock = clock
        self._listening: Counter[str] = Counter()
        self._stopping = False

    async def stop(self, *_: object) -> None:
        """Let all listeners go: each ends within a second."""
        self._stopping = True

    async def listen(
        self, caller: Caller, wanted: Wanted, *, noted: Sequence[Fault] = ()
    ) -> AsyncGenerator[Message, None]:
        """Return messages without an end. Raises FaultsError, NotFoundError, ConflictError."""
        faults = [*noted, *self._journal.faults(wanted.asked)]
        pointer = None if wanted.after is None else _pointed(wanted.after)
        if wanted.after is not None and pointer is None:
            message = "no id of a message of this stream"
            faults.append(Fault("cursor", message, parameter="Last-Event-ID"))
        if faults:
            raise FaultsError(QUERY, faults)
        if self._listening[caller.id] >= MAX_PER_KEY or self._listening.total() >= MAX_IN_ALL:
            raise ConflictError(f"{MAX_PER_KEY} streams of one key at once: close one")
        asked = wanted.asked
        if wanted.of != DELIVERIES or asked.subscription is not None:
            asked = self._journal.narrowed(caller, asked)
        view = await self._journal.view(caller, asked)
        topics = [*self._journal.topics(wanted.asked)] if wanted.of != DELIVERIES else []
        if wanted.of != EVENTS and self._attempts_topic is not None:
            topics.append(self._attempts_topic)
        partitions = await self._offsets.partitions(topics)
        if not partitions:
            raise BrokerGoneError(f"no topic {' or '.join(topics)}")
        bounds = await self._offsets.bounds(partitions)
        at = {p: (pointer or {}).get(p, held.end) for p, held in bounds.items()}
        return self._follow(caller, wanted, view, at)

    async def _follow(
        self, caller: Caller, wanted: Wanted, view: View, at: dict[Partition, int]
    ) -> AsyncGenerator[Message, None]:
        reader = self._make_reader()
        self._listening[caller.id] += 1
        quiet_since = self._clock.monotonic()
        try:
            yield Message(_pointer(at), None)
            while not self._stopping:
                try:
                    found = await reader.read(at, limit=READ, wait=WAIT)
                except OutOfLogError:
                    for gap in await self._missed(at):
                        at[gap.partition] = gap.to_offset
                        yield Message(_pointer(at), gap)
                    continue
                except BrokerGoneError as error:
                    log.warning("stream_waits", error=str(error))
                    await self._clock.sleep(GONE_SECONDS)
                    found = {}  # whoever listens is still told that we are there
                for partition, batch in found.items():
                    for record in batch.records:
                        at[partition] = record.position.next_offset
                        for what in self._shown(caller, wanted, view, record):
                            quiet_since = self._clock.monotonic()
                            yield Message(_pointer(at), what)
                    at[partition] = batch.next_offset
                if self._clock.monotonic() - quiet_since >= HEARTBEAT_SECONDS:
                    quiet_since = self._clock.monotonic()
                    yield Message(_pointer(at), None)
        finally:
            self._listening -= Counter({caller.id: 1})  # keeps no zeros
            await reader.stop()

    async def _missed(self, at: Mapping[Partition, int]) -> list[Gap]:
        """Return what is not in the log any more of what is still to be read."""
        bounds = await self._offsets.bounds(list(at))
        gaps = [Gap(p, offset, bounds[p].start) for p, offset in at.items()]
        ahead = [
            Gap(p, offset, bounds[p].end) for p, offset in at.items() if offset > bounds[p].end
        ]
        return [gap for gap in gaps if gap.from_offset < gap.to_offset] + ahead

    def _shown(
        self, caller: Caller, wanted: Wanted, view: View, record: Record
    ) -> Iterator[Entry | Recorded]:
        if record.position.partition.topic != self._attempts_topic:
            event = self._journal.event(record) if view.may_show(record) else None
            entry = view.entry(event) if event is not None else None
            if entry is not None:
                yield entry
            return
        try:
            written = self._decode(record.value or b"")
        except WebhooksError:
            return  # anybody may write to a topic; the recorder says so, once for all
        yield from (a for a in written.attempts if _wants(caller, wanted, a))


def _wants(caller: Caller, wanted: Wanted, attempt: Recorded) -> bool:
    asked = wanted.asked
    return (
        caller.may_see_of(attempt.project_id, attempt.subscription_id)
        and asked.key in (None, attempt.key)
        and (asked.type is None or any(map(types.parse(asked.type).matches, attempt.types)))
        and fits(wanted.deliveries, attempt)
    )


def _pointer(at: Mapping[Partition, int]) -> str:
    by_topic: dict[str, list[list[int]]] = {}
    for partition, offset in sorted(at.items()):
        by_topic.setdefault(partition.topic, []).append([partition.number, offset])
    return base64.urlsafe_b64encode(orjson.dumps(by_topic)).decode().rstrip("=")


def _pointed(text: str) -> dict[Partition, int] | None:
    try:
        found: Any = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        at = {
            Partition(topic, number): offset
            for topic, pairs in found.items()
            for number, offset in pairs
        }
    except (binascii.Error, ValueError, TypeError, AttributeError):
        return None
    whole = all(type(n) is int and n >= 0 for p, offset in at.items() for n in (p.number, offset))
    return at if whole else None
