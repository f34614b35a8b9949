"""What Postgres says of a chaos run: who had a lane when, and how ended what was not acknowledged."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Self

from services.dev.ledger import Ends, Receiver
from services.feed.settled_map import decode
from services.kernel.clock import SystemClock
from services.kernel.errors import StoreGoneError
from services.store.pool import Pool

NEAR_SECONDS = 4.0
"""Between two looks at the lanes lies a second, or an outage."""


class Books:
    """Looks into the tables; the topic is the run's own."""

    def __init__(self, dsn: str, topic: str) -> None:
        self._pool = Pool(dsn=dsn, size=1, seconds=10.0)
        self._topic = topic
        self._lanes: dict[str, list[float]] = defaultdict(list)

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def look_at_lanes(self) -> None:
        """Note who has a lane now; nothing while Postgres is away."""
        try:
            rows = await self._fetch("select distinct subscription_id as id from lanes")
        except StoreGoneError:
            return
        now = SystemClock().time()
        for row in rows:
            self._lanes[row["id"]].append(now)

    def had_lane(self, id_: str, at: float) -> bool:
        """Tell whether a subscription had a lane about that time."""
        return any(abs(seen - at) <= NEAR_SECONDS for seen in self._lanes[id_])

    async def ends(
        self,
        receivers: Collection[Receiver],
        missing: Collection[tuple[int, int]],
        places: Mapping[int, tuple[int, int]],
    ) -> Ends:
        """Return how those of *missing* (slot, number) ended that have an end."""
        numbers = {place: number for number, place in places.items()}
        slots = {receiver.id: receiver.slot for receiver in receivers}
        ends, wanted = Ends(), set(missing)
        # Several statements: what moves on meanwhile is looked at again.
        dead = await self._of_topic("dead_letters", 'subscription_id, partition, "offset"')
        ends.dead |= {
            (slots[row["subscription_id"]], numbers[row["partition"], row["offset"]])
            for row in dead
            if (row["partition"], row["offset"]) in numbers and row["subscription_id"] in slots
        }
        ends.gaps |= wanted & set(await self._gaps(slots, numbers))
        disabled = {
            slots[row["id"]]
            for row in await self._fetch("select id from subscriptions where status = 'disabled'")
        }
        kept = set(await self._kept(slots, places, wanted))
        ends.held |= {pair for pair in kept if pair[0] in disabled}
        ends.waiting |= kept - ends.held - ends.dead - ends.gaps
        return ends

    async def _gaps(
        self, slots: Mapping[str, int], numbers: Mapping[tuple[int, int], int]
    ) -> list[tuple[int, int]]:
        rows = await self._of_topic("gaps", "partition, from_offset, to_offset, subscription_id")
        return [
            (slot, number)
            for row in rows
            for slot in (
                slots.values()
                if row["subscription_id"] is None
                else [slots[row["subscription_id"]]]
            )
            for offset in range(row["from_offset"], row["to_offset"])
            if (number := numbers.get((row["partition"], offset))) is not None
        ]

    async def _kept(
        self,
        slots: Mapping[str, int],
        places: Mapping[int, tuple[int, int]],
        wanted: Collection[tuple[int, int]],
    ) -> Iterator[tuple[int, int]]:
        rows = {
            (slots[row["subscription_id"]], row["partition"], row["offset"])
            for row in await self._of_topic("retries", 'subscription_id, partition, "offset"')
            if row["subscription_id"] in slots
        }
        lanes = {
            (slots[row["subscription_id"]], row["partition"]): row
            for row in await self._of_topic("lanes", "*")
            if row["subscription_id"] in slots
        }
        committed = {
            row["partition"]: row["committed"] or 0
            for row in await self._of_topic("partitions", "partition, committed")
        }
        return (
            (slot, number)
            for slot, number in wanted
            if number in places
            if (slot, *places[number]) in rows
            or places[number][1] >= committed.get(places[number][0], 0)
            or _is_covered(lanes.get((slot, places[number][0])), places[number][1])
        )

    async def _of_topic(self, table: str, columns: str) -> list[Mapping[str, Any]]:
        return await self._fetch(f"select {columns} from {table} where topic = $1", self._topic)  # noqa: S608

    async def _fetch(self, query: str, *arguments: object) -> list[Mapping[str, Any]]:
        async with self._pool.connection() as connection:
            return [dict(row) for row in await connection.fetch(query, *arguments)]


def _is_covered(lane: Mapping[str, Any] | None, offset: int) -> bool:
    if lane is None or offset < lane["cursor"]:
        return False
    end = lane["attach_at"]
    return (end is None or offset < end) and offset not in decode(
        lane["settled"], committed=lane["cursor"]
    ).settled


async def looking(books: Books, *, every: float) -> None:
    """Look at the lanes until cancelled."""
    while True:
        await books.look_at_lanes()
        await asyncio.sleep(every)
