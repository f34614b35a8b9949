"""Tables `replays` and `replay_ranges`: as the API makes them, and as workers go through them."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import asyncpg

from services.kernel.event import Partition
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.operation import replay_ended
from services.kernel.ports.store.replays import Advance
from services.kernel.registration import Page
from services.kernel.replay import Range, Replay, ReplayState, Wanted
from services.store.operations import keep
from services.store.pool import Pool, queries


class PostgresReplays:
    """The `ReplayStore` of the API and of the workers."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def add(self, replay: Replay) -> bool:
        """Store it; False where one over the same span is under way."""
        sql = queries()
        wanted = replay.wanted
        async with self._pool.transaction() as connection:
            await connection.execute(sql["lock_replays_of"], replay.subscription_id)
            added = await connection.fetchval(
                sql["add_replay"],
                replay.id,
                replay.subscription_id,
                replay.project_id,
                replay.from_at,
                replay.to_at,
                wanted.types,
                wanted.key,
                wanted.plan_id,
                wanted.route_id,
                wanted.vehicle_id,
                replay.rate,
                replay.speed,
                replay.state.value,
                replay.created_by,
                replay.created_at,
            )
            if added is None:
                return False
            await connection.execute(
                sql["add_replay_ranges"],
                replay.id,
                [range_.partition.topic for range_ in replay.ranges],
                [range_.partition.number for range_ in replay.ranges],
                [range_.start for range_ in replay.ranges],
                [range_.end for range_ in replay.ranges],
            )
        return True

    async def get(self, id_: str) -> Replay | None:
        """Return one."""
        row = await self._pool.fetchrow("get_replay", id_)
        return None if row is None else (await self._with_ranges([row]))[0]

    async def page(
        self, *, project_id: ProjectId | None, subscription_id: SubscriptionId | None, page: Page
    ) -> Sequence[Replay]:
        """Return those of a project or subscription (None: of all), newest first."""
        rows = await self._pool.fetch(
            "page_replays", project_id, subscription_id, page.before, page.limit
        )
        return await self._with_ranges(rows)

    async def cancel(self, id_: str, *, at: datetime) -> bool:
        """Cancel it; False where it had ended."""
        return bool(await self._ended("cancel_replay", id_, at))

    async def active(self, partitions: Collection[Partition]) -> Sequence[Replay]:
        """Return those that have something left to send on these partitions."""
        topics, numbers = [p.topic for p in partitions], [p.number for p in partitions]
        return await self._with_ranges(await self._pool.fetch("active_replays", topics, numbers))

    async def advance(self, advances: Sequence[Advance], *, at: datetime) -> Sequence[Replay]:
        """Keep how far ranges are; return the replays that are done with it."""
        await self._pool.execute(
            "advance_replays",
            [each.replay_id for each in advances],
            [each.partition.topic for each in advances],
            [each.partition.number for each in advances],
            [each.epoch for each in advances],
            [each.cursor for each in advances],
            [each.sent for each in advances],
            [each.dead for each in advances],
            [each.waiting for each in advances],
            at,
        )
        return await self._ended("finish_replays", list({each.replay_id for each in advances}), at)

    async def fail(self, id_: str, *, error: str, at: datetime) -> Replay | None:
        """End one that can't go on, and return it; None where it had ended."""
        return next(iter(await self._ended("fail_replay", id_, error, at)), None)

    async def _ended(self, name: str, *arguments: object) -> Sequence[Replay]:
        """Run a statement that returns the ids of replays which end by it; tell of their end."""
        async with self._pool.together():
            rows = await self._pool.fetch(name, *arguments)
            found = [await self.get(row["id"]) for row in rows]
            ended = [replay for replay in found if replay is not None]
            if ended:
                async with self._pool.connection() as connection:
                    await keep(connection, [replay_ended(replay) for replay in ended])
        return ended

    async def _with_ranges(self, rows: Sequence[asyncpg.Record]) -> Sequence[Replay]:
        if not rows:
            return []
        ranges: Mapping[str, list[Range]] = defaultdict(list)
        for row in await self._pool.fetch("ranges_of_replays", [row["id"] for row in rows]):
            ranges[row["replay_id"]].append(
                Range(
                    partition=Partition(row["topic"], row["partition"]),
                    start=row["from_offset"],
                    end=row["to_offset"],
                    cursor=row["cursor"],
                    sent=row["sent"],
                    dead=row["dead"],
                    waiting=row["waiting"],
                )
            )
        return [_replay(row, tuple(ranges[row["id"]])) for row in rows]


def _replay(row: asyncpg.Record, ranges: tuple[Range, ...]) -> Replay:
    state = ReplayState(row["state"])
    left = [range_ for range_ in ranges if range_.cursor < range_.end]
    if state is ReplayState.RUNNING and left and all(range_.waiting for range_ in left):
        state = ReplayState.WAITING
    return Replay(
        id=row["id"],
        subscription_id=SubscriptionId(row["subscription_id"]),
        project_id=ProjectId(row["project_id"]),
        from_at=row["from_at"],
        to_at=row["to_at"],
        wanted=Wanted(
            types=None if row["types"] is None else tuple(row["types"]),
            key=row["key"],
            plan_id=row["plan_id"],
            route_id=row["route_id"],
            vehicle_id=row["vehicle_id"],
        ),
        rate=row["rate"],
        speed=row["speed"],
        state=state,
        error=row["error"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        ranges=ranges,
    )
