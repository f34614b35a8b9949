"""What a worker makes of webhooks that the Planner-compatible API made, paused and forgave."""

import orjson
import pytest

from tests.support.cluster import ADMIN_KEY, Cluster, Receiver
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(120)


async def test_a_paused_webhook_gets_what_it_missed_once_it_is_enabled(
    cluster: Cluster, receiver: Receiver
) -> None:
    query = f"?private_key={ADMIN_KEY}&project_id={cluster.project}"
    events = ["service.report", "plan.created"]
    made, other = [
        await cluster.call(
            "POST",
            f"/api/v1/webhook{query}",
            {"url": f"{receiver.url}{path}", "enabled_events": events, "enabled": path == "/other"},
        )
        for path in ("/hook", "/other")
    ]
    assert (made["enabled"], other["enabled"]) == (False, True)
    await cluster.start()
    ids = set(await cluster.produce(30))
    await eventually(lambda: receiver.ids("/other").keys() >= ids, within=60)
    assert receiver.ids("/hook").total() == 0
    path = f"/api/v1/webhook/{made['id']}{query}"
    assert (await cluster.call("PUT", path, {"enabled": True}))["enabled"]
    await eventually(lambda: receiver.ids("/hook").keys() == ids, within=60)
    body = orjson.loads(receiver.seen[-1].body)
    assert set(body) == {"id", "user", "type", "created_at", "data"}  # highway-v1


async def test_failures_are_counted_anew_after_a_reset_and_end_with_a_success(
    cluster: Cluster, receiver: Receiver
) -> None:
    receiver.answers["/hook"] = lambda _: 500
    id_ = await cluster.subscribe(f"{receiver.url}/hook", retry_schedule=[])
    path = f"/v2/webhook/{id_}?private_key={ADMIN_KEY}"
    await cluster.start()

    async def count() -> int:
        return int(str((await cluster.call("GET", path))["failure_count"]))

    async def differs(before: int) -> bool:
        return await count() != before

    async def after_one_more() -> int:
        before = await count()
        await cluster.produce(1)
        await eventually(lambda: differs(before), within=30)
        return await count()

    async def counts_from_one() -> bool:
        shown = await cluster.call("PUT", path, {"failure_count": 0})
        assert shown["failure_count"] == 0
        return await after_one_more() == 1

    await cluster.produce(5)
    await eventually(lambda: differs(0), within=60)
    await eventually(lambda: receiver.ids().total() == 5)
    await eventually(counts_from_one, within=60)  # a worker hears of the reset a moment later
    assert await after_one_more() == 2
    del receiver.answers["/hook"]
    assert await after_one_more() == 0
