"""Sending everything again: the group's offsets moved by hand, from the command line."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from tests.support.cluster import Cluster, a_cluster, receiving
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(120)
SCRIPT = Path(sys.executable).with_name("planner-webhooks")


@pytest.fixture
async def cluster(kafka: str, database: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(kafka, database, tmp_path) as cluster:
        yield cluster


async def reset(cluster: Cluster, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(str(SCRIPT), "reset-offsets", "--json", *arguments),
        env=cluster.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_what_was_sent_is_sent_again_and_says_that_it_is_a_replay(cluster: Cluster) -> None:
    async with receiving() as receiver:
        await cluster.subscribe(f"{receiver.url}/ok")
        worker = await cluster.start()
        ids = await cluster.produce(40)
        await eventually(lambda: receiver.ids().keys() >= set(ids), within=30)
        code, _, said = await reset(cluster, "--to-earliest")
        assert code == 1
        assert "has members: stop all dispatchers first" in said
        assert await worker.terminate() == 0

        async def shown() -> bool:  # a static member is one until its session has timed out
            code, out, _ = await reset(cluster, "--to-earliest", "--dry-run")
            rows = [orjson.loads(line) for line in out.splitlines()]
            assert (code, len(rows)) == (0, 8)
            return sum(row["before"] for row in rows) == 40 and not any(r["after"] for r in rows)

        assert await shown()

        async def moved() -> bool:
            return (await reset(cluster, "--to-earliest"))[0] == 0

        await eventually(moved, within=60)
        receiver.seen.clear()
        await cluster.start()
        await eventually(lambda: receiver.ids().keys() == set(ids), within=30)
        assert {seen.headers.get("planner-replay") for seen in receiver.seen} == {"group-reset"}


async def test_a_wrong_call_says_what_is_wrong_and_moves_nothing(cluster: Cluster) -> None:
    code, _, said = await reset(cluster)
    assert (code, said.strip()) == (
        2,
        "name one of --to-datetime, --to-offset, --to-earliest",
    )
    code, _, said = await reset(cluster, "--to-datetime", "yesterday")
    assert code == 2
    assert "'yesterday' is no time like" in said
    code, _, said = await reset(cluster, "--to-earliest", "--topic", "no.such.topic")
    assert code == 2
    assert "no topic no.such.topic" in said
