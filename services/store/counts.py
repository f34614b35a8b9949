"""Tables `seen_counts`, `match_counts`, `miss_counts`: what filters saw, let pass, and why not."""

from collections.abc import Mapping
from datetime import datetime

from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.ports.store.counts import Clause, Seen, Tally
from services.store.pool import Pool, queries


class PostgresMatchCounts:
    """The `MatchCountStore` of workers and API."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def add(
        self,
        seen: Mapping[tuple[str, str], Seen],
        matched: Mapping[SubscriptionId, int],
        missed: Mapping[Clause, int],
        *,
        at: datetime,
    ) -> None:
        """Add what one worker counted."""
        sql = queries()
        # Sorted: no two workers wait for each other in a ring.
        pairs, ids, clauses = sorted(seen), sorted(matched), sorted(missed)
        async with self._pool.transaction() as connection:
            await connection.execute(
                sql["count_seen"],
                [project_id for project_id, _ in pairs],
                [type_ for _, type_ in pairs],
                [seen[pair].events for pair in pairs],
                at,
                [seen[pair].bytes for pair in pairs],
                [seen[pair].peak for pair in pairs],
            )
            await connection.execute(sql["count_matched"], ids, [matched[id_] for id_ in ids], at)
            await connection.execute(
                sql["count_missed"],
                [clause.subscription_id for clause in clauses],
                [clause.pointer for clause in clauses],
                [missed[clause] for clause in clauses],
                at,
            )

    async def seen(
        self, project_id: ProjectId, *, since: datetime, lately: datetime
    ) -> Mapping[str, Tally]:
        """Return how many events of each type were seen."""
        rows = await self._pool.fetch("seen_since", project_id, since, lately)
        return {row["type"]: Tally(row["seen"], row["lately"]) for row in rows}

    async def volumes(self, project_id: ProjectId, *, since: datetime) -> Mapping[str, Seen]:
        """Return what was seen of each type."""
        rows = await self._pool.fetch("volumes_since", project_id, since)
        return {row["type"]: Seen(row["seen"], row["bytes"], row["peak"]) for row in rows}

    async def matched(self, id_: SubscriptionId, *, since: datetime, lately: datetime) -> Tally:
        """Return how many events a subscription matched."""
        row = await self._pool.fetchrow("matched_since", id_, since, lately)
        return Tally(row["matched"], row["lately"]) if row else Tally(0, 0)

    async def missed(self, id_: SubscriptionId, *, since: datetime) -> Mapping[str, int]:
        """Return how many explained misses each clause said no to, by pointer, FILTER: all."""
        rows = await self._pool.fetch("missed_since", id_, since)
        return {row["pointer"]: row["missed"] for row in rows}

    async def expire(self, *, before: datetime) -> None:
        """Forget what was counted before."""
        await self._pool.execute("expire_seen_counts", before)
        await self._pool.execute("expire_match_counts", before)
        await self._pool.execute("expire_miss_counts", before)
