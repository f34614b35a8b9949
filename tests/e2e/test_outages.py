"""Kafka and Postgres go away and come back under load; topics and offsets change under a worker."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientError
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.dev.kafka import CONSUMER_GROUPS, EmbeddedKafka, run_tool
from services.dev.postgres import EmbeddedPostgres
from services.kernel.lane import Reason
from services.run.probes import kafka_answers, postgres_answers
from services.store.migrate import migrate
from tests.support.cluster import (
    Cluster,
    Process,
    Put,
    Receiver,
    Seen,
    a_cluster,
    an_event,
    create_topics,
    repeats,
)
from tests.support.eventually import eventually

ROUNDS = 5 if os.environ.get("WEBHOOKS_TEST_LONG") else 1
RATE = 200.0
COMMIT_SECONDS = 1.0
"""A commit goes out every 0.1 s; how long one takes is the machine's."""
DRAIN_SECONDS = 10.0
"""The default: with nobody to answer and nobody to write to, a worker ends within it."""
COUNT = 100
SLOW = (Reason.SLOW, Reason.WAITED)

pytestmark = pytest.mark.timeout(240 * ROUNDS)


@pytest.fixture
async def own_kafka(tmp_path: Path) -> AsyncIterator[EmbeddedKafka]:
    """One that nobody else uses."""
    server = EmbeddedKafka(tmp_path / "kafka", probe=kafka_answers)
    await server.start()
    yield server
    await server.kill()


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """One that nobody else uses."""
    server = EmbeddedPostgres(tmp_path / "postgres", probe=postgres_answers)
    await server.start()
    yield server
    await server.kill()


async def caught_up(cluster: Cluster, receiver: Receiver, path: str = "/ok") -> None:
    """Wait until the worker is where the producer is, and then for a second of load."""
    seen = len(receiver.ids(path))
    await eventually(lambda: len(receiver.ids(path)) > seen, within=60)
    await eventually(lambda: len(receiver.ids(path)) >= len(cluster.produced) - 20, within=60)
    seen = len(receiver.ids(path))
    await eventually(lambda: len(receiver.ids(path)) > seen + RATE, within=60)


async def caught_up_or_detached(
    cluster: Cluster, receiver: Receiver, worker: Process, id_: str, *, detached: int
) -> None:
    """Wait as `caught_up` does while Postgres is gone, or until the subscription at `/ok` has been
    detached as slow more than so many times: so it looks on a machine that stalls for seconds, and then
    its lane waits for Postgres."""

    def is_detached() -> bool:
        return times_detached(worker, id_) > detached

    async with asyncio.TaskGroup() as group:
        waiting = [
            group.create_task(caught_up(cluster, receiver)),
            group.create_task(eventually(is_detached, within=180, every=0.5)),
        ]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()


def times_detached(worker: Process, id_: str) -> int:
    told = [line for line in worker.lines() if line.get("event") == "lane_detached"]
    return sum(line["subscription_id"] == id_ and line["reason"] in SLOW for line in told)


async def none_left(cluster: Cluster) -> bool:
    return await cluster.fetch("select from retries") == []


async def all_received(
    cluster: Cluster, receiver: Receiver, *paths: str, ids: Collection[str] | None = None
) -> None:
    """Wait until each path has had *ids*; without them, all that was produced."""
    expected = set(cluster.produced if ids is None else ids)
    for path in paths:
        await eventually(lambda path=path: receiver.ids(path).keys() >= expected, within=60)


def every_fourth_fails_at_first() -> Callable[[Seen], int]:
    seen: Counter[str] = Counter()

    def answer(request: Seen) -> int:
        seen[request.id] += 1
        return 500 if int(request.id, 16) % 4 == 0 and seen[request.id] == 1 else 200

    return answer


def is_tenth(id_: str) -> bool:
    return int(id_, 16) % 10 == 0


def every_tenth_fails(request: Seen) -> int:
    """Fail too seldom for the breaker, whatever the order of the answers: of `COUNT` not over half of the
    20 that it looks at. Open, it would have a lane probe with what has failed, again and again."""
    return 500 if is_tenth(request.id) else 200


