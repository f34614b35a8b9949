"""Sending everything again: the group's offsets moved by hand, from the command line."""

import orjson
import pytest

from tests.support.cluster import Cluster, receiving
from tests.support.commands import Ended, planner_webhooks
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(180)


async def reset(cluster: Cluster, *arguments: str) -> Ended:
    words = ("reset-offsets", "--json", *arguments)
    return await planner_webhooks(*words, environment=cluster.environment)


async def test_what_was_sent_is_sent_again_and_says_that_it_is_a_replay(cluster: Cluster) -> None:
    async with receiving() as receiver:
        await cluster.subscribe(f"{receiver.url}/ok")
        worker = await cluster.start()
        ids = await cluster.produce(40)
        await eventually(lambda: receiver.ids().keys() >= set(ids), within=30)
        code, _, said = await reset(cluster, "--to-earliest")
        assert code == 1
        assert "has members: stop all dispatchers first" in said
        assert len(said.splitlines()) == 1
        assert await worker.terminate() == 0

        async def shown() -> bool:  # a static member is one until its session has timed out
            code, out, _ = await reset(cluster, "--to-earliest", "--dry-run")
            rows = [orjson.loads(line) for line in out.splitlines()]
            assert (code, len(rows)) == (0, 8 + 1)  # the service's own topic too
            rows = [row for row in rows if row["topic"] == cluster.topic]
            return sum(row["before"] for row in rows) == 40 and not any(r["after"] for r in rows)

        assert await shown()

        async def moved() -> bool:
            return (await reset(cluster, "--to-earliest"))[0] == 0

        await eventually(moved, within=60)
        receiver.seen.clear()
        await cluster.start()
        await eventually(lambda: receiver.ids().keys() == set(ids), within=30)
        assert {seen.headers.get("planner-replay") for seen in receiver.seen} == {"group-reset"}


async def test_a_reset_forward_moves_lanes_only_when_asked_to_and_a_gap_says_what_that_left_out(
    cluster: Cluster,
) -> None:
    async with receiving() as receiver:
        id_ = await cluster.subscribe(f"{receiver.url}/ok")
        worker = await cluster.start()
        await cluster.fed_live(id_)
        await cluster.pause(id_)
        await cluster.produce(30)
        await cluster.all_committed()
        sent = set(receiver.ids())
        missed = len(cluster.produced) - len(sent)
        assert missed > 30
        assert await worker.terminate() == 0
        forward = ("--to-offset", "1000000", "--with-lanes")

        async def moved() -> bool:
            return (await reset(cluster, *forward))[0] == 0

        _, out, _ = await reset(cluster, *forward, "--dry-run")
        lanes = sum(orjson.loads(line)["lanes"] for line in out.splitlines())
        assert 0 < lanes <= 8
        await eventually(moved, within=60)
        await cluster.start()

        async def left_out() -> int:
            gaps = await cluster.fetch(
                "select * from gaps where subscription_id = $1 and told_at is not null", id_
            )
            assert {gap["reason"] for gap in gaps} <= {"skipped"}
            return sum(gap["to_offset"] - gap["from_offset"] for gap in gaps)

        async def is_told() -> bool:
            return await left_out() == missed

        await eventually(is_told, within=30)
        await cluster.call("POST", f"/v1/subscriptions/{id_}/resume", {})
        later = await cluster.produce(10)
        await eventually(lambda: receiver.ids().keys() >= set(later), within=30)
        assert receiver.ids().keys() == {*sent, *later}


async def test_a_reset_forward_is_told_of_each_subscription_that_was_fed_what_it_left_out(
    cluster: Cluster,
) -> None:
    async with receiving() as receiver:
        fed = await cluster.subscribe(f"{receiver.url}/ok")
        await cluster.subscribe(f"{receiver.url}/watch", types=["webhook.gap"])
        worker = await cluster.start()
        ids = await cluster.produce(16)
        await eventually(lambda: receiver.ids("/ok").keys() == set(ids), within=30)
        await cluster.all_committed()
        before = await cluster.ends()
        assert await worker.terminate() == 0
        await cluster.produce(24)
        after = await cluster.ends()

        async def moved() -> bool:
            forward = ("--to-offset", "1000000", "--topic", cluster.topic)
            return (await reset(cluster, *forward))[0] == 0

        await eventually(moved, within=60)
        await cluster.start()

        def told() -> list[tuple[str, dict[str, object]]]:
            bodies = [orjson.loads(each.body) for each in receiver.seen if each.path == "/watch"]
            return sorted(
                ((body["type"], body["data"]) for body in bodies), key=lambda x: x[1]["partition"]
            )

        left_out = [
            (
                "webhook.gap",
                {
                    "subscription_id": fed,
                    "topic": cluster.topic,
                    "partition": number,
                    "from_offset": before[number],
                    "to_offset": after[number],
                    "reason": "skipped",
                },
            )
            for number in sorted(after)
            if after[number] > before[number]
        ]
        assert left_out
        await eventually(lambda: len(told()) >= len(left_out), within=30)
        assert told() == left_out
        later = await cluster.produce(8)
        await eventually(lambda: receiver.ids("/ok").keys() >= set(later), within=30)
        assert receiver.ids("/ok").keys() == {*ids, *later}


async def test_a_wrong_call_says_what_is_wrong_and_moves_nothing(cluster: Cluster) -> None:
    code, _, said = await reset(cluster)
    assert (code, said.strip()) == (
        2,
        "name one of --to-datetime, --to-offset, --to-earliest",
    )
    code, _, said = await reset(cluster, "--to-datetime", "yesterday")
    assert code == 2
    assert "'yesterday' is not a time like" in said
    topics = ("--topic", "no.such.topic", "--topic", f"{cluster.topic}:0,9", "--topic", "a:b")
    code, _, said = await reset(cluster, "--to-earliest", *topics)
    assert code == 2
    assert "no topic no.such.topic" in said
    assert f"{cluster.topic} has partitions 0 to 7, no 9" in said
    assert "'a:b' is not a topic" in said


async def test_what_lies_outside_of_the_log_is_its_nearest_end_and_that_is_said(
    cluster: Cluster,
) -> None:
    await cluster.produce(16)
    chosen = ("--topic", f"{cluster.topic}:1,3", "--dry-run")
    for target, end, note in (
        (("--to-datetime", "2999-01-01T00:00:00Z"), True, "the end: no record is from then or"),
        (("--to-offset", "1000000"), True, "the end: offset 1000000 doesn't exist yet"),
        (("--to-datetime", "2001-01-01T00:00:00Z"), False, None),
    ):
        code, out, said = await reset(cluster, *target, *chosen)
        assert code == 0, said
        rows = [orjson.loads(line) for line in out.splitlines()]
        assert [row["partition"] for row in rows] == [1, 3]
        ends = await cluster.ends()
        for row in rows:
            assert row["after"] == (ends[row["partition"]] if end else 0)
            assert row["note"] is None if note is None else row["note"].startswith(note)
