"""`GET /v1/subscriptions/{id}/backlog` on real Kafka and Postgres, no dispatcher in the way."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from services import catalogue
from tests.support.api import ServedApi
from tests.support.native import Caller

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("topics")]

DAY = timedelta(days=1).total_seconds()


async def backlog(owner: Caller, id_: str) -> Any:  # noqa: ANN401 - JSON
    return (await owner("GET", f"/v1/subscriptions/{id_}/backlog")).json


async def ingest(api: ServedApi, count: int) -> None:
    example = catalogue.examples()["plan.created"]
    events = [{**example, "id": f"{n:024x}", "project_id": api.project} for n in range(count)]
    await api.native("POST", "/v1/events", {"events": events})


async def test_a_new_one_waits_for_its_first_owner_from_where_it_was_promised(
    api: ServedApi, owner: Caller
) -> None:
    id_ = (await owner.make())["id"]
    at_first = await backlog(owner, id_)
    assert (at_first["state"], at_first["reason"], at_first["lag"]) == ("detached", "new", 0)
    assert (at_first["oldest_at"], at_first["eta_seconds"]) == (None, 0.0)
    assert {part["topic"] for part in at_first["partitions"]} >= {"planner.events", "webhooks.ops"}
    before = datetime.now(UTC) - timedelta(seconds=1)
    await ingest(api, 5)
    found = await backlog(owner, id_)
    assert found["lag"] == 5
    assert found["eta_seconds"] is None  # nobody reads
    assert before < datetime.fromisoformat(found["oldest_at"]) < datetime.now(UTC)
    assert 6.9 * DAY < found["headroom_seconds"] <= 7 * DAY


async def test_a_lane_is_told_with_its_reason_its_pace_and_its_edge(
    api: ServedApi, owner: Caller
) -> None:
    id_ = (await owner.make())["id"]
    await ingest(api, 4)
    lag = {(p["topic"], p["partition"]): p for p in (await backlog(owner, id_))["partitions"]}
    (topic, number), part = next((key, part) for key, part in lag.items() if part["lag"] == 4)
    await api.sql("delete from starts where subscription_id = $1", id_)
    await api.sql(
        """insert into lanes (topic, partition, subscription_id, cursor, state, reason, since, flips,
               cursor_at, speed)
           values ($1, $2, $3, $4, 'catching_up', 'breaker_open', now() - interval '1 h', 1, now(),
               2.0)""",
        topic,
        number,
        id_,
        part["end"] - 3,
    )
    found = await backlog(owner, id_)
    assert (found["state"], found["reason"]) == ("catching_up", "breaker_open")
    assert datetime.fromisoformat(found["since"]) < datetime.now(UTC) - timedelta(minutes=59)
    mine = [p for p in found["partitions"] if (p["topic"], p["partition"]) == (topic, number)]
    assert mine == [{**part, "cursor": part["end"] - 3, "lag": 3, "state": "catching_up"}]
    assert 1.4 < found["eta_seconds"] < 2
    await owner("POST", f"/v1/subscriptions/{id_}/pause")
    paused = await backlog(owner, id_)
    assert (paused["state"], paused["reason"]) == ("paused", "by its owner")
    assert paused["eta_seconds"] is None
    assert paused["headroom_seconds"] is not None


async def test_rows_that_wait_and_keys_that_are_held_are_named(
    api: ServedApi, owner: Caller
) -> None:
    id_ = (await owner.make(ordered="key"))["id"]
    at = datetime(2026, 3, 17, 9, 0, tzinfo=UTC)
    for offset, waits in ((1, None), (2, "turn"), (3, "person")):
        await api.sql(
            """insert into retries (subscription_id, topic, partition, "offset", event_id, project_id,
                   type, content_type, body, order_key, timestamp_ms, number, waits_for)
               values ($1, 'planner.events', 0, $2, $3, $4, 'plan.created', '', '', $5, $6, 2, $7)""",
            id_,
            offset,
            f"e{offset}",
            api.project,
            f"key {offset}",
            int(at.timestamp() * 1000) + offset,
            waits,
        )
    found = await backlog(owner, id_)
    assert found["retries"] == 3
    assert found["held_keys"] == ["key 1", "key 3"]
    assert datetime.fromisoformat(found["oldest_at"]) == at + timedelta(milliseconds=1)


async def test_nobody_sees_what_waits_for_another_project(api: ServedApi, owner: Caller) -> None:
    id_ = (await owner.make())["id"]
    _, key = await api.new_project("read")
    async with ClientSession(api.url) as session:
        await Caller(session, key)("GET", f"/v1/subscriptions/{id_}/backlog", status=404)
    await owner("GET", "/v1/subscriptions/nobody/backlog", status=404)


async def test_a_list_says_in_short_what_waits_for_each_where_it_is_asked_for(
    api: ServedApi, owner: Caller
) -> None:
    well, behind = (await owner.make())["id"], (await owner.make())["id"]
    await ingest(api, 4)
    parts = (await backlog(owner, behind))["partitions"]
    part = next(part for part in parts if part["lag"] == 4)
    await api.sql(
        """insert into lanes (topic, partition, subscription_id, cursor, state, reason, since, flips,
               cursor_at)
           values ($1, $2, $3, $4, 'detached', 'breaker_open', now(), 1, '2026-03-17T09:00:02Z')""",
        part["topic"],
        part["partition"],
        behind,
        part["end"] - 3,
    )
    for offset in (1, 2):
        await api.sql(
            """insert into retries (subscription_id, topic, partition, "offset", event_id, project_id,
                   type, content_type, body, timestamp_ms, number)
               values ($1, 'planner.events', 0, $2, $3, $4, 'plan.created', '', '', $5, 2)""",
            behind,
            offset,
            f"e{offset}",
            api.project,
            int(datetime(2026, 3, 17, 9, 0, offset, tzinfo=UTC).timestamp() * 1000),
        )
    listed = (await owner("GET", "/v1/subscriptions?backlog=true")).json["data"]
    assert {row["id"]: row["backlog"] for row in listed} == {
        well: {"lag": 0, "retries": 0, "oldest_at": None},
        behind: {"lag": 3, "retries": 2, "oldest_at": "2026-03-17T09:00:01.000Z"},
    }
    plain = (await owner("GET", "/v1/subscriptions")).json["data"]
    assert all("backlog" not in row for row in plain)