async def test_kafka_restarted_under_load_loses_nothing_and_the_worker_lives_on(
    own_kafka: EmbeddedKafka, database: str, receiver: Receiver, tmp_path: Path
) -> None:
    async with a_cluster(own_kafka.bootstrap_servers, database, tmp_path) as cluster:
        await cluster.subscribe(f"{receiver.url}/ok")
        await cluster.subscribe(f"{receiver.url}/flaky", retry_schedule=[1] * 10)
        receiver.answers["/flaky"] = every_fourth_fails_at_first()
        worker = await cluster.start()
        load = asyncio.create_task(cluster.produce_until_stopped(rate=RATE))
        for _ in range(ROUNDS):
            for end in (own_kafka.stop, own_kafka.kill)[-ROUNDS:]:  # when one is enough, the worse
                await caught_up(cluster, receiver)
                await cluster.commits_go_on()  # the coordinator is back later than the log is
                await end()
                await own_kafka.start()
        await caught_up(cluster, receiver)
        await cluster.commits_go_on()
        assert worker.process.returncode is None
        # A worker that ends while Kafka is gone ends in time; one that begins then waits for it.
        await own_kafka.kill()
        assert await worker.terminate(within=DRAIN_SECONDS + 5) == 0
        worker = await cluster.start()
        await eventually(lambda: worker.logged("waiting"), within=30)
        await own_kafka.start()
        await caught_up(cluster, receiver)
        cluster.stop_producing()
        await load
        await all_received(cluster, receiver, "/ok", "/flaky")
        await eventually(lambda: none_left(cluster), within=30)
        await cluster.all_committed()
        each = RATE * COMMIT_SECONDS + 64
        assert sum(repeats(receiver.ids("/ok")).values()) <= (2 * ROUNDS + 1) * each


async def test_postgres_restarted_under_load_holds_up_no_delivery_and_loses_nothing(
    kafka: str, own_postgres: EmbeddedPostgres, receiver: Receiver, tmp_path: Path
) -> None:
    await migrate(own_postgres.dsn())
    async with a_cluster(kafka, own_postgres.dsn(), tmp_path) as cluster:
        id_ = await cluster.subscribe(f"{receiver.url}/ok")
        await cluster.subscribe(f"{receiver.url}/flaky", retry_schedule=[1] * 10)
        receiver.answers["/flaky"] = every_fourth_fails_at_first()
        worker = await cluster.start()
        load = asyncio.create_task(cluster.produce_until_stopped(rate=RATE))
        for _ in range(ROUNDS):
            for end in (own_postgres.stop, own_postgres.kill):
                await caught_up(cluster, receiver)
                before = times_detached(worker, id_)
                await end()
                # Those that answer are delivered to meanwhile.
                await caught_up_or_detached(cluster, receiver, worker, id_, detached=before)
                await own_postgres.start()
        await eventually_subscribed(cluster, f"{receiver.url}/added")
        await eventually(lambda: receiver.ids("/added"), within=30)
        await caught_up(cluster, receiver)
        assert worker.process.returncode is None
        assert repeats(receiver.ids("/ok")) == repeats(receiver.ids("/added")) == {}
        # Both at once: what the worker held in memory alone is still ahead of the group's offsets.
        before = times_detached(worker, id_)
        await own_postgres.kill()
        await caught_up_or_detached(cluster, receiver, worker, id_, detached=before)
        await worker.kill()
        worker = await cluster.start()
        await eventually(lambda: worker.logged("waiting"), within=30)
        await own_postgres.start()
        await caught_up(cluster, receiver)
        cluster.stop_producing()
        await load
        await all_received(cluster, receiver, "/ok", "/flaky")
        await eventually(lambda: none_left(cluster), within=30)
        await cluster.all_committed()
        assert await cluster.fetch("select from dead_letters") == []


async def eventually_subscribed(cluster: Cluster, url: str) -> None:
    """Make a subscription as soon as the API has Postgres again."""

    async def done() -> bool:
        try:
            await cluster.subscribe(url)
        except (AssertionError, ClientError):
            return False
        return True

    await eventually(done, within=30)


class Topic:
    """The events topic of a test, from the side of who runs Kafka."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def delete(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._cluster.bootstrap)
        await admin.start()
        try:
            await admin.delete_topics([self._cluster.topic])
        finally:
            await admin.close()

    async def create(self) -> None:
        """Make it anew, as soon as Kafka is done with deleting it."""

        async def done() -> bool:
            try:
                await create_topics(self._cluster.bootstrap, [self._cluster.topic])
            except KafkaError:
                return False
            return True

        await eventually(done, within=20)


async def covered(cluster: Cluster) -> Callable[[TopicPartition, int], bool]:
    """Return what tells whether a recorded gap says that an offset was not delivered."""
    gaps = await cluster.fetch("select * from gaps where topic = $1", cluster.topic)
    return lambda tp, offset: any(
        gap["partition"] == tp.partition and gap["from_offset"] <= offset < gap["to_offset"]
        for gap in gaps
    )


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_topic_made_anew_under_a_worker_is_read_on_and_what_was_passed_is_recorded(
    cluster: Cluster, receiver: Receiver, *, at_once: bool
) -> None:
    await cluster.subscribe(f"{receiver.url}/ok")
    worker = await cluster.start()
    await cluster.produce(4 * COUNT)  # each partition ends further on than the new one will
    await all_received(cluster, receiver, "/ok")
    await cluster.all_committed()
    topic = Topic(cluster)
    await topic.delete()
    if not at_once:
        await eventually(lambda: worker.logged("partitions_released"), within=60)
    await topic.create()
    ids: list[str] = []

    async def arrives() -> bool:
        ids.append(f"new {len(ids)}")
        await cluster.put(Put(an_event(ids[-1], project=cluster.project)), partition=len(ids) % 8)
        # From each partition: one that isn't read yet may pass over what comes next, and record it.
        return len({ids.index(id_) % 8 for id_ in receiver.ids().keys() & set(ids)}) == 8

    await eventually(arrives, within=60, every=0.1)
    tail = [f"tail {n}" for n in range(COUNT)]
    for n, id_ in enumerate(tail):
        await cluster.put(Put(an_event(id_, project=cluster.project)), partition=n % 8)
    await eventually(lambda: receiver.ids().keys() >= set(tail), within=30)
    is_gap = await covered(cluster)
    for record in await cluster.records(cluster.topic):
        id_ = orjson.loads(record.value)["id"]
        assert id_ in receiver.ids() or is_gap(record, record.offset), record
    assert worker.process.returncode is None
    assert repeats(receiver.ids()) == {}


async def reset_offsets(cluster: Cluster, *to: str) -> None:
    """Move the group with Kafka's own tool, once the session of its last member is over."""

    async def done() -> bool:
        ran = await asyncio.to_thread(
            run_tool,
            CONSUMER_GROUPS,
            *("--bootstrap-server", cluster.bootstrap, "--topic", cluster.topic),
            *("--group", cluster.environment["WEBHOOKS_KAFKA__GROUP"]),
            *("--reset-offsets", *to, "--execute"),
        )
        said = (ran.stdout + ran.stderr).decode()
        assert ran.returncode == 0, said
        return cluster.topic in said and "Error:" not in said

    await eventually(done, within=60)


