"""Tables `retries` and `dead_letters`: a batch is one transaction, each kind of change one statement."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from services.kernel.about import NOTHING, About
from services.kernel.attempt import Attempt
from services.kernel.delivery import Delivery, Member, Trigger
from services.kernel.event import Partition, Position
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store.retries import Bury, LineKey, Park, Remove, RowChange, Waits
from services.store.fence import counts, standing
from services.store.pool import Pool, queries


class PostgresRetries:
    """The `RetryStore` of the workers."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def write(
        self, changes: Sequence[RowChange], *, known: Mapping[Partition, int] | None = None
    ) -> Mapping[Partition, int]:
        """Make *changes* durable in one transaction; return the writes of partitions that took them."""
        asked = {(c.delivery.position.partition, c.delivery.epoch) for c in changes}
        sql = queries()
        async with self._pool.transaction() as connection:
            stood = await standing(connection, asked, known or {})
            # The last change of a pair wins: a dict keeps it, in one place.
            newest = {
                (c.delivery.pair, c.delivery.event_id): c
                for c in changes
                if (c.delivery.position.partition, c.delivery.epoch) in stood
            }
            parks = [c for c in newest.values() if isinstance(c, Park)]
            buries = [c for c in newest.values() if isinstance(c, Bury)]
            gone = [c.delivery for c in newest.values() if isinstance(c, Remove | Bury)]
            if parks:
                await connection.execute(sql["park_rows"], *columns(parks, _park_row))
            if buries:
                await connection.execute(sql["bury_rows"], *columns(buries, _bury_row))
            if gone:
                await connection.execute(sql["remove_rows"], *columns(gone, _key))
        return counts(stood)

    async def due(
        self,
        epochs: Mapping[Partition, int],
        *,
        now: datetime,
        limit: int,
        skip: Collection[tuple[Position, SubscriptionId]],
        busy: Collection[SubscriptionId],
    ) -> Sequence[Delivery]:
        """Return up to *limit* due rows of these partitions, oldest due first."""
        rows = await self._pool.fetch(
            "due_rows",
            [p.topic for p in epochs],
            [p.number for p in epochs],
            list(epochs.values()),
            now,
            limit,
            list(busy),
            [position.partition.topic for position, _ in skip],
            [position.partition.number for position, _ in skip],
            [position.offset for position, _ in skip],
            [id_ for _, id_ in skip],
        )
        return [_delivery(row, epochs) for row in rows]

    async def turns(
        self, epochs: Mapping[Partition, int], lines: Sequence[LineKey], *, limit: int
    ) -> Sequence[Delivery]:
        """Return the first rows of each of *lines* that wait for their turn."""
        asked = [line for line in lines if line.partition in epochs]
        rows = await self._pool.fetch(
            "turn_rows",
            [line.subscription_id for line in asked],
            [line.partition.topic for line in asked],
            [line.partition.number for line in asked],
            [epochs[line.partition] for line in asked],
            [line.key for line in asked],
            limit,
        )
        return [_delivery(row, epochs) for row in rows]


def columns(rows: Sequence[Any], row_of: Callable[[Any], tuple[Any, ...]]) -> list[list[Any]]:
    """Return what *row_of* says of each, by column; there are some."""
    return [list(column) for column in zip(*map(row_of, rows), strict=True)]


def _key(delivery: Delivery) -> tuple[Any, ...]:
    partition, offset = delivery.position
    return (
        delivery.subscription_id,
        partition.topic,
        partition.number,
        offset,
        delivery.event_id,
    )


def body_columns(delivery: Delivery) -> tuple[Any, ...]:
    """Return what rows of both tables begin with."""
    return (
        *_key(delivery),
        delivery.project_id,
        delivery.type,
        delivery.content_type,
        delivery.body,
        delivery.key if delivery.order is None else delivery.order,
        delivery.timestamp_ms,
        delivery.traceparent,
        delivery.replay,
        ",".join(str(part.offset) for part in delivery.members) or None,
    )


def offsets_of(row: asyncpg.Record) -> Sequence[int]:
    """Return what a row of either table stands for: its own offset, or those of a batch's events."""
    members = row["members"]
    return [row["offset"]] if members is None else [int(offset) for offset in members.split(",")]


def about_column(delivery: Delivery) -> str:
    """Return what *delivery* is about, as a row has it."""
    return orjson.dumps(list(delivery.about)).decode()


def _park_row(park: Park) -> tuple[Any, ...]:
    attempt = park.attempt
    return (
        *body_columns(park.delivery),
        park.delivery.number,
        park.due_at,
        attempt.outcome.value if attempt else None,
        attempt.status if attempt else None,
        about_column(park.delivery),
        None if park.waits_for is Waits.TIME else park.waits_for.value,
    )


def _bury_row(bury: Bury) -> tuple[Any, ...]:
    attempt: Attempt | None = bury.attempt
    return (
        *body_columns(bury.delivery),
        bury.delivery.number if attempt else bury.delivery.number - 1,
        bury.reason,
        attempt.outcome.value if attempt else None,
        attempt.status if attempt else None,
        _storable(attempt.error) if attempt else None,
        attempt.excerpt if attempt else b"",
        about_column(bury.delivery),
    )


def _storable(text: str | None) -> str | None:
    """Return *text* without what Postgres can't keep in a text."""
    return None if text is None else text.replace("\x00", "").encode("utf-8", "replace").decode()


def _delivery(row: asyncpg.Record, epochs: Mapping[Partition, int]) -> Delivery:
    partition = Partition(row["topic"], row["partition"])
    return Delivery(
        position=Position(partition, row["offset"]),
        epoch=epochs[partition],
        subscription_id=row["subscription_id"],
        event_id=row["event_id"],
        type=row["type"],
        body=row["body"],
        content_type=row["content_type"],
        key=row["order_key"],
        project_id=row["project_id"],
        timestamp_ms=row["timestamp_ms"],
        number=row["number"],
        trigger=_trigger(row),
        replay=row["replay"],
        resend=row["resend"],
        retry_reason=row["outcome"],
        traceparent=row["traceparent"],
        about=_about(row["about"]) if row["about"] else NOTHING,
        order=row["order_key"] if row["is_ordered"] else None,
        members=tuple(
            Member(int(offset), 0) for offset in (row["members"] or "").split(",") if offset
        ),
        skip=row["skip"],
    )


def _about(text: str) -> About:
    fields = orjson.loads(text)
    return About._make((*fields[:6], tuple(*fields[6:])))


def _trigger(row: asyncpg.Record) -> Trigger:
    if row["outcome"]:
        return Trigger.RETRY
    return Trigger.RESEND if row["resend"] else Trigger.LIVE
