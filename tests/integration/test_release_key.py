"""Order through the native API: the fields, and a key that is released by hand."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.ports.store.partitions import Floor
from services.kernel.ports.store.retries import Park, Waits
from services.store.partitions import PostgresPartitions
from services.store.pool import Pool
from services.store.retries import PostgresRetries
from tests.support.cluster import Cluster, a_cluster
from tests.support.native import Caller
from tests.support.rows import EVENTS, a_delivery, a_pool, an_attempt

pytestmark = pytest.mark.timeout(60)

URL = "https://example.com/hook"
KEY = "a/b c%:1"


@pytest.fixture
async def cluster(kafka: str, database: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(kafka, database, tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def operator(cluster: Cluster) -> AsyncIterator[Caller]:
    async with ClientSession(cluster.api) as session:
        yield Caller(session)


@pytest.fixture
async def pool(cluster: Cluster) -> AsyncIterator[Pool]:
    async with a_pool(cluster.dsn) as pool:
        yield pool


async def test_a_held_key_is_released_once_and_the_audit_tells_by_whom(
    cluster: Cluster, operator: Caller, pool: Pool
) -> None:
    asked = {
        "project_id": cluster.project,
        "url": URL,
        "types": ["*"],
        "ordered": "key",
        "order_by": "entity",
        "on_exhausted": "block",
        "rate_limit": 2.5,
    }
    made = (await operator("POST", "/v1/subscriptions", asked, status=201)).json
    assert {field: made[field] for field in asked} == asked
    path = f"/v1/subscriptions/{made['id']}"
    release = f"{path}/keys/a%2Fb%20c%25%3A1/release"
    await operator("POST", release, {"action": "skip"}, status=404)

    await PostgresPartitions(pool=pool).assign({EVENTS: Floor(0, 0)}, worker="w0")
    id_ = SubscriptionId(made["id"])
    held = a_delivery(id_, key=KEY, order=KEY, project_id=ProjectId(cluster.project))
    await PostgresRetries(pool=pool).write([Park(held, None, an_attempt(), Waits.PERSON)])

    bad = await operator("POST", release, {"action": "drop", "x": 1}, status=422)
    assert sorted(bad.faults) == [("/action", "choice"), ("/x", "unknown_field")]
    none = await operator("POST", release, {}, status=422)
    assert none.faults == [("/action", "required")]
    answer = await operator("POST", release, {"action": "skip"})
    where = {"topic": EVENTS.topic, "partition": EVENTS.number, "offset": 0}
    events = [{"event_id": held.event_id, **where}]
    assert answer.json == {"key": KEY, "action": "skip", "events": events}
    told = (await operator("GET", "/v1/audit?action=release_key")).json["data"]
    assert (told[0]["action"], told[0]["after"]["key"]) == ("release_key", KEY)

    await operator("PATCH", path, {"ordered": "none"})
    await operator("POST", release, {"action": "retry"}, status=404)


async def test_every_fault_of_order_and_pace_is_told_at_once(
    cluster: Cluster, operator: Caller
) -> None:
    asked = {
        "project_id": cluster.project,
        "url": URL,
        "types": ["*"],
        "ordered": "keys",
        "order_by": 3,
        "on_exhausted": "stop",
        "rate_limit": 0,
    }
    answer = await operator("POST", "/v1/subscriptions", asked, status=422)
    assert sorted(answer.faults) == [
        ("/on_exhausted", "choice"),
        ("/order_by", "type"),
        ("/ordered", "choice"),
        ("/rate_limit", "range"),
    ]
