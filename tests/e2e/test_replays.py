"""Part of the log once more, for one subscription, beside its live traffic."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from services.kernel.clock import rfc3339
from tests.support.cluster import Cluster, Put, Receiver, Seen, an_event
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(120)
COUNT = 60


def now() -> str:
    return rfc3339(datetime.now(UTC))


def ago(**how_long: float) -> str:
    return rfc3339(datetime.now(UTC) - timedelta(**how_long))


async def ended(cluster: Cluster, id_: str) -> dict[str, Any]:
    """Wait for the end of a replay."""
    found: dict[str, Any] = {}

    async def done() -> bool:
        found.update(await cluster.call("GET", f"/v1/replays/{id_}"))
        return found["state"] in ("done", "cancelled", "failed")

    await eventually(done, within=30)
    return found


async def test_a_replay_sends_what_was_asked_for_once_more_beside_what_is_live(
    cluster: Cluster, receiver: Receiver
) -> None:
    id_ = await cluster.subscribe(f"{receiver.url}/asked", types=["plan.*"])
    await cluster.subscribe(f"{receiver.url}/other", types=["plan.*", "webhook.*"])
    path = f"/v1/subscriptions/{id_}/replays"
    worker = await cluster.start()
    began = ago(seconds=1)
    ids = await cluster.produce(COUNT)
    await eventually(lambda: receiver.ids("/asked").keys() >= set(ids), within=30)
    middle = now()
    live = await cluster.produce(5)
    await eventually(lambda: receiver.ids("/asked").keys() >= set(live), within=30)
    counted = await cluster.call("POST", path, {"from": began, "to": middle, "dry_run": True})
    assert (counted["events"], counted["complete"]) == (COUNT, True)
    assert counted["bytes"] > COUNT * 600
    await eventually(lambda: receiver.ids("/other").keys() >= {*ids, *live}, within=30)
    receiver.seen.clear()
    job = await cluster.call("POST", path, {"from": began, "to": middle}, status=202)
    done = await ended(cluster, job["id"])
    assert (done["state"], done["done"], done["sent"]) == ("done", COUNT, COUNT)
    assert receiver.ids("/asked") == dict.fromkeys(ids, 1)

    def ends() -> list[Seen]:
        type_ = "webhook.replay_finished"
        return [each for each in receiver.seen if each.headers["planner-event-type"] == type_]

    await eventually(ends)  # the others are told of the end
    (told,) = ends()
    assert told.path == "/other"
    data = orjson.loads(told.body)["data"]
    assert (data["replay_id"], data["state"], data["delivered"]) == (job["id"], "done", COUNT)
    sent = [seen for seen in receiver.seen if seen.path == "/asked"]
    assert {seen.headers.get("planner-replay") for seen in sent} == {job["id"]}
    # Slowly; the worker dies meanwhile, and another goes on. Then one plan of it.
    receiver.seen.clear()
    slow = {"from": began, "to": middle, "rate": 20}
    job = await cluster.call("POST", path, slow)
    await eventually(lambda: len(receiver.ids("/asked")) >= 10)
    await worker.kill()
    # Nobody is there to end it: one beside it is refused however long that takes.
    refused = await cluster.call("POST", path, {"from": began}, status=422)
    assert [(f["pointer"], f["code"]) for f in refused["errors"]] == [("/from", "overlap")]
    await cluster.start()
    done = await ended(cluster, job["id"])
    counts = receiver.ids("/asked")
    assert counts.keys() == set(ids)
    assert sum(counts.values()) <= COUNT + 20 * 1.5 + 8  # since the cursor was last kept
    receiver.seen.clear()
    job = await cluster.call("POST", path, {"from": began, "to": middle, "plan_id": ids[7]})
    await ended(cluster, job["id"])
    assert receiver.ids("/asked") == {ids[7]: 1}
    listed = await cluster.call("GET", f"/v1/replays?subscription={id_}")
    assert [row["state"] for row in listed["data"]] == ["done"] * 3


async def test_a_failed_event_is_retried_on_its_own_and_a_cancelled_replay_stops(
    cluster: Cluster, receiver: Receiver
) -> None:
    id_ = await cluster.subscribe(f"{receiver.url}/ok", retry_schedule=[1, 1])
    path = f"/v1/subscriptions/{id_}/replays"
    await cluster.start()
    began = ago(seconds=1)
    ids = await cluster.produce(COUNT)
    await eventually(lambda: receiver.ids("/ok").keys() >= set(ids), within=30)
    middle = now()
    receiver.seen.clear()
    receiver.answers["/ok"] = lambda seen: 500 if seen.id == ids[3] and seen.attempt == 1 else 200
    job = await cluster.call("POST", path, {"from": began, "to": middle})
    assert (await ended(cluster, job["id"]))["state"] == "done"
    again = {**dict.fromkeys(ids, 1), ids[3]: 2}
    await eventually(lambda: receiver.ids("/ok") == again)
    assert {seen.headers.get("planner-replay") for seen in receiver.seen} == {job["id"]}
    receiver.seen.clear()
    job = await cluster.call("POST", path, {"from": began, "to": middle, "rate": 5})
    await eventually(lambda: len(receiver.seen) >= 3)
    cancelled = await cluster.call("POST", f"/v1/replays/{job['id']}/cancel", status=202)
    assert cancelled["state"] == "cancelled"
    again = await cluster.call("POST", f"/v1/replays/{job['id']}/cancel", status=202)
    assert again["state"] == "cancelled"
    replayed = 0

    async def has_stopped() -> bool:
        nonlocal replayed
        before, replayed = replayed, len(receiver.seen)
        return replayed == before

    await eventually(has_stopped, every=1.0)  # at its rate it would have sent five
    assert replayed < COUNT
    await cluster.produce(5)

    def live() -> int:
        return sum("planner-replay" not in seen.headers for seen in receiver.seen)

    await eventually(lambda: live() == 5)
    assert len(receiver.seen) < COUNT
    await cluster.call("POST", f"/v1/subscriptions/{id_}/pause")
    await cluster.call("POST", path, {"from": began}, status=409)


async def test_a_replay_of_an_ordered_subscription_keeps_the_order_past_a_failure(
    cluster: Cluster, receiver: Receiver
) -> None:
    fields = {"types": ["plan.*"], "ordered": "key", "retry_schedule": [1, 1, 1]}
    id_ = await cluster.subscribe(f"{receiver.url}/ok", **fields)
    await cluster.start()
    began = ago(seconds=1)
    ids = await cluster.produce(COUNT)
    await eventually(lambda: receiver.ids("/ok").keys() >= set(ids), within=30)
    middle = now()
    receiver.seen.clear()
    receiver.answers["/ok"] = lambda seen: 500 if seen.id == ids[7] and seen.attempt == 1 else 200
    path = f"/v1/subscriptions/{id_}/replays"
    job = await cluster.call("POST", path, {"from": began, "to": middle})
    assert (await ended(cluster, job["id"]))["sent"] == COUNT
    assert receiver.ids("/ok") == {**dict.fromkeys(ids, 1), ids[7]: 2}
    order = [seen.id for seen in receiver.seen]
    assert order.index(ids[57]) > len(order) - 1 - order[::-1].index(ids[7])  # of the same key


async def test_all_that_is_wrong_is_said_at_once_with_its_place(
    cluster: Cluster, receiver: Receiver
) -> None:
    id_ = await cluster.subscribe(f"{receiver.url}/ok")
    path = f"/v1/subscriptions/{id_}/replays"
    wrong = {
        "from": now(),
        "to": ago(hours=1),
        "key": "5e208446c97efa37d4830bff:plan",
        "rate": 0,
        "speed": -1,
        "types": ["no.such"],
        "vehicle": "v1",
    }
    refused = await cluster.call("POST", path, wrong, status=422)
    assert {fault["pointer"] for fault in refused["errors"]} == {
        "/from", "/key", "/rate", "/speed", "/types/0", "/vehicle",
    }  # fmt: skip
    value = an_event(f"{1:024x}", project=cluster.project)
    await cluster.put(Put(orjson.dumps(orjson.loads(value)), key=b"k"), partition=0)
    nothing = await cluster.call("POST", path, {"from": ago(days=2), "to": ago(days=1)})
    assert (nothing["state"], nothing["total"]) == ("done", 0)
    span = {"from": ago(days=400), "to": ago(days=399), "dry_run": True}
    gone = await cluster.call("POST", path, span, status=422)
    (fault,) = gone["errors"]
    assert (fault["pointer"], fault["code"]) == ("/from", "outside_of_log")
    assert "it can be had from 20" in fault["message"]
