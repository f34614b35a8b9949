"""The log as a journal: read forward by pointer or time, a page at a time, without a copy of anything.

A page scans so many records, or so long, then says where to go on. `after` names where each partition
stands: together the pages are the log, none of it twice, whatever was filtered out on the way. What
retention took between two pages is named in `gaps`.
"""

import base64
import binascii
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson

from services.control.access import Caller
from services.control.checks import near
from services.control.readers import Readers
from services.control.subscriptions import Subscriptions
from services.control.view import Asked, Entry, View, as_matched, sees
from services.feed.decode import Decoder
from services.kernel.clock import Clock
from services.kernel.errors import Fault, FaultsError, NotFoundError, OutOfLogError
from services.kernel.event import Event, Partition, Position, Record
from services.kernel.ports.broker import Bounds, Offsets
from services.kernel.ports.control import GeofenceStore
from services.kernel.registration import Registration
from services.kernel.value import value
from services.match import types
from services.match.fences import Fences
from services.match.index import Matcher

QUERY = "The query is not valid"
MAX_SCANNED = 20_000
"""Records read for one page, and the seconds it may take: a filter that nothing fits ends too."""
MAX_SECONDS = 5.0
READ = 500
WAIT = timedelta(milliseconds=500)


class OutsideError(NotFoundError):
    """The log doesn't hold this offset, or not any more."""

    def __init__(self, where: str, held: Bounds) -> None:
        super().__init__("event", where)
        holds = f"offsets {held.start} to {held.end - 1}" if held.end > held.start else "nothing"
        self.args = (f"no event at {where}: the log holds {holds}",)


class Gap(NamedTuple):
    """What retention took before it was read."""

    partition: Partition
    from_offset: int
    to_offset: int


@value
class JournalPage:
    """Some of the log, oldest first within each partition."""

    entries: Sequence[Entry]
    after: str
    """Where to go on, now or later."""
    ended: bool
    """Whether all that was there has been read."""
    gaps: Sequence[Gap]


