"""Tables `lanes` and `starts`: a batch is one transaction, each row conditional on its epoch."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from services.kernel import operation
from services.kernel.event import Partition, Position
from services.kernel.ids import SubscriptionId
from services.kernel.lane import (
    Drop,
    Keep,
    LaneChange,
    LaneGap,
    LaneGapReason,
    LaneRow,
    Reason,
    Start,
    StartKind,
)
from services.kernel.operation import Operation
from services.store.fence import counts, standing
from services.store.operations import about, keep
from services.store.pool import Pool, queries
from services.store.retries import offsets_of

MAX_OFFSET = (1 << 63) - 1


class PostgresLanes:
    """The `LaneStore` of the workers."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def change(
        self, changes: Sequence[LaneChange], *, known: Mapping[Partition, int] | None = None
    ) -> Mapping[Partition, int]:
        """Make *changes* durable in one transaction; return the writes of partitions that took them."""
        asked = {(_lane(change)[0], change.epoch) for change in changes}
        sql = queries()
        async with self._pool.transaction() as connection:
            stood = await standing(connection, asked, known or {})
            valid = [c for c in changes if (_lane(c)[0], c.epoch) in stood]
            keeps = [c for c in valid if isinstance(c, Keep)]
            drops = [_key(c) for c in valid if isinstance(c, Drop)]
            taken = [(*_key(c), c.takes_start) for c in valid if c.takes_start is not None]
            if keeps:
                await connection.execute(sql["keep_lanes"], *_columns(keeps, _row))
            if drops:
                await connection.execute(sql["drop_lanes"], *_columns(drops, tuple))
            if taken:
                await connection.execute(sql["drop_starts"], *_columns(taken, tuple))
            if passed := [_passed(change) for change in valid]:
                await _end_gaps(connection, passed)
        return counts(stood)

    async def below(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Return how many lanes stand below these offsets, by partition."""
        rows = await self._pool.fetch("lanes_below", *_offset_columns(offsets))
        return {Partition(row["topic"], row["partition"]): row["lanes"] for row in rows}

    async def leap(self, offsets: Mapping[Partition, int]) -> None:
        """Have the lanes that stand below these offsets go on there; their rows are given up."""
        sql, columns = queries(), _offset_columns(offsets)
        async with self._pool.transaction() as connection:
            await connection.execute(sql["leap_subscriptions"], *columns)
            rows = await connection.fetch(sql["leap_lanes"], *columns)
            if rows:
                await connection.execute(sql["skip_retries"], *_columns(rows, tuple))

    async def starts(
        self, partitions: Collection[Partition], ids: Collection[SubscriptionId]
    ) -> Sequence[Start]:
        """Return what was promised to these subscriptions on these partitions."""
        rows = await self._pool.fetch(
            "starts_of", [p.topic for p in partitions], [p.number for p in partitions], list(ids)
        )
        return [start_of(row) for row in rows]

    async def rows(
        self, partitions: Collection[Partition], ids: Collection[SubscriptionId]
    ) -> Collection[tuple[Position, SubscriptionId]]:
        """Return what retry rows of these stand for, but those that a rewind gave up."""
        found = await self._pool.fetch(
            "rows_of", [p.topic for p in partitions], [p.number for p in partitions], list(ids)
        )
        return [
            (
                Position(Partition(row["topic"], row["partition"]), offset),
                row["subscription_id"],
            )
            for row in found
            for offset in offsets_of(row)
        ]

    async def keep_gap(self, gap: LaneGap, *, from_time: datetime) -> bool:
        """Keep what a lane doesn't deliver; tell whether nobody was told of the gap."""
        sql = queries()
        lane = (*gap.partition, gap.subscription_id)
        if gap.reason is LaneGapReason.SKIPPED:
            row = await self._pool.fetchrow(
                "skip_gap", *lane, gap.from_offset, gap.to_offset, gap.at, from_time
            )
            return row is not None and bool(row["untold"])
        async with self._pool.transaction() as connection:
            await _end_gaps(connection, [(*lane, gap.from_offset, gap.at)])
            row = await connection.fetchrow(
                sql["extend_gap"], *lane, gap.from_offset, gap.to_offset, gap.at, from_time
            )
        return row is not None and bool(row["untold"])

    async def told_gap(self, gap: LaneGap) -> None:
        """Note that the gap which has the end of *gap* was told of."""
        await self._pool.execute(
            "told_gap", *gap.partition, gap.subscription_id, gap.reason.value, gap.to_offset
        )


def lane_of(row: asyncpg.Record) -> LaneRow:
    """Return a row of `lanes`."""
    return LaneRow(
        partition=Partition(row["topic"], row["partition"]),
        subscription_id=row["subscription_id"],
        cursor=row["cursor"],
        settled=row["settled"],
        attach_at=row["attach_at"],
        state=row["state"],
        reason=Reason(row["reason"]),
        since=row["since"],
        flips=row["flips"],
        cursor_at=row["cursor_at"],
        speed=row["speed"],
        replay_below=row["replay_below"],
    )


def start_of(row: asyncpg.Record) -> Start:
    """Return a row of `starts`."""
    return Start(
        partition=Partition(row["topic"], row["partition"]),
        subscription_id=row["subscription_id"],
        offset=row["offset"],
        kind=StartKind(row["kind"]),
        epoch=row["epoch"],
        since=row["since"],
    )


async def _end_gaps(connection: asyncpg.Connection, passed: Sequence[tuple[Any, ...]]) -> None:
    """Have the gaps end that these lanes have passed, and tell."""
    rows = await connection.fetch(queries()["end_gaps"], *_columns(passed, tuple))
    await keep(connection, [_gap(row) for row in rows])


def _gap(row: asyncpg.Record) -> Operation:
    return operation.gap(
        about(row),
        Partition(row["topic"], row["partition"]),
        from_offset=row["from_offset"],
        to_offset=row["to_offset"],
        from_time=row["from_time"],
        to_time=row["to_time"],
        reason=row["reason"],
    )


def _passed(change: LaneChange) -> tuple[Any, ...]:
    """Return which lane is where: one that is dropped, past everything."""
    if isinstance(change, Keep):
        return *_key(change), change.row.cursor, change.row.cursor_at
    return *_key(change), MAX_OFFSET, None


def start_columns(starts: Mapping[SubscriptionId, Iterable[Start]]) -> list[list[Any]]:
    """Return the arguments of `add_starts`."""
    rows = [
        (*start.partition, id_, start.offset, start.kind.value)
        for id_, of_one in starts.items()
        for start in of_one
    ]
    return _columns(rows, tuple) if rows else [[], [], [], [], []]


def _offset_columns(offsets: Mapping[Partition, int]) -> list[list[Any]]:
    rows = [(*partition, offset) for partition, offset in offsets.items()]
    return _columns(rows, tuple) if rows else [[], [], []]


def _lane(change: LaneChange) -> tuple[Partition, SubscriptionId]:
    if isinstance(change, Keep):
        return change.row.partition, change.row.subscription_id
    return change.partition, change.subscription_id


def _key(change: LaneChange) -> tuple[str, int, str]:
    partition, id_ = _lane(change)
    return (*partition, id_)


def _row(keep: Keep) -> tuple[Any, ...]:
    row = keep.row
    return (
        *_key(keep),
        row.cursor,
        row.settled,
        row.attach_at,
        row.state,
        row.reason.value,
        row.since,
        row.flips,
        row.cursor_at,
        row.speed,
        row.replay_below,
    )


def _columns(rows: Sequence[Any], row_of: Callable[[Any], tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*map(row_of, rows), strict=True)]
