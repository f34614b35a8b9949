"""Requests made at once: test calls, misbehaviour on purpose, a simulated day, probes."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from services.deliver import verify as rules
from tests.support.cluster import (
    Cluster,
    Receiver,
    Seen,
    free_port,
)
from tests.support.native import Caller, all_subscriptions

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(60)]
PAUSE = timedelta(seconds=10)
"""Between two requests of a test call, at most."""


async def test_a_test_call_shows_the_attempt_also_while_paused(
    owner: Caller, receiver: Receiver
) -> None:
    made = await owner.make(url=f"{receiver.url}/hook", profile="planner-v2")
    path = f"/v1/subscriptions/{made['id']}"
    await owner("POST", f"{path}/pause")
    receiver.answers["/hook"] = lambda _: 503
    attempt = (await owner("POST", f"{path}/test", {"type": "driver.created"})).json
    assert (attempt["trigger"], attempt["outcome"], attempt["status"]) == ("test", "http", 503)
    (seen,) = receiver.seen
    assert attempt["event_id"] == seen.headers["webhook-id"]
    assert attempt["trace_id"] in seen.headers["traceparent"]
    assert (attempt["type"], attempt["number"], attempt["verdict"]) == ("route.created", 1, None)
    phases = attempt["phases"]  # the loop's clock counts whole milliseconds
    assert 0 <= phases["first_byte_ms"] <= phases["total_ms"]
    assert (phases["connect_ms"] is None, phases["tls_ms"]) == (False, None)
    assert seen.headers["planner-test"] == "true"
    assert seen.headers["planner-event-type"] == "driver.created"
    assert orjson.loads(seen.body)["type"] == "driver.created"
    shown = (await owner("GET", path)).json
    assert (shown["failure_count"], shown["status"]) == (0, "paused")
    answer = await owner("POST", f"{path}/test", {"type": "plan.*"}, status=422)
    assert answer.faults == [("/type", "unknown_type")]
    answer = await owner("POST", f"{path}/test", {"tpye": "plan.created"}, status=422)
    assert answer.faults == [("/tpye", "unknown_field")]
    assert len(receiver.seen) == 1


async def test_each_misbehaviour_is_sent_as_it_says_and_a_correct_receiver_is_told_so(
    owner: Caller, receiver: Receiver
) -> None:
    # A slow body takes its four seconds, or half of the time limit: the rest is for a busy machine.
    made = await owner.make(url=f"{receiver.url}/hook", timeout_seconds=20)
    verifier = rules.parse(made["secret"])
    reasons: list[str] = []

    def correct(seen: Seen) -> int:
        headers = {name.lower(): value for name, value in seen.headers.items()}
        found = rules.verify(verifier, headers=headers, body=seen.body, now=seen.at)
        reasons.append(found.reason)
        return 200 if found.valid else 401

    receiver.answers["/hook"] = correct
    for misbehave, events, verified in (
        ("twice", 1, ["ok", "ok"]),
        ("out_of_order", 2, ["ok", "ok"]),
        ("late", 1, ["ok"]),
        ("slow", 1, ["ok"]),
        ("old_signature", 2, ["ok", "too_old"]),
        ("large", 1, ["ok"]),
    ):
        reasons.clear()
        receiver.seen.clear()
        body = {"type": "stop.created", "misbehave": misbehave}
        tested = (await owner("POST", f"/v1/subscriptions/{made['id']}/test", body)).json
        assert (reasons, tested["bench"]["correct"]) == (verified, True), tested["bench"]["found"]
        assert len(receiver.ids()) == events
        assert {seen.headers["planner-test"] for seen in receiver.seen} == {"true"}
        sent = [each["event_id"] for each in tested["bench"]["attempts"]]
        assert sent == [seen.id for seen in receiver.seen]
        times = [datetime.fromisoformat(orjson.loads(s.body)["created_at"]) for s in receiver.seen]
        if misbehave == "out_of_order":
            assert times[0] - times[1] == pytest.approx(timedelta(minutes=10), abs=PAUSE)
        if misbehave == "late":
            assert datetime.now(UTC) - times[0] > timedelta(hours=5)
        assert (len(receiver.seen[0].body) > 5_000_000) == (misbehave == "large")


async def test_a_receiver_that_takes_anything_is_told_what_is_wrong_with_that(
    owner: Caller, receiver: Receiver
) -> None:
    made = await owner.make(url=f"{receiver.url}/hook")
    path = f"/v1/subscriptions/{made['id']}/test"
    bench = (await owner("POST", path, {"misbehave": "old_signature"})).json["bench"]
    assert bench["correct"] is False
    assert "whoever recorded one could send it again" in bench["found"]
    answer = await owner("POST", path, {"misbehave": "twise"}, status=422)
    assert answer.faults == [("/misbehave", "choice")]
    assert len(receiver.seen) == 2


async def test_a_delivery_day_is_sent_step_by_step_as_the_webhook_would_get_it(
    owner: Caller, receiver: Receiver
) -> None:
    made = await owner.make(
        url=f"{receiver.url}/hook", types=["plan.*", "service.report", "route.started"]
    )
    path = f"/v1/subscriptions/{made['id']}/test-day"
    steps, begin = [], 0
    while begin is not None:
        step = (await owner("POST", path, {"seed": 7, "from": begin, "events": 20})).json
        steps.append(step)
        begin = step["next"]
    assert [step["from"] for step in steps] == [0, 20]
    total = steps[0]["total"]
    assert total == len(receiver.seen) == len(receiver.ids()) == 22
    types = [seen.headers["planner-event-type"] for seen in receiver.seen]
    assert (types[0], types[-1]) == ("plan.created", "plan.status_changed")
    assert types.count("service.report") == 16, "the name that was asked for"
    assert all(orjson.loads(seen.body)["test"] for seen in receiver.seen)
    again = (await owner("POST", path, {"seed": 7, "events": 1})).json
    assert again["attempts"][0]["event_id"] == receiver.seen[0].id, "the same seed, the same day"
    await owner("PATCH", f"/v1/subscriptions/{made['id']}", {"types": ["geofence.*"]})
    answer = await owner("POST", path, {}, status=422)
    assert answer.faults == [("", "nothing")]
    answer = await owner("POST", path, {"sead": 1, "from": -1, "events": 51}, status=422)
    assert set(answer.faults) == {
        ("/sead", "unknown_field"), ("/from", "range"), ("/events", "range"),
    }  # fmt: skip


async def test_a_probe_tells_whether_a_url_answers_and_stores_nothing(
    cluster: Cluster, owner: Caller
) -> None:
    path = "/v1/subscriptions/probe"
    probe = (await owner("POST", path, {"url": f"{cluster.api}/healthz"})).json
    assert (probe["dns"], probe["tls"], probe["status"], probe["errors"]) == ("ok", None, 200, [])
    probe = (await owner("POST", path, {"url": f"{cluster.api}/nowhere"})).json
    assert (probe["status"], probe["errors"]) == (404, []), "any status: somebody is there"
    port = free_port()
    probe = (await owner("POST", path, {"url": f"http://127.0.0.1:{port}/"})).json
    assert (probe["status"], len(probe["errors"])) == (None, 1)
    assert probe["address"] == f"127.0.0.1:{port}", "where it tried"
    wrong = {"url": f"{cluster.api}/healthz", "client_certificate": {"certificate": "x"}}
    answer = await owner("POST", path, wrong, status=422)
    assert ("/client_certificate/key", "required") in answer.faults
    assert await all_subscriptions(owner) == []
