"""Table `trouble`: who fails, since when, and whether that was told."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import asyncpg

from services.kernel import operation
from services.kernel.ids import SubscriptionId
from services.kernel.operation import Operation
from services.kernel.ports.store.health import Troubled, TroubleReport
from services.store.operations import about, keep
from services.store.pool import Pool, queries


class PostgresTrouble:
    """The `TroubleStore` of the workers."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def report_trouble(
        self,
        failed: Sequence[Troubled],
        succeeded: Mapping[SubscriptionId, datetime],
        *,
        now: datetime,
    ) -> TroubleReport:
        """Take in what was noted; return what is to be told, and who is in trouble now."""
        sql = queries()
        failing: Sequence[asyncpg.Record] = []
        async with self._pool.transaction() as connection:
            if failed:
                ordered = sorted(failed)  # two workers never wait for each other's rows in a ring
                await connection.execute(
                    sql["note_trouble"],
                    [row.subscription_id for row in ordered],
                    [row.since for row in ordered],
                    [row.failed_at for row in ordered],
                )
            if succeeded:
                ids = sorted(succeeded)
                times = [succeeded[id_] for id_ in ids]
                await connection.execute(sql["note_success"], ids, times)
            begun = {row.subscription_id: row.reason for row in failed if row.reason is not None}
            if begun:
                ids = sorted(begun)
                reasons = [begun[id_] for id_ in ids]
                failing = await connection.fetch(sql["begin_failing"], ids, reasons, now)
            ended = await connection.fetch(sql["end_trouble"])
            troubled = await connection.fetch(sql["troubled"])
            well = [row for row in ended if row["was_failing"]]
            told = [_failing(row, now) for row in failing] + [_recovered(row) for row in well]
            await keep(connection, told)
        return TroubleReport(
            failing={row["subscription_id"]: row["reason"] for row in failing},
            recovered=[row["subscription_id"] for row in well],
            troubled={row["subscription_id"] for row in troubled},
        )

    async def hopeless(self, after: timedelta) -> Collection[SubscriptionId]:
        """Return what has failed for so long without a success."""
        return [row["subscription_id"] for row in await self._pool.fetch("hopeless", after)]


def _failing(row: asyncpg.Record, now: datetime) -> Operation:
    oldest = row["oldest_ms"]
    return operation.failing(
        about(row),
        reason=row["reason"],
        since=row["since"],
        failure_count=row["failure_count"],
        backlog=row["backlog"],
        oldest_age_seconds=None if oldest is None else now.timestamp() - oldest / 1000,
    )


def _recovered(row: asyncpg.Record) -> Operation:
    return operation.recovered(about(row), since=row["since"], backlog=0)
