"""Counting what a replay would send, without sending: read as fast as it goes, for a few seconds."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.control.log_begins import Log
from services.feed.decode import Decoder
from services.kernel.clock import Clock
from services.kernel.errors import ConflictError, OutOfLogError
from services.kernel.event import Batch, Event
from services.kernel.replay import Replay
from services.kernel.subscription import Subscription
from services.match.index import Matcher
from services.match.types import asked_name
from services.render import render

SECONDS = 10.0
READ_RECORDS = 200
READ_WAIT = timedelta(milliseconds=500)
USUAL_RATE = 100.0
"""Requests a second of a receiver whose pace nobody knows: what an estimate goes by."""


class Counted(NamedTuple):
    """What a replay would send."""

    events: int
    bytes: int
    first_at: datetime | None
    last_at: datetime | None
    eta_seconds: float
    complete: bool
    """False: time was up before all was read, and the rest comes on top."""


class Counts:
    """Counts."""

    def __init__(self, *, log: Log, decoder: Decoder, clock: Clock, max_body_bytes: int) -> None:
        self._log = log
        self._decode = decoder.decode
        self._clock = clock
        self._max_body_bytes = max_body_bytes

    async def count(self, replay: Replay, subscription: Subscription) -> Counted:
        """Read the ranges of *replay*, ten seconds at most. Raises BrokerGoneError."""
        matcher = Matcher()
        matcher.replace_all([subscription])
        left = {range_.partition: range_.start for range_ in replay.ranges}
        ends = {range_.partition: range_.end for range_ in replay.ranges}
        until = self._clock.monotonic() + SECONDS
        sizes: list[int] = []
        moments: list[int] = []
        reader = self._log.reader()
        try:
            while left and self._clock.monotonic() < until:
                found = await reader.read(left, limit=READ_RECORDS, wait=READ_WAIT)
                for partition, batch in found.items():
                    for event, size in self._due(replay, matcher, batch, ends[partition]):
                        sizes.append(size)
                        moments.append(event.timestamp_ms)
                    left[partition] = batch.next_offset
                    if batch.next_offset >= ends[partition]:
                        del left[partition]
                await self._clock.sleep(0)
        except OutOfLogError as error:
            raise ConflictError("the log moved on meanwhile: ask again") from error
        finally:
            await reader.stop()
        return _counted(replay, sizes, moments, complete=not left)

    def _due(
        self, replay: Replay, matcher: Matcher, batch: Batch, end: int
    ) -> Sequence[tuple[Event, int]]:
        found = []
        for record in batch.records:
            if record.position.offset >= end:
                break
            event = self._decode(record)
            if not isinstance(event, Event) or not replay.wanted.takes(event):
                continue
            for match in matcher.match(event):
                profile, patterns = match.subscription.profile, replay.wanted.types
                if patterns is None or asked_name(patterns, event.type, profile) is not None:
                    body, _ = render(
                        event,
                        profile=profile,
                        asked=match.asked,
                        expand=match.subscription.expand,
                        max_bytes=self._max_body_bytes,
                    )
                    found.append((event, len(body)))
        return found


def _counted(
    replay: Replay, sizes: Sequence[int], moments: Sequence[int], *, complete: bool
) -> Counted:
    first, last = min(moments, default=None), max(moments, default=None)
    seconds = len(sizes) / (replay.rate or USUAL_RATE)
    if replay.speed is not None and first is not None and last is not None:
        seconds = max(seconds if replay.rate else 0.0, (last - first) / 1000 / replay.speed)
    return Counted(
        events=len(sizes),
        bytes=sum(sizes),
        first_at=_moment(first),
        last_at=_moment(last),
        eta_seconds=round(seconds, 1),
        complete=complete,
    )


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, tz=UTC)
