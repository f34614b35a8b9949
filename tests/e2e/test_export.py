"""An export is all of it, however much that is, and the API holds a page of it at a time."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientSession

from services.store.attempts import PostgresAttempts
from tests.support.cluster import ADMIN_KEY, Cluster
from tests.support.databases import connected
from tests.support.rows import a_pool

COUNT = 1_000_000 if os.environ.get("WEBHOOKS_TEST_LONG") else 20_000
HELD_BYTES = 32 << 20
"""More than before, at most: a page of rows is under 2 MB, and what was freed is kept for a while."""
FILL = """
with word as (
    insert into attempt_words (word) values ('live'), ('plan.created'), ('ok'), ('acknowledged')
    returning word, id),
source as (
    insert into attempt_sources (project_id, subscription_id, half)
    values ($1, '5e208446c97efa37d4830b0c', '\\x000000000000') returning id)
insert into attempts (at, tail, event, produced_ms, source, type, trigger, outcome, verdict, number,
    size, queue_ms, total_ms, status, event_id, vehicle_id)
select ($2::bigint << 24) + (n << 20), '\\x0000000000', n, $2::bigint * 1000, source.id,
    (select id from word where word = 'plan.created'), (select id from word where word = 'live'),
    (select id from word where word = 'ok'), (select id from word where word = 'acknowledged'),
    1, 900, 0.5, 20, 200, decode(lpad(to_hex(n), 24, '0'), 'hex'),
    decode(lpad(to_hex(n % 500), 24, '0'), 'hex')
from source, generate_series(0, $3::bigint - 1) n
"""
"""So many attempts, a sixteenth of a second apart."""

pytestmark = pytest.mark.timeout(900)


async def filled(cluster: Cluster) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    day = midnight - timedelta(days=1)
    async with a_pool(cluster.dsn) as pool:
        await PostgresAttempts(pool=pool).make_days([day])
    async with connected(cluster.dsn) as connection:
        begins = int(day.timestamp())
        await connection.execute(FILL, cluster.project, begins, COUNT, timeout=600)
        await connection.execute("analyze attempts")


def held(cluster: Cluster) -> int:
    """Return the bytes of memory that the API holds."""
    status = Path(f"/proc/{cluster.processes[0].process.pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


async def test_all_attempts_are_exported_in_constant_memory(cluster: Cluster) -> None:
    await filled(cluster)
    await cluster.call("GET", "/v1/attempts?limit=500")
    before, most = held(cluster), 0
    numbers: list[int] = []
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Accept": "application/x-ndjson"}
    async with (
        ClientSession() as session,
        session.get(
            f"{cluster.api}/v1/attempts?project_id={cluster.project}", headers=headers
        ) as response,
    ):
        assert response.status == 200
        async for line in response.content:
            numbers.append(int(orjson.loads(line)["event_id"], 16))
            if len(numbers) % 5_000 == 0:
                most = max(most, held(cluster))
    assert numbers == list(range(COUNT - 1, -1, -1))
    assert most - before < HELD_BYTES
