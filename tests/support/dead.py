"""Dead letters that are there already."""

import asyncpg

PUT = """
insert into dead_letters (
    subscription_id, topic, partition, "offset", event_id, project_id, type, content_type, body,
    order_key, timestamp_ms, attempts, reason, outcome, status, response, dead_at)
select $1, $2, n % $3, n, lpad(to_hex(n), 24, '0'), $4, $5, 'application/json',
    convert_to(repeat('x', $6), 'utf8'), null, 1774000000000, 10, 'exhausted', $7, $8, 'no', $9
from generate_series($10::bigint, $10::bigint + $11::bigint - 1) as n
returning event_id"""


async def put_dead(
    connection: asyncpg.Connection,
    subscription_id: str,
    *,
    project_id: str,
    count: int = 1,
    first: int = 0,
    topic: str = "planner.events",
    partitions: int = 1,
    type_: str = "plan.created",
    size: int = 10,
    outcome: str = "http",
    status: int | None = 503,
    at: object = None,
) -> list[str]:
    """Put *count* dead letters of a subscription; return the ids of their events."""
    rows = await connection.fetch(
        PUT,
        subscription_id,
        topic,
        partitions,
        project_id,
        type_,
        size,
        outcome,
        status,
        at or await connection.fetchval("select now()"),
        first,
        count,
    )
    return [row["event_id"] for row in rows]
