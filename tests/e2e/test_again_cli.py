"""`events tail`, `events get` and `resend`, as a person types them; both APIs on one subscription."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from tests.support.cluster import ADMIN_KEY, Cluster, Receiver
from tests.support.databases import connected
from tests.support.dead import put_dead
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(90)


@asynccontextmanager
async def typed(cluster: Cluster, *words: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", *words, "--api", cluster.api, "--key", ADMIN_KEY),
        stdout=PIPE,
        stderr=PIPE,
        env=cluster.environment,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_log_is_followed_and_one_event_looked_up(cluster: Cluster) -> None:
    async with typed(cluster, "events", "tail", "--topic", cluster.topic, "--json") as tail:
        assert tail.stdout is not None
        line: asyncio.Task[bytes] = asyncio.ensure_future(tail.stdout.readline())

        async def heard() -> bool:  # until it listens, what is produced is none of its business
            await cluster.produce(1)
            return line.done()

        await eventually(heard, within=30, every=0.5)
        told = orjson.loads(await line)
    place = f"{told['topic']}/{told['partition']}/{told['offset']}"
    async with typed(cluster, "events", "get", place, "--json") as get:
        out, _ = await get.communicate()
        assert get.returncode == 0
        assert orjson.loads(out) == told
    async with typed(cluster, "events", "get", "nowhere") as get:
        await get.communicate()
        assert get.returncode == 2


async def test_what_was_given_up_is_sent_again_from_the_command_line(
    cluster: Cluster, receiver: Receiver
) -> None:
    id_ = await cluster.subscribe(f"{receiver.url}/again")
    await cluster.start()
    async with connected(cluster.dsn) as connection:
        ids = await put_dead(
            connection, id_, project_id=cluster.project, topic=cluster.topic, partitions=8, count=9
        )
    words = ("resend", "--subscription", id_, "--status", "5xx", "--json")
    async with typed(cluster, *words, "--dry-run") as dry:
        out, _ = await dry.communicate()
        assert orjson.loads(out) == {"deliveries": 9, "bytes": 90}
    async with typed(cluster, *words) as run:
        out, said = await run.communicate()
        assert run.returncode == 0, said
    job = orjson.loads(out)
    assert (job["state"], job["done"], job["total"]) == ("done", 9, 9)
    assert receiver.ids() == dict.fromkeys(ids, 1)


async def test_both_apis_work_on_one_subscription_side_by_side(
    cluster: Cluster, receiver: Receiver
) -> None:
    query = f"?private_key={ADMIN_KEY}&project_id={cluster.project}"
    body = {"url": f"{receiver.url}/one", "enabled_events": ["plan.created"]}
    id_ = (await cluster.call("POST", f"/v2/webhook{query}", body))["id"]
    native, compatible = f"/v1/subscriptions/{id_}", f"/v2/webhook/{id_}{query}"
    await cluster.start()
    await cluster.produce(2)
    await eventually(lambda: len(receiver.ids("/one")) == 2, within=30)
    await cluster.call("PATCH", native, {"url": f"{receiver.url}/two", "description": "ours"})
    assert (await cluster.call("GET", compatible))["url"] == f"{receiver.url}/two"
    await cluster.call("PUT", compatible, {"enabled": False})
    paused = await cluster.call("GET", native)
    assert (paused["status"], paused["description"]) == ("paused", "ours")
    await cluster.call("POST", f"{native}/resume")
    assert (await cluster.call("GET", compatible))["enabled"] is True

    async def reached() -> bool:  # until a dispatcher has read the change, what comes goes to /one
        await cluster.produce(1)
        return bool(receiver.ids("/two"))

    await eventually(reached, within=30, every=0.5)
    await eventually(lambda: len(receiver.ids()) == len(cluster.produced), within=30)
    await cluster.call("DELETE", compatible)
    await cluster.call("GET", native, status=404)
    told = (await cluster.call("GET", f"/v1/audit?object={id_}"))["data"]
    actions = ["delete", "resume", "update", "update", "create"]
    assert [entry["action"] for entry in told] == actions
