"""Tables `workers` and `health`: what workers tell the API of themselves."""

from collections.abc import Sequence

from services.kernel.ports.store.health import HealthRow
from services.store.pool import Pool, queries


class PostgresHealth:
    """The `HealthStore` of the workers."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def report(self, *, worker: str, partitions: int, rows: Sequence[HealthRow]) -> None:
        """Upsert the changed rows of this worker and its sign of life."""
        failing = [row for row in rows if row.failure_count]
        well = [row.subscription_id for row in rows if not row.failure_count]
        sql = queries()
        async with self._pool.transaction() as connection:
            await connection.execute(sql["report_worker"], worker, partitions)
            if well:
                await connection.execute(sql["forget_health"], well)
            if failing:
                await connection.execute(
                    sql["report_health"],
                    worker,
                    [row.subscription_id for row in failing],
                    [row.failure_count for row in failing],
                    [row.outcome for row in failing],
                    [row.status for row in failing],
                    [row.since for row in failing],
                )
