"""Thousands of dead letters sent again, with restarts in the middle: each arrives, and the job ends."""

import asyncio
import os
import time
from typing import Any

import orjson
import pytest

from tests.support.cluster import Cluster, Receiver
from tests.support.databases import connected
from tests.support.dead import put_dead
from tests.support.eventually import eventually

COUNT = 100_000 if os.environ.get("WEBHOOKS_TEST_LONG") else 2_000

pytestmark = pytest.mark.timeout(600)


async def dead(cluster: Cluster, id_: str, count: int, **fields: Any) -> set[str]:  # noqa: ANN401
    async with connected(cluster.dsn) as connection:
        return set(
            await put_dead(
                connection,
                id_,
                project_id=cluster.project,
                topic=cluster.topic,
                partitions=8,
                count=count,
                **fields,
            )
        )


async def ended(cluster: Cluster, job: str, state: str = "done", *, within: float = 60) -> Any:  # noqa: ANN401
    found: Any = None

    async def over() -> bool:
        nonlocal found
        found = await cluster.call("GET", f"/v1/resends/{job}")
        return bool(found["state"] == state)

    await eventually(over, within=within)
    return found


def heard(receiver: Receiver) -> list[Any]:
    """Return what was told of jobs that ended."""
    return [orjson.loads(seen.body)["data"] for seen in receiver.seen if seen.path == "/watch"]


async def test_all_of_them_arrive_though_api_and_dispatcher_are_killed_in_the_middle(
    cluster: Cluster, receiver: Receiver
) -> None:
    id_ = await cluster.subscribe(f"{receiver.url}/again")
    watcher = await cluster.subscribe(f"{receiver.url}/watch", types=["webhook.replay_finished"])
    worker = await cluster.start()
    api = cluster.processes[0]
    ids = await dead(cluster, id_, COUNT)
    made = await cluster.call("POST", "/v1/dead-letters/resend", {"subscription": id_}, status=202)
    await eventually(lambda: len(receiver.ids("/again")) > COUNT / 10, within=60)
    await asyncio.gather(worker.kill(), api.kill())  # at once: one goes on sending until it is dead
    assert len(receiver.ids("/again")) < COUNT
    await cluster.start("api", role="api")
    await eventually(cluster._api_ready, within=30)
    await cluster.start()
    job = await ended(cluster, made["id"], within=300)
    assert (job["done"], job["total"]) == (COUNT, COUNT)
    seen = receiver.ids("/again")
    assert seen.keys() == ids
    assert {request.attempt for request in receiver.seen if request.path == "/again"} == {1}
    assert await cluster.fetch("select from dead_letters") == []
    assert await cluster.fetch("select from retries where subscription_id = $1", id_) == []
    await eventually(lambda: len(receiver.ids("/watch")) == 1, within=30)
    assert watcher


async def test_what_fails_again_is_retried_like_anything_else_and_dies_like_it(
    cluster: Cluster, receiver: Receiver
) -> None:
    receiver.answers["/again"] = lambda seen: 500 if seen.attempt < 2 else 200
    mended = await cluster.subscribe(f"{receiver.url}/again", types=["plan.*"], retry_schedule=[1])
    receiver.answers["/never"] = lambda _: 500
    never = await cluster.subscribe(f"{receiver.url}/never", retry_schedule=[])
    await cluster.start()
    ids = await dead(cluster, mended, 20)
    await dead(cluster, never, 3, first=100)
    made = await cluster.call("POST", "/v1/resends", {}, status=202)
    await ended(cluster, made["id"])
    await eventually(lambda: receiver.ids("/again") == dict.fromkeys(ids, 2), within=30)

    async def died_again() -> bool:
        found = await cluster.call("GET", f"/v1/dead-letters?subscription={never}")
        return len(found["data"]) == 3

    await eventually(died_again, within=30)


async def test_a_rate_is_kept_and_a_cancelled_job_leaves_the_rest_where_it_was(
    cluster: Cluster, receiver: Receiver
) -> None:
    id_ = await cluster.subscribe(f"{receiver.url}/slowly")
    await cluster.subscribe(f"{receiver.url}/watch", types=["webhook.replay_finished"])
    await cluster.start()
    await dead(cluster, id_, 1_000)
    asked = {"subscription": id_, "rate": 20}
    began = time.time()
    made = await cluster.call("POST", "/v1/resends", asked, status=202)
    await eventually(lambda: len(receiver.ids("/slowly")) >= 30, within=30)
    for _ in range(2):
        await cluster.call("POST", f"/v1/resends/{made['id']}/cancel")
    job = await ended(cluster, made["id"], "cancelled")
    (letters,) = await cluster.fetch("select count(*) as n from dead_letters")
    times = [seen.at for seen in receiver.seen if seen.path == "/slowly"]
    assert 0 < letters["n"] <= 1_000 - job["done"]
    took = max(times) - began
    assert len(times) <= 20 * (took + 3)  # a batch, and up to two seconds until it is seen
    await eventually(lambda: len(receiver.ids("/slowly")) == 1_000 - letters["n"], within=30)
    assert job["total"] == 1_000
    await eventually(lambda: len(heard(receiver)) == 1, within=30)
    (told,) = heard(receiver)
    assert (told["subscription_id"], told["replay_id"]) == (id_, made["id"])
    assert (told["state"], told["total"]) == ("cancelled", 1_000 - letters["n"])


async def test_one_of_them_is_sent_again_by_its_id_and_nobody_is_told_that_it_was(
    cluster: Cluster, receiver: Receiver
) -> None:
    id_ = await cluster.subscribe(f"{receiver.url}/one")
    await cluster.start()
    await dead(cluster, id_, 3)
    letters = (await cluster.call("GET", "/v1/dead-letters"))["data"]
    chosen = letters[1]
    made = await cluster.call("POST", f"/v1/deliveries/{chosen['id']}/resend", status=202)
    await ended(cluster, made["id"])
    assert receiver.ids() == {chosen["event_id"]: 1}
    told = [orjson.loads(r.value) for r in await cluster.records("webhooks.ops") if r.value]
    assert [event for event in told if event["data"].get("subscription_id") == id_] == []
    left = (await cluster.call("GET", "/v1/dead-letters"))["data"]
    assert [letter["id"] for letter in left] == [letters[0]["id"], letters[2]["id"]]
