"""Failures in a row, counted by a worker and shown, and reset, by the Planner-compatible API."""

from pathlib import Path

import pytest

from tests.support.cluster import ADMIN_KEY, a_cluster, receiving
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(120)


async def test_failures_are_counted_anew_after_a_reset_and_end_with_a_success(
    kafka: str, database: str, tmp_path: Path
) -> None:
    async with a_cluster(kafka, database, tmp_path) as cluster, receiving() as receiver:
        receiver.answers["/hook"] = lambda _: 500
        id_ = await cluster.subscribe(f"{receiver.url}/hook", retry_schedule=[])
        path = f"/v2/webhook/{id_}?private_key={ADMIN_KEY}"
        await cluster.start()

        async def count() -> int:
            return int(str((await cluster.call("GET", path))["failure_count"]))

        async def fails_once_more() -> int:
            before = await count()
            await cluster.produce(1)
            await eventually(lambda: differs(before), within=30)
            return await count()

        async def differs(before: int) -> bool:
            return await count() != before

        await cluster.produce(5)
        await eventually(lambda: differs(0), within=60)
        await eventually(lambda: receiver.ids().total() == 5)

        async def counts_from_one() -> bool:
            shown = await cluster.call("PUT", path, {"failure_count": 0})
            assert shown["failure_count"] == 0
            return await fails_once_more() == 1

        await eventually(counts_from_one, within=60)  # a worker hears of the reset a moment later
        assert await fails_once_more() == 2
        del receiver.answers["/hook"]
        assert await fails_once_more() == 0