class Journal:
    """Reads the log for people."""

    def __init__(
        self,
        *,
        readers: Readers,
        offsets: Offsets,
        topics: Sequence[str],
        subscriptions: Subscriptions,
        geofences: GeofenceStore,
        decoder: Decoder,
        max_body_bytes: int,
        clock: Clock,
    ) -> None:
        self._readers = readers
        self._offsets = offsets
        self._topics = topics
        self._subscriptions = subscriptions
        self._geofences = geofences
        self._decode = decoder.decode
        self._max_body_bytes = max_body_bytes
        self._clock = clock

    async def page(
        self, caller: Caller, asked: Asked, *, limit: int, noted: Sequence[Fault] = ()
    ) -> JournalPage:
        """Return up to *limit* events from where *asked* says on. Raises FaultsError, NotFoundError."""
        faults = [*noted, *self.faults(asked)]
        pointer = None if asked.after is None else _pointed(asked.after, asked.belongs)
        if asked.after is not None and pointer is None:
            message = "no pointer of this journal: take `after` of an answer, with the same filters"
            faults.append(Fault("cursor", message, parameter="after"))
        if faults:
            raise FaultsError(QUERY, faults)
        taken = await self.view(caller, self.narrowed(caller, asked))
        partitions = await self._offsets.partitions(self.topics(asked))
        bounds = await self._offsets.bounds(partitions)
        at, gaps = await self._start(bounds, asked.time, pointer)
        return await self._read(at, bounds, taken, asked=asked, gaps=gaps, limit=limit)

    async def get(self, caller: Caller, topic: str, partition: str, offset: str) -> Entry:
        """Return the event at a position. Raises NotFoundError that says what the log holds."""
        where = f"{topic}/{partition}/{offset}"
        numbers = partition.isascii() and partition.isdigit() and offset.isascii()
        if topic not in self._topics or not numbers or not offset.isdigit():
            raise NotFoundError("event", where)
        of, number = Partition(topic, int(partition)), int(offset)
        if of not in await self._offsets.partitions([topic]):
            raise NotFoundError("event", where)
        held = (await self._offsets.bounds([of]))[of]
        if not held.start <= number < held.end:
            raise OutsideError(where, held)
        async with self._readers.one() as reader:
            try:
                found = await reader.read({of: number}, limit=1, wait=WAIT * 4)
            except OutOfLogError as error:
                raise NotFoundError("event", where) from error
        records = found[of].records if of in found else ()
        event = self.event(records[0]) if records else None
        if event is None or event.position.offset != number or not sees(caller, event):
            raise NotFoundError("event", where)
        if caller.webhooks is not None and not await self._is_for(caller, event):
            raise NotFoundError("event", where)
        return Entry(event, event.type, None)

    async def _is_for(self, caller: Caller, event: Event) -> bool:
        """Tell whether a webhook of the caller's link wants the event, as it is now."""
        for id_ in caller.webhooks or ():
            try:
                view = await self.view(caller, Asked(subscription=id_))
            except NotFoundError:
                continue  # deleted since the link was made
            if view.entry(event) is not None:
                return True
        return False

    def narrowed(self, caller: Caller, asked: Asked) -> Asked:
        """Return a question as far as a link reaches: to what is sent to one of its webhooks.

        Raises FaultsError where it shows several and none is named.
        """
        return asked._replace(
            subscription=caller.the_one(asked.subscription, parameter="subscription")
        )

    def topics(self, asked: Asked) -> Sequence[str]:
        """Return the topics that are read."""
        return [asked.topic] if asked.topic else self._topics

    def event(self, record: Record) -> Event | None:
        """Return the event of a record; None where it is none."""
        found = self._decode(record)
        return found if isinstance(found, Event) else None

    def faults(self, asked: Asked) -> list[Fault]:
        """Return what is wrong with a question."""
        found = []
        if asked.topic is not None and asked.topic not in self._topics:
            message = f"no topic {asked.topic!r}{near(asked.topic, self._topics)}"
            found.append(Fault("unknown_topic", message, parameter="topic"))
        if asked.type is not None:
            found += [
                Fault(fault.code, fault.message, parameter="type")
                for fault in types.faults([asked.type], pointer="")
            ]
        if asked.time is not None and asked.after is not None:
            message = "name a time to begin with, or where to go on after"
            found.append(Fault("conflict", message, parameter="time"))
        return found

    async def view(self, caller: Caller, asked: Asked) -> View:
        """Return which events are shown, and how. Raises NotFoundError."""
        matcher = None
        if asked.subscription is not None:
            registration = await self._subscriptions.get(caller, asked.subscription)
            matcher = await self.matcher(registration)
        pattern = types.parse(asked.type) if asked.type is not None else None
        return View(caller, asked, pattern, matcher, self._max_body_bytes)

    async def matcher(self, registration: Registration) -> Matcher:
        """Return what matches for one subscription, as it is now."""
        matcher = Matcher()
        matcher.replace_all([as_matched(registration)])
        known = await self._geofences.of_project(registration.project_id)
        matcher.set_fences(registration.project_id, Fences.of(known))
        return matcher

    async def following(self, position: Position) -> AsyncGenerator[Event, None]:
        """Yield the events of a partition from *position* on, up to its end or a page's worth.

        None where the log doesn't hold that offset. Raises BrokerGoneError.
        """
        partition, at = position
        if partition not in await self._offsets.partitions([partition.topic]):
            return
        held = (await self._offsets.bounds([partition]))[partition]
        end = min(held.end, at + MAX_SCANNED)
        async with self._readers.one() as reader:
            while held.start <= at < end:
                try:
                    found = await reader.read({partition: at}, limit=READ, wait=WAIT)
                except OutOfLogError:
                    return
                if partition not in found:
                    continue
                at = found[partition].next_offset
                for record in found[partition].records:
                    event = self.event(record)
                    if event is not None:
                        yield event

    async def _start(
        self,
        bounds: Mapping[Partition, Bounds],
        time: datetime | None,
        pointer: Mapping[Partition, int] | None,
    ) -> tuple[dict[Partition, int], list[Gap]]:
        """Return where each partition is read from, and what is not there any more."""
        if time is not None:
            return dict(await self._offsets.at(list(bounds), int(time.timestamp() * 1000))), []
        starts = {partition: held.start for partition, held in bounds.items()}
        if pointer is None:
            return starts, []
        gaps = [
            Gap(partition, pointer[partition], start)
            for partition, start in starts.items()
            if pointer.get(partition, start) < start
        ]
        at = {
            p: min(max(pointer.get(p, start), start), bounds[p].end) for p, start in starts.items()
        }
        return at, gaps

    async def _read(
        self,
        at: dict[Partition, int],
        bounds: Mapping[Partition, Bounds],
        view: View,
        *,
        asked: Asked,
        gaps: Sequence[Gap],
        limit: int,
    ) -> JournalPage:
        entries: list[Entry] = []
        scanned, until = 0, self._clock.monotonic() + MAX_SECONDS
        async with self._readers.one() as reader:
            while len(entries) < limit and scanned < MAX_SCANNED:
                behind = {p: offset for p, offset in at.items() if offset < bounds[p].end}
                if not behind or self._clock.monotonic() > until:
                    break
                try:
                    found = await reader.read(behind, limit=READ, wait=WAIT)
                except OutOfLogError:
                    break  # retention passed meanwhile: the next page names the gap
                for partition, batch in found.items():
                    scanned += len(batch.records)
                    at[partition] = batch.next_offset
                    for record in batch.records:
                        if len(entries) == limit or record.position.offset >= bounds[partition].end:
                            at[partition] = record.position.offset
                            break
                        event = self.event(record) if view.may_show(record) else None
                        entry = None if event is None else view.entry(event)
                        if entry is not None:
                            entries.append(entry)
        ended = all(offset >= bounds[p].end for p, offset in at.items())
        return JournalPage(
            entries=entries, after=_pointer(at, asked.belongs), ended=ended, gaps=gaps
        )


def _pointer(at: Mapping[Partition, int], belongs: str) -> str:
    where = [[*partition, offset] for partition, offset in sorted(at.items())]
    text = orjson.dumps([belongs, where])
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _pointed(text: str, belongs: str) -> dict[Partition, int] | None:
    """Return where each partition stands; None where *text* is no pointer with these filters."""
    try:
        found: Any = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        filters, where = found
        at = {Partition(topic, number): offset for topic, number, offset in where}
    except (binascii.Error, ValueError, TypeError):
        return None
    whole = all(type(n) is int and n >= 0 for p, offset in at.items() for n in (p.number, offset))
    return at if filters == belongs and whole else None