async def test_a_group_moved_back_by_a_person_sends_again_what_was_sent_and_says_so(
    cluster: Cluster, receiver: Receiver
) -> None:
    await cluster.subscribe(f"{receiver.url}/ok")
    await cluster.subscribe(f"{receiver.url}/refusing", retry_schedule=[])
    await cluster.subscribe(f"{receiver.url}/waiting", retry_schedule=[3600])
    receiver.answers["/refusing"] = receiver.answers["/waiting"] = every_tenth_fails
    worker = await cluster.start()
    before = await cluster.produce(COUNT)
    await all_received(cluster, receiver, "/ok", "/refusing", "/waiting")
    await cluster.fed_live()
    await cluster.all_committed()
    assert await worker.terminate() == 0
    await cluster.subscribe(f"{receiver.url}/new")
    receiver.answers.clear()
    await reset_offsets(cluster, "--to-earliest")
    began = time.time()
    await cluster.start()
    after = await cluster.produce(COUNT)
    await all_received(cluster, receiver, "/ok", "/refusing", "/waiting", "/new", ids=after)
    await cluster.fed_live()  # what a lane reads was committed before
    await cluster.all_committed()
    # Who had an event, or a dead letter of it, gets it again; for whom it waits, it still does.
    for path in ("/ok", "/refusing"):
        assert receiver.ids(path) == {**dict.fromkeys(before, 2), **dict.fromkeys(after, 1)}
    assert receiver.ids("/waiting") == {
        **{id_: 1 if is_tenth(id_) else 2 for id_ in before},
        **dict.fromkeys(after, 1),
    }
    # Nobody is sent events from before its subscription.
    assert receiver.ids("/new") == dict.fromkeys(after, 1)
    for seen in receiver.seen:
        again = seen.at > began and seen.id in before
        assert seen.headers.get("planner-replay") == ("group-reset" if again else None)
        assert seen.attempt == 1
    assert await cluster.fetch("select from gaps") == []


async def test_a_group_moved_forward_by_a_person_skips_and_records_what_was_passed(
    cluster: Cluster, receiver: Receiver
) -> None:
    await cluster.subscribe(f"{receiver.url}/ok")
    worker = await cluster.start()
    before = await cluster.produce(COUNT)
    await all_received(cluster, receiver, "/ok")
    await cluster.fed_live()
    await cluster.all_committed()
    assert await worker.terminate() == 0
    passed = await cluster.produce(COUNT)
    await reset_offsets(cluster, "--to-latest")
    worker = await cluster.start()
    after = await cluster.produce(COUNT)
    await eventually(lambda: receiver.ids().keys() >= set(after), within=30)
    await cluster.all_committed()
    assert receiver.ids() == dict.fromkeys([*before, *after], 1)
    is_gap = await covered(cluster)
    in_gaps = {
        orjson.loads(record.value)["id"]
        for record in await cluster.records(cluster.topic)
        if is_gap(record, record.offset)
    }
    assert in_gaps == set(passed)
    assert {row["reason"] for row in await cluster.fetch("select reason from gaps")} == {"skipped"}
    # A restart after it goes on where it was: a reset is honoured once.
    assert await worker.terminate() == 0
    await cluster.start()
    last = await cluster.produce(COUNT)
    await eventually(lambda: receiver.ids().keys() >= set(last), within=30)
    assert receiver.ids() == dict.fromkeys([*before, *after, *last], 1)
