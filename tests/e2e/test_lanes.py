"""A receiver that can't keep up is read for beside the feed: others don't notice, and nothing is lost."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, Receiver, a_cluster, receiving, repeats
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def cluster(kafka: str, database: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(kafka, database, tmp_path) as cluster:
        yield cluster


async def lanes(cluster: Cluster, id_: str) -> int:
    rows = await cluster.fetch("select count(*) from lanes where subscription_id = $1", id_)
    return int(rows[0][0])


async def test_a_hanging_receiver_is_detached_and_others_keep_their_pace(
    cluster: Cluster, receiver: Receiver
) -> None:
    receiver.delays["/hangs"] = 60.0
    hanging = await cluster.subscribe(f"{receiver.url}/hangs")
    await cluster.subscribe(f"{receiver.url}/well")
    worker = await cluster.start()
    await eventually(lambda: worker.logged("partition_begins") >= 8, within=30)
    producing = asyncio.create_task(cluster.produce_until_stopped(rate=100))
    await eventually(lambda: receiver.ids("/hangs"), within=30)
    first = time.time()

    async def is_detached() -> bool:
        return await lanes(cluster, hanging) > 0

    await eventually(is_detached, within=8)
    assert time.time() - first < 5 + 2 + 0.5
    await asyncio.sleep(3)  # the well one is measured meanwhile, at its own pace
    cluster.stop_producing()
    await producing
    await cluster.all_committed()  # nobody waits for the hanging one
    await eventually(lambda: len(receiver.ids("/well")) == len(cluster.produced), within=10)
    took = sorted(
        seen.at - cluster.produced[seen.id] for seen in receiver.seen if seen.path == "/well"
    )
    assert took[int(len(took) * 0.99)] < 0.5
    assert repeats(receiver.ids("/well")) == {}


async def test_pause_and_resume_lose_nothing_and_repeat_nothing(
    cluster: Cluster, receiver: Receiver
) -> None:
    id_ = await cluster.subscribe(f"{receiver.url}/one")
    await cluster.start()
    await cluster.produce(50, rate=100)
    await eventually(lambda: len(receiver.ids()) == 50, within=30)
    producing = asyncio.create_task(cluster.produce(200, rate=100))
    await asyncio.sleep(0.5)
    await cluster.call("POST", f"/v1/subscriptions/{id_}/pause")
    await producing
    await cluster.all_committed()
    assert 0 < await lanes(cluster, id_) <= 8
    rows = await cluster.fetch("select count(*) from retries")
    assert rows[0][0] == 0
    before = len(receiver.ids())
    assert before < 250
    await cluster.call("POST", f"/v1/subscriptions/{id_}/resume", {})
    await eventually(lambda: len(receiver.ids()) == 250, within=20)

    async def is_attached() -> bool:
        return await lanes(cluster, id_) == 0

    await eventually(is_attached, within=10)
    assert repeats(receiver.ids()) == {}


async def test_kill_9_while_lanes_exist_loses_nothing(cluster: Cluster, receiver: Receiver) -> None:
    answers = {"status": 500}
    receiver.answers["/fails"] = lambda _: answers["status"]
    failing = await cluster.subscribe(f"{receiver.url}/fails")
    await cluster.subscribe(f"{receiver.url}/well")
    worker = await cluster.start()
    producing = asyncio.create_task(cluster.produce(600, rate=150))

    async def is_detached() -> bool:
        return await lanes(cluster, failing) > 0

    await eventually(is_detached, within=20)
    await worker.kill()
    await producing
    answers["status"] = 200
    await cluster.start()
    await eventually(lambda: len(receiver.ids("/well")) == 600, within=30)

    async def all_there() -> bool:
        rows = await cluster.fetch("select count(*) from retries")
        return len(receiver.ids("/fails")) == 600 or rows[0][0] > 0

    await eventually(all_there, within=30)

    async def accounted() -> bool:
        rows = await cluster.fetch(
            "select event_id from retries where subscription_id = $1", failing
        )
        answered = {seen.id for seen in receiver.seen if seen.path == "/fails"}
        return answered | {row["event_id"] for row in rows} == set(cluster.produced)

    await eventually(accounted, within=30)
