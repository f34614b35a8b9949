"""Whole dispatchers, killed and stopped under load: nothing is lost, and hardly anything repeats."""

import asyncio
import math
import os
import signal
from collections import Counter

import orjson
import pytest

from tests.support.cluster import Cluster, Process, Receiver, repeats
from tests.support.eventually import eventually
from tests.support.settled import Place, Settled, place_of, settled

ROUNDS = 20 if os.environ.get("WEBHOOKS_TEST_LONG") else 3
RATE = 300.0
REVOKE_SECONDS = 2.0
"""The default: so long an owner waits for answers in a rebalance; at its end it waits for longer."""

pytestmark = pytest.mark.timeout(300)


async def all_received(cluster: Cluster, receiver: Receiver, *, within: float = 60) -> None:
    await eventually(lambda: receiver.ids().keys() >= cluster.produced.keys(), within=within)


async def steady(cluster: Cluster, receiver: Receiver) -> None:
    """Wait until the worker has caught up with the producer, and then for a second of load."""
    seen = len(receiver.ids())
    await eventually(lambda: len(receiver.ids()) > seen, within=60)
    await eventually(lambda: len(receiver.ids()) >= len(cluster.produced) - 20, within=60)
    seen = len(receiver.ids())
    await eventually(lambda: len(receiver.ids()) > seen + RATE, within=60)


async def written_down(cluster: Cluster, receiver: Receiver, id_: str) -> None:
    """Wait until Kafka and Postgres know how all went that has been received by now."""
    received = {place_of(seen) for seen in receiver.seen}

    async def done() -> bool:
        durable = await settled(cluster, id_)
        return all(map(durable.is_written, received))

    await eventually(done, within=60)


async def test_a_killed_dispatcher_loses_nothing_and_repeats_nothing_that_was_written_down(
    cluster: Cluster, receiver: Receiver
) -> None:
    """Repeats: what commit, cursors and rows don't say is settled at the kill. That is what was in
    flight, and acknowledged since they were last written; how much, the machine's speed decides."""
    id_ = await cluster.subscribe(f"{receiver.url}/ok")
    worker = await cluster.start()
    await cluster.fed_live()
    load = asyncio.create_task(cluster.produce_until_stopped(rate=RATE))
    kills: list[tuple[int, Settled]] = []
    for _ in range(ROUNDS):
        await steady(cluster, receiver)
        await written_down(cluster, receiver, id_)
        await worker.kill()
        kills.append((len(receiver.seen), await settled(cluster, id_)))
        worker = await cluster.start()
    await steady(cluster, receiver)
    await written_down(cluster, receiver, id_)
    cluster.stop_producing()
    await load
    await all_received(cluster, receiver)
    for before, durable in kills:
        sent = {place_of(seen) for seen in receiver.seen[:before]}
        again = sent & {place_of(seen) for seen in receiver.seen[before:]}
        assert not list(filter(durable.is_through, again))


def may_repeat(cluster: Cluster) -> dict[int, int]:
    """Return from which offset on a partition may be sent again whose owner says that its last commit
    was not done: from where the next one began. A rebalance waits for that commit, so it is tried once,
    for a second.
    """
    told = ("partitions_released", "partition_begins")
    lines = [
        (str(line["timestamp"]), process, line)
        for process in cluster.processes
        for line in process.lines()
        if line["event"] in told
    ]
    owners: dict[str, Process] = {}
    waiting: set[str] = set()
    found: dict[int, int] = {}
    for _, process, line in sorted(lines, key=lambda each: each[0]):
        if line["event"] == "partitions_released":
            # Whoever slept through its membership lets go of what is another's by then.
            own = {each for each in line["partitions"] if owners.get(each) is process}
            waiting |= set() if line["committed"] else own
            continue
        owners[line["partition"]] = process
        if line["partition"] in waiting:
            waiting.remove(line["partition"])
            number = int(line["partition"].rpartition("/")[2])
            found[number] = min(line["offset"], found.get(number, line["offset"]))
    return found


def repeated(cluster: Cluster, receiver: Receiver, path: str) -> list[Place]:
    """Return what came again, each time that it did, and was not left out by a last commit that wasn't
    done."""
    counts = Counter(place_of(seen) for seen in receiver.seen if seen.path == path)
    uncommitted = may_repeat(cluster)
    return [
        place
        for place, count in counts.items()
        if place.offset < uncommitted.get(place.partition, math.inf)
        for _ in range(count - 1)
    ]


def still_open(cluster: Cluster) -> int:
    """Return how many requests had no answer within the time that a partition's owner waits for it before
    it lets go: they are sent again."""
    lines = [line for process in cluster.processes for line in process.lines()]
    released = [line for line in lines if line["event"] == "partitions_released"]
    return sum(
        line["still_in_flight"] for line in released if line["waited_seconds"] >= REVOKE_SECONDS
    )


