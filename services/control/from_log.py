"""Deliveries made anew from the log: the event is read where its attempt says it stands, and rendered."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from services.control.batches import Batches
from services.control.readers import Readers
from services.control.written import written
from services.feed.decode import Decoder
from services.kernel.clock import Clock
from services.kernel.delivery import Delivery, Trigger
from services.kernel.errors import OutOfLogError
from services.kernel.event import Event, Partition, Position
from services.kernel.ids import SubscriptionId
from services.kernel.ports.broker import Offsets
from services.kernel.ports.control import RegistrationStore
from services.kernel.recorded import Recorded
from services.kernel.registration import Registration
from services.match.order_key import order_of
from services.match.types import asked_name

READ = 500
WAIT = timedelta(milliseconds=500)
SECONDS = 4.0
NEAR = 1_000
"""Records to the next that is wanted: read on, since a seek costs as much."""


class FromLog:
    """Reads events by pointer, many at once."""

    def __init__(
        self,
        *,
        readers: Readers,
        offsets: Offsets,
        registrations: RegistrationStore,
        batches: Batches,
        decoder: Decoder,
        max_body_bytes: int,
        clock: Clock,
    ) -> None:
        self._readers = readers
        self._offsets = offsets
        self._registrations = registrations
        self._batches = batches
        self._decode = decoder.decode
        self._max_body_bytes = max_body_bytes
        self._clock = clock

    async def deliveries(
        self, attempts: Sequence[Recorded], *, to: SubscriptionId | None
    ) -> tuple[Sequence[Delivery], int]:
        """Return what *attempts* delivered, to be sent once more, and of how many that is.

        Of the first so many: what takes longer than a few seconds to read is left for the next
        time. Not among them is what the log no longer has, or whose subscription is deleted. Raises
        BrokerGoneError and StoreGoneError.
        """
        events = await self._events([each.position for each in attempts if each.position])
        known: dict[SubscriptionId, Registration | None] = {}
        found: list[Delivery] = []
        for count, attempt in enumerate(attempts):
            position = attempt.position
            if position is not None and position not in events:
                return found, count
            id_ = to or SubscriptionId(attempt.subscription_id)
            if id_ not in known:
                known[id_] = await self._registrations.get(id_)
            registration = known[id_]
            event = None if position is None else events[position]
            if event is None or registration is None:
                continue
            if event.id == attempt.event_id:
                found.append(self._delivery(event, registration))
            elif (batch := await self._batches.again(registration, attempt)) is not None:
                found.append(batch)
        return found, len(attempts)

    def _delivery(self, event: Event, registration: Registration) -> Delivery:
        return written(
            event,
            registration,
            asked=asked_name(registration.types, event.type, registration.profile) or event.type,
            trigger=Trigger.RESEND,
            max_body_bytes=self._max_body_bytes,
            order=order_of(event, registration),
        )

    async def _events(self, wanted: Sequence[Position]) -> Mapping[Position, Event | None]:
        """Return the events at these positions, as far as time allows; None: there is none."""
        found: dict[Position, Event | None] = {}
        left: dict[Partition, list[int]] = {}
        for partition, offset in sorted(set(wanted)):
            left.setdefault(partition, []).append(offset)
        await self._leave_out(left, found)
        until = self._clock.monotonic() + SECONDS
        at = {partition: offsets[0] for partition, offsets in left.items()}
        async with self._readers.one() as reader:
            while at and self._clock.monotonic() < until:
                try:
                    batches = await reader.read(at, limit=READ, wait=WAIT)
                except OutOfLogError:
                    await self._leave_out(left, found)
                    at = {partition: offsets[0] for partition, offsets in left.items()}
                    continue
                for partition, batch in batches.items():
                    records = {record.position.offset: record for record in batch.records}
                    offsets = left[partition]
                    while offsets and offsets[0] < batch.next_offset:
                        offset = offsets.pop(0)
                        event = self._decode(records[offset]) if offset in records else None
                        found[Position(partition, offset)] = (
                            event if isinstance(event, Event) else None
                        )
                    if not offsets:
                        del left[partition], at[partition]
                    elif offsets[0] - batch.next_offset < NEAR:
                        at[partition] = batch.next_offset
                    else:
                        at[partition] = offsets[0]
        return found

    async def _leave_out(
        self, left: dict[Partition, list[int]], found: dict[Position, Event | None]
    ) -> None:
        """Take what the log doesn't hold out of what is *left* to be read."""
        there = await self._offsets.partitions({partition.topic for partition in left})
        bounds = await self._offsets.bounds([p for p in left if p in there])
        for partition, offsets in list(left.items()):
            held = bounds.get(partition)
            outside = [o for o in offsets if held is None or not held.start <= o < held.end]
            found |= {Position(partition, offset): None for offset in outside}
            left[partition] = [offset for offset in offsets if offset not in set(outside)]
            if not left[partition]:
                del left[partition]
