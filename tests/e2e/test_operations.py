"""What the service says of itself: told once, to the others, and never about its own telling."""

from collections import Counter
from typing import Any

import jsonschema_rs
import orjson
import pytest

from services import catalogue
from tests.support.cluster import Cluster, Receiver
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(120)


async def told(cluster: Cluster) -> list[Any]:
    """Return the operational events of the test's project."""
    events = [orjson.loads(r.value) for r in await cluster.records("webhooks.ops") if r.value]
    return [event for event in events if event["project_id"] == cluster.project]


def heard(receiver: Receiver, path: str) -> list[tuple[str, str]]:
    """Return which operational events came to *path*, and of whom."""
    bodies = [orjson.loads(seen.body) for seen in receiver.seen if seen.path == path]
    return [(body["type"], body["data"].get("subscription_id")) for body in bodies]


async def test_trouble_is_told_once_to_the_others_and_telling_of_it_in_vain_is_not_told_of(
    cluster: Cluster, receiver: Receiver
) -> None:
    once = {"retry_schedule": []}
    receiver.answers["/orders"] = lambda _: 503
    receiver.answers["/deaf"] = lambda _: 500
    receiver.answers["/marker"] = lambda _: 500
    watcher = await cluster.subscribe(f"{receiver.url}/watch", types=["webhook.*"])
    deaf = await cluster.subscribe(f"{receiver.url}/deaf", types=["webhook.*"], **once)
    orders = await cluster.subscribe(
        f"{receiver.url}/orders", types=["plan.*", "webhook.*"], **once
    )
    await cluster.start()

    await cluster.produce(3)  # three dead letters, one story
    await eventually(lambda: heard(receiver, "/watch") == [("webhook.failing", orders)], within=30)
    receiver.answers["/orders"] = lambda _: 200
    await cluster.produce(1)
    await eventually(
        lambda: heard(receiver, "/watch")[1:] == [("webhook.recovered", orders)], within=30
    )
    rotation = await cluster.call("POST", f"/v1/subscriptions/{orders}/secrets/rotate", {})
    await eventually(
        lambda: heard(receiver, "/watch")[2:] == [("webhook.secret_rotated", orders)], within=30
    )
    receiver.answers["/orders"] = lambda _: 410
    await cluster.produce(1)
    await eventually(
        lambda: heard(receiver, "/watch")[3:] == [("webhook.disabled", orders)], within=30
    )
    # Whoever is deaf has failed four times by now, and is told of before or together with this:
    await eventually(lambda: len(heard(receiver, "/deaf")) == 4, within=30)
    marker = await cluster.subscribe(f"{receiver.url}/marker", types=["plan.*"], **once)
    await cluster.produce(1)
    await eventually(lambda: ("webhook.failing", marker) in heard(receiver, "/watch"), within=30)

    events = await told(cluster)
    assert Counter((e["type"], e["data"]["subscription_id"]) for e in events) == {
        ("webhook.failing", orders): 1,
        ("webhook.recovered", orders): 1,
        ("webhook.secret_rotated", orders): 1,
        ("webhook.disabled", orders): 1,
        ("webhook.failing", marker): 1,
    }
    assert {deaf, watcher}.isdisjoint(event["data"]["subscription_id"] for event in events)
    assert [of for _, of in heard(receiver, "/orders") if of == orders] == []
    validator = jsonschema_rs.Draft202012Validator(catalogue.schema(), validate_formats=True)
    assert [error.message for e in events for error in validator.iter_errors(e)] == []
    by_type = {e["type"]: e["data"] for e in events if e["data"]["subscription_id"] == orders}
    assert by_type["webhook.failing"]["reason"] == "http_503"
    assert by_type["webhook.disabled"]["reason"] == "http_410"
    ends = rotation["previous_expires_at"]
    assert by_type["webhook.secret_rotated"]["previous_expires_at"] == ends


async def test_that_we_switched_one_off_is_in_the_audit(
    cluster: Cluster, receiver: Receiver
) -> None:
    receiver.answers["/gone"] = lambda _: 410
    gone = await cluster.subscribe(f"{receiver.url}/gone")
    await cluster.start()
    await cluster.produce(1)

    async def disabled() -> bool:
        found = await cluster.call("GET", f"/v1/audit?object={gone}&action=disable")
        return [(e["actor"], e["after"]["status"]) for e in found["data"]] == [
            ("system", "disabled")
        ]

    await eventually(disabled, within=30)
