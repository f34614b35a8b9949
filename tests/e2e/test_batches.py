"""Batches: one signed array of events, full or after a wait, resent byte for byte."""

import orjson
import pytest
from aiohttp import web

from services.deliver.signing import parse_secret, sign
from services.kernel.ids import delivery_id
from services.kernel.subscription import SignatureScheme, SigningKey
from tests.support.cluster import Cluster, Receiver, Seen, keep_history
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(90)

BATCH = {"mode": "batch", "max_events": 10, "max_wait_ms": 200, "max_bytes": 65_536}


def items(seen: Seen) -> list[str]:
    """Return the ids of the events in a request."""
    return [item["id"] for item in orjson.loads(seen.body)]


async def test_events_come_as_arrays_signed_once_and_what_failed_comes_again_byte_for_byte(
    cluster: Cluster, receiver: Receiver
) -> None:
    failed: list[Seen] = []

    def fails_once(seen: Seen) -> web.StreamResponse | int:
        if len(failed) < 2 and seen.attempt == 1:
            failed.append(seen)
            return 500
        return 200

    receiver.answers["/one"] = fails_once
    made = await cluster.subscribed(f"{receiver.url}/one", delivery=BATCH, retry_schedule=[1, 1, 1])
    await cluster.start()
    produced = set(await cluster.produce(95))

    def delivered() -> set[str]:
        return {id_ for seen in receiver.seen if seen not in failed for id_ in items(seen)}

    await eventually(lambda: delivered() == produced, within=30)
    key = SigningKey(SignatureScheme.V1, parse_secret(made["secret"]))
    for seen in receiver.seen:
        ids = items(seen)
        assert 1 <= len(ids) <= 10
        assert seen.headers["planner-batch-size"] == str(len(ids))
        assert seen.headers["planner-event-type"] == "plan.created"
        timestamp = int(seen.headers["webhook-timestamp"])
        signed = sign([key], id_=seen.id, timestamp=timestamp, body=seen.body, now=timestamp)
        assert seen.headers["webhook-signature"] == signed
    for first in failed:
        again = next(s for s in receiver.seen if s.id == first.id and s.attempt == 2)
        assert again.body == first.body
    acknowledged = [id_ for seen in receiver.seen if seen not in failed for id_ in items(seen)]
    assert len(acknowledged) == len(produced)
    assert max(len(items(seen)) for seen in receiver.seen) > 1
    assert len({seen.id for seen in receiver.seen}) == len(receiver.seen) - len(failed)
    await cluster.all_committed()

    async def is_at_home() -> bool:
        rows = await cluster.fetch("select distinct reason, attach_at from lanes")
        return [tuple(row) for row in rows] == [("batch", None)]

    await eventually(is_at_home)


async def test_an_acknowledged_batch_is_shown_as_it_was_sent_and_sent_again_byte_for_byte(
    cluster: Cluster, receiver: Receiver
) -> None:
    await keep_history(cluster)
    id_ = await cluster.subscribe(f"{receiver.url}/one", delivery=BATCH, types=["plan.created"])
    await cluster.start()
    await cluster.start("r0", role="record")
    produced = await cluster.produce(45)
    await eventually(lambda: sum(len(items(s)) for s in receiver.seen) == 45, within=30)
    sent = {seen.id: seen for seen in receiver.seen}
    assert max(len(items(seen)) for seen in sent.values()) > 1

    async def listed() -> bool:
        return len((await cluster.call("GET", "/v1/deliveries"))["data"]) == len(sent)

    await eventually(listed, within=30)
    for event_id in produced[::9]:
        (got,) = (await cluster.call("GET", f"/v1/deliveries?event_id={event_id}"))["data"]
        assert got["state"] == "acknowledged"
        assert event_id in items(sent[got["event_id"]])
    for seen in list(sent.values()):
        path = f"/v1/deliveries/{delivery_id(seen.id, id_)}"
        shown = await cluster.call("GET", path)
        request = shown["request"]
        assert shown["event_ids"] == items(seen)
        assert request["body"].encode() == seen.body
        names = [name for name in seen.headers if name.startswith(("webhook-", "planner-"))]
        assert {name: request["headers"][name] for name in names} == {
            name: seen.headers[name] for name in names
        }
    asked = {"subscription": id_, "state": "acknowledged"}
    made = await cluster.call("POST", "/v1/resends", asked, status=202)
    await eventually(lambda: receiver.ids() == dict.fromkeys(sent, 2), within=30)
    assert all(seen.body == sent[seen.id].body for seen in receiver.seen)

    async def ended() -> bool:
        job = await cluster.call("GET", f"/v1/resends/{made['id']}")
        return bool(job["state"] == "done" and job["missing"] == 0)

    await eventually(ended, within=30)
    await cluster.call("PATCH", f"/v1/subscriptions/{id_}", {"profile": "planner-v2"})
    (first, *_) = sent
    path = f"/v1/deliveries/{delivery_id(first, id_)}"
    shown = await cluster.call("GET", path)
    assert shown["request"] is None  # other bytes are not shown for it
    assert shown["event_ids"] == items(sent[first])
    await cluster.call("POST", f"{path}/resend", status=422)


async def test_a_few_events_wait_no_longer_than_they_may_and_a_test_call_is_an_array_too(
    cluster: Cluster, receiver: Receiver
) -> None:
    id_ = await cluster.subscribe(f"{receiver.url}/one", delivery={**BATCH, "max_events": 1000})
    await cluster.start()
    produced = await cluster.produce(3)
    await eventually(lambda: sum(len(items(s)) for s in receiver.seen) == 3, within=30)
    assert {each for seen in receiver.seen for each in items(seen)} == set(produced)
    await cluster.call("POST", f"/v1/subscriptions/{id_}/test", {"type": "plan.created"})
    test = receiver.seen[-1]
    assert test.headers["planner-test"] == "true"
    assert items(test) == [test.id]
