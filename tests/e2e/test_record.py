"""Each attempt is stored exactly once, whatever is killed in between."""

import asyncio
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from services.dev.postgres import EmbeddedPostgres
from services.kernel.event import Partition
from services.run.probes import postgres_answers
from services.store.migrate import migrate
from tests.support.cluster import Cluster, Process, Receiver, a_cluster, keep_history
from tests.support.eventually import eventually
from tests.support.group import offsets_of

LONG = bool(os.environ.get("WEBHOOKS_TEST_LONG"))
ROUNDS, OUTAGES = (20, 20) if LONG else (2, 1)
RATE = 200.0

pytestmark = pytest.mark.timeout(120 + 20 * ROUNDS)


@pytest.fixture
async def cluster(kafka: str, database: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(kafka, database, tmp_path) as cluster:
        await keep_history(cluster)
        yield cluster


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """One that nobody else uses."""
    server = EmbeddedPostgres(tmp_path / "postgres", probe=postgres_answers)
    await server.start()
    yield server
    await server.kill()


async def stored(cluster: Cluster) -> int:
    rows = await cluster.fetch("select count(*) from attempts")
    return int(rows[0][0])


async def whole(cluster: Cluster, receiver: Receiver) -> None:
    """Wait until as many attempts are stored as the receiver has seen; and find no more then."""

    async def is_there() -> bool:
        return await stored(cluster) >= len(receiver.seen)

    await eventually(is_there, within=60)
    assert await stored(cluster) == len(receiver.seen)
    rows = await cluster.fetch("select count(distinct (at, tail)) from attempts")
    assert rows[0][0] == len(receiver.seen)
    rows = await cluster.fetch(
        "select sum(delivered + failed) from attempt_stats where step = 'day'"
        " and source in (select id from attempt_sources where subscription_id = '*')"
        " and type = (select id from attempt_words where word = '*')"
    )
    assert rows[0][0] == len(receiver.seen)


async def shown_as_sent(cluster: Cluster, receiver: Receiver) -> None:
    """A delivery's request is written again byte by byte, signature included."""
    (listed,) = (await cluster.call("GET", "/v1/deliveries?limit=1"))["data"]
    shown = await cluster.call("GET", f"/v1/deliveries/{listed['id']}")
    (seen,) = (seen for seen in receiver.seen if seen.id == listed["event_id"])
    assert shown["request"]["body"].encode() == seen.body
    names = [name for name in seen.headers if name.startswith(("webhook-", "planner-"))]
    assert {name: shown["request"]["headers"][name] for name in names} == {
        name: seen.headers[name] for name in names
    }
    anew = await cluster.call("GET", f"/v1/deliveries/{listed['id']}?signed=now")
    assert anew["request"]["body"] == shown["request"]["body"]
    assert float(anew["request"]["headers"]["webhook-timestamp"]) >= float(
        seen.headers["webhook-timestamp"]
    )
    assert shown["event"]["id"] == seen.id
    assert len(shown["attempts"]) == 1


async def test_each_attempt_is_stored_once_through_kill_9_of_recorders(
    cluster: Cluster, receiver: Receiver
) -> None:
    await cluster.subscribe(f"{receiver.url}/ok")
    await cluster.start()
    recorders = [await cluster.start(name, role="record") for name in ("r0", "r1")]
    producing = asyncio.create_task(cluster.produce_until_stopped(rate=RATE))
    before = 0
    for n in range(ROUNDS):

        async def goes_on(before: int = before) -> bool:
            return await stored(cluster) > before

        await eventually(goes_on, within=60)
        await recorders[n % 2].kill()
        recorders[n % 2] = await cluster.start(f"r{n % 2}", role="record")
        before = await stored(cluster) + int(RATE)
    cluster.stop_producing()
    await producing
    await eventually(lambda: receiver.ids().keys() == cluster.produced.keys(), within=60)
    await cluster.all_committed()
    await whole(cluster, receiver)
    await eventually(lambda: no_lag(cluster), within=30)


async def no_lag(cluster: Cluster) -> bool:
    """Tell whether the recorders' group says, to whoever measures lag, that all is stored."""
    (group, topic) = (cluster.environment["WEBHOOKS_KAFKA__GROUP"], f"{cluster.topic}.attempts")
    partitions = [Partition(topic, number) for number in range(4)]
    async with offsets_of(cluster.bootstrap, f"{group}.record") as offsets:
        told = await offsets.committed(partitions)
        ends = await offsets.bounds(partitions)
    return all((at := told[p]) is not None and at.offset == ends[p].end for p in partitions)


async def test_history_is_late_while_postgres_is_down_and_complete_afterwards(
    kafka: str, own_postgres: EmbeddedPostgres, tmp_path: Path, receiver: Receiver
) -> None:
    dsn = own_postgres.dsn()
    await migrate(dsn)
    async with a_cluster(kafka, dsn, tmp_path) as cluster:
        await keep_history(cluster)
        await cluster.subscribe(f"{receiver.url}/ok")
        await cluster.start()
        recorder = await cluster.start("r0", role="record")
        await cluster.produce(50)
        await eventually(lambda: stored_all(cluster, 50), within=60)
        for n in range(OUTAGES):
            waited = recorder.logged("recorder_waits")
            await own_postgres.kill()
            await cluster.produce(400, rate=RATE)
            sent = 50 + 400 * (n + 1)
            await eventually(partial(waits_again, recorder, waited), within=30)
            await own_postgres.start()
            # Most came meanwhile; who looks slow on a machine that stalls waits for the row of its lane.
            await eventually(partial(has_seen, receiver, sent), within=60)
            if n % 2:  # while it takes in what it was late with
                await recorder.kill()
                recorder = await cluster.start("r0", role="record")
            await whole(cluster, receiver)
        await shown_as_sent(cluster, receiver)


def waits_again(recorder: Process, before: int) -> bool:
    return recorder.logged("recorder_waits") > before


def has_seen(receiver: Receiver, count: int) -> bool:
    return len(receiver.ids()) == count


async def stored_all(cluster: Cluster, count: int) -> bool:
    return await stored(cluster) == count
