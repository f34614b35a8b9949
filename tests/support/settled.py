"""What a killed dispatcher has left in Kafka and Postgres: which deliveries never go out again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.feed.settled_map import NOTHING_SETTLED, SettledMap, decode
from tests.support.cluster import Cluster, Seen


class Place(NamedTuple):
    """Where in the events topic a delivery is from."""

    partition: int
    offset: int


class _Lane(NamedTuple):
    cursor: int
    attach_at: int | None
    settled: SettledMap

    def owns(self, offset: int) -> bool:
        return self.attach_at is None or offset < self.attach_at

    def has_settled(self, offset: int) -> bool:
        return offset < self.cursor or offset in self.settled


@dataclass(frozen=True)
class Settled:
    """What is durable of one subscription's deliveries, as whoever takes over finds it."""

    commits: Mapping[int, tuple[int, SettledMap]]
    """Of each partition: the group's offset, and what its metadata says of those above."""
    lanes: Mapping[int, _Lane]
    rows: frozenset[Place]
    """In flight for long, or failed: they are sent again from there."""

    def is_written(self, place: Place) -> bool:
        """Tell whether how *place* went is durable, be it that it failed."""
        if place in self.rows:
            return True
        lane = self.lanes.get(place.partition)
        if lane is not None and lane.owns(place.offset):
            return lane.has_settled(place.offset)
        committed, above = self.commits.get(place.partition, (0, NOTHING_SETTLED))
        return place.offset < committed or place.offset in above

    def is_through(self, place: Place) -> bool:
        """Tell whether *place* is never sent again."""
        return place not in self.rows and self.is_written(place)


def place_of(seen: Seen) -> Place:
    """Return where what a receiver got is from: its `planner-sequence` says so."""
    return Place(*map(int, seen.headers["planner-sequence"].split("-")))


async def settled(cluster: Cluster, subscription_id: str) -> Settled:
    """Read what is settled now."""
    rows = await cluster.fetch(
        'select partition, "offset" from retries where topic = $1 and subscription_id = $2',
        cluster.topic,
        subscription_id,
    )
    lanes = await cluster.fetch(
        "select partition, cursor, attach_at, settled from lanes"
        " where topic = $1 and subscription_id = $2",
        cluster.topic,
        subscription_id,
    )
    return Settled(
        commits={
            number: (at.offset, decode(at.metadata, committed=at.offset).settled)
            for number, at in (await cluster.commits()).items()
        },
        lanes={row["partition"]: _lane(row) for row in lanes},
        rows=frozenset(Place(row["partition"], row["offset"]) for row in rows),
    )


def _lane(row: Mapping[str, Any]) -> _Lane:
    return _Lane(
        row["cursor"],
        row["attach_at"],
        decode(row["settled"], committed=row["cursor"]).settled,
    )
