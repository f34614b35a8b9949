"""What a worker makes of webhooks that the Planner-compatible API made, paused and forgave."""

from collections.abc import Callable

import orjson
import pytest

from tests.support.cluster import ADMIN_KEY, Cluster, Receiver
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(180)


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

    async def counts(expected: Callable[[], int]) -> None:
        async def does() -> bool:
            shown = await cluster.call("GET", path)
            return bool(shown["failure_count"] == expected())

        await eventually(does, within=60)

    await cluster.produce(5)
    await counts(lambda: 5)
    # Held back when it is forgiven, so that a worker hears of both before the next one fails.
    await cluster.fed_live(id_)
    await cluster.pause(id_)
    await counts(lambda: receiver.ids().total())
    sent = receiver.ids().total()
    shown = await cluster.call("PUT", path, {"failure_count": 0, "enabled": True})
    assert shown["failure_count"] == 0
    held = len(cluster.produced) - sent
    assert held > 0
    await counts(lambda: held)
    await cluster.produce(1)
    await counts(lambda: held + 1)
    del receiver.answers["/hook"]
    await cluster.produce(1)
    await counts(lambda: 0)
