"""`Idempotency-Key`: a repeated POST is done once."""

import asyncio
from contextlib import suppress

import orjson
import pytest

from tests.support.cluster import (
    Cluster,
    Receiver,
)
from tests.support.eventually import eventually
from tests.support.native import URL, Caller, all_subscriptions, raw_request, with_key

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(60)]


async def test_a_repeated_post_is_done_once_and_answered_alike(owner: Caller) -> None:
    body = {"url": URL, "types": ["*"]}
    first = await owner("POST", "/v1/subscriptions", body, status=201, Idempotency_Key="k1")
    again = await owner("POST", "/v1/subscriptions", body, status=201, Idempotency_Key="k1")
    assert again.body == first.body, "the secret too: the first answer may have been lost"
    for name in ("ETag", "Location", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    assert "Idempotent-Replay" not in first.headers
    assert again.headers["Idempotent-Replay"] == "true"
    assert len(await all_subscriptions(owner)) == 1
    await owner("POST", "/v1/subscriptions", body, status=201, Idempotency_Key="k2")
    assert len(await all_subscriptions(owner)) == 2


async def test_another_request_under_a_used_key_is_refused(owner: Caller) -> None:
    body = {"url": URL, "types": ["*"]}
    made = await owner("POST", "/v1/subscriptions", body, Idempotency_Key="k")
    for path, sent in [
        ("/v1/subscriptions", {**body, "description": "another"}),
        (f"/v1/subscriptions/{made.json['id']}/pause", body),
    ]:
        answer = await owner("POST", path, sent, status=422, Idempotency_Key="k")
        assert answer.faults == [("Idempotency-Key", "idempotency_key")]
    (only,) = await all_subscriptions(owner)
    assert only["status"] == "active"


async def test_a_key_belongs_to_who_is_calling(operator: Caller, owner: Caller) -> None:
    colleague = await with_key(operator, owner.project, "manage")
    body = {"url": URL, "types": ["*"]}
    first = await owner("POST", "/v1/subscriptions", body, Idempotency_Key="k")
    second = await colleague("POST", "/v1/subscriptions", body, Idempotency_Key="k")
    assert first.json["id"] != second.json["id"]


async def test_a_refused_request_leaves_its_key_free(owner: Caller) -> None:
    bad, good = {"url": URL, "types": ["nothing"]}, {"url": URL, "types": ["*"]}
    await owner("POST", "/v1/subscriptions", bad, status=422, Idempotency_Key="k")
    await owner("POST", "/v1/subscriptions", b"{", status=415, Idempotency_Key="k")
    await owner("POST", "/v1/subscriptions", good, status=201, Idempotency_Key="k")


async def test_while_the_first_runs_a_second_is_told_so(owner: Caller, receiver: Receiver) -> None:
    made = await owner.make(url=f"{receiver.url}/slow")
    path = f"/v1/subscriptions/{made['id']}/test"
    receiver.delays["/slow"] = 14.0  # as good as for ever
    first = asyncio.create_task(owner("POST", path, {}, Idempotency_Key="k"))
    await eventually(lambda: receiver.seen)
    await owner("POST", path, {}, status=409, Idempotency_Key="k")
    await owner("POST", path, {"type": "plan.created"}, status=422, Idempotency_Key="k")
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    assert len(receiver.seen) == 1


async def test_a_key_that_cannot_be_kept_is_refused(cluster: Cluster, owner: Caller) -> None:
    body = {"url": URL, "types": ["*"]}
    longest = "k" * 255
    await owner("POST", "/v1/subscriptions", body, status=201, Idempotency_Key=longest)
    answer = await owner(
        "POST", "/v1/subscriptions", body, status=422, Idempotency_Key=longest + "k"
    )
    assert answer.faults == [("Idempotency-Key", "limit")]
    head = ("POST /v1/projects HTTP/1.1", "Content-Length: 0", "Idempotency-Key: \xe9")
    status, said = await raw_request(cluster, *head)
    assert (status, orjson.loads(said)["errors"][0]["parameter"]) == (422, "Idempotency-Key")


async def test_only_a_post_takes_an_idempotency_key(owner: Caller) -> None:
    made = await owner.make()
    path = f"/v1/subscriptions/{made['id']}"
    for description in ("one", "two"):
        body = {"description": description}
        answer = await owner("PATCH", path, body, Idempotency_Key="k")
        assert answer.json["description"] == description