async def test_a_stopped_dispatcher_loses_nothing_and_repeats_nothing_that_it_could_commit(
    cluster: Cluster, receiver: Receiver
) -> None:
    await cluster.subscribe(f"{receiver.url}/a")
    await cluster.subscribe(f"{receiver.url}/slow")
    receiver.delays["/slow"] = 0.3
    worker = await cluster.start()
    load = asyncio.create_task(cluster.produce_until_stopped(rate=RATE))
    for _ in range(ROUNDS):
        await steady(cluster, receiver)
        assert await worker.terminate() == 0
        worker = await cluster.start()
    cluster.stop_producing()
    await load
    for path in ("/a", "/slow"):
        await eventually(
            lambda path=path: receiver.ids(path).keys() >= cluster.produced.keys(), within=300
        )
        assert len(repeated(cluster, receiver, path)) <= still_open(cluster)


async def test_a_dispatcher_that_slept_through_its_membership_changes_nothing(
    cluster: Cluster, receiver: Receiver
) -> None:
    await cluster.subscribe(f"{receiver.url}/ok")
    sleeper = await cluster.start("w0")
    await cluster.fed_live()
    await cluster.produce(300)
    await all_received(cluster, receiver)
    await cluster.all_committed()
    sleeper.signal(signal.SIGSTOP)
    heir = await cluster.start("w1")
    await cluster.produce(600, rate=RATE)
    await all_received(cluster, receiver, within=60)
    sleeper.signal(signal.SIGCONT)
    await cluster.produce(600, rate=RATE)
    await all_received(cluster, receiver)
    await cluster.all_committed()
    assert heir.process.returncode is None
    assert len(repeated(cluster, receiver, "/ok")) <= 64


async def test_partitions_move_between_workers_without_loss_or_repeats_of_what_was_committed(
    cluster: Cluster, receiver: Receiver
) -> None:
    await cluster.subscribe(f"{receiver.url}/ok")
    first = await cluster.start("w0")
    load = asyncio.create_task(cluster.produce_until_stopped(rate=RATE))
    await steady(cluster, receiver)
    second = await cluster.start("w1")
    await eventually(lambda: second.logged("partition_begins"), within=60)
    third = await cluster.start("w2")
    await eventually(lambda: third.logged("partition_begins"), within=60)
    assert await second.terminate() == 0
    assert await first.terminate() == 0
    await steady(cluster, receiver)
    cluster.stop_producing()
    await load
    await all_received(cluster, receiver, within=90)
    assert len(repeated(cluster, receiver, "/ok")) <= still_open(cluster)


async def test_a_receiver_that_was_down_gets_everything_and_others_notice_nothing(
    cluster: Cluster, receiver: Receiver
) -> None:
    await cluster.subscribe(f"{receiver.url}/ok")
    await cluster.subscribe(f"{receiver.url}/down", retry_schedule=[1, 1, 2, 2, 4, 4, 8, 8])
    receiver.answers["/down"] = lambda _: 500
    await cluster.start()
    await cluster.produce(900, rate=RATE)
    await eventually(lambda: receiver.ids("/ok").keys() >= cluster.produced.keys(), within=30)
    assert repeats(receiver.ids("/ok")) == {}
    receiver.answers["/down"] = lambda _: 200
    succeeded: Counter[str] = Counter()

    def count() -> int:
        nonlocal succeeded
        succeeded = receiver.ids("/down")
        return len(succeeded)

    await eventually(lambda: count() >= 900, within=60)
    await eventually(lambda: rows_gone(cluster), within=60)


async def rows_gone(cluster: Cluster) -> bool:
    return (await cluster.fetch("select count(*) from retries"))[0][0] == 0


async def test_each_answer_leads_where_the_table_says(cluster: Cluster, receiver: Receiver) -> None:
    answers = {"/gone": 410, "/redirect": 302, "/missing": 404}
    ids = {}
    for path, status in answers.items():
        receiver.answers[path] = lambda _, status=status: status
        ids[path] = await cluster.subscribe(
            f"{receiver.url}{path}", types=["plan.*"], retry_schedule=[1]
        )
    await cluster.subscribe(f"{receiver.url}/ops", types=["webhook.*"])
    worker = await cluster.start()
    await cluster.produce(1)

    async def dead() -> dict[str, str]:
        rows = await cluster.fetch("select subscription_id, reason, status from dead_letters")
        return {row["subscription_id"]: (row["reason"], row["status"]) for row in rows}

    async def all_dead() -> bool:
        return len(await dead()) == len(answers)

    await eventually(all_dead, within=30)
    assert await dead() == {
        ids["/gone"]: ("gone", 410),
        ids["/redirect"]: ("exhausted", 302),
        ids["/missing"]: ("exhausted", 404),
    }
    assert receiver.ids("/gone").total() == 1
    assert receiver.ids("/missing").total() == 2
    failed = [line for line in worker.lines() if line["event"] == "attempt_failed"]
    assert Counter(line["status"] for line in failed) == {410: 1, 302: 2, 404: 2}
    assert "/missing" not in worker.log.read_text()

    def disabled() -> list[str]:
        told = [orjson.loads(seen.body) for seen in receiver.seen if seen.path == "/ops"]
        return [e["data"]["subscription_id"] for e in told if e["type"] == "webhook.disabled"]

    await eventually(disabled, within=30)  # that the others are failing may be told before
    assert disabled() == [ids["/gone"]]
    shown = await cluster.call("GET", f"/v1/subscriptions/{ids['/gone']}")
    assert (shown["status"], shown["status_reason"]) == ("disabled", "gone")
