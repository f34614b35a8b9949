"""A filter tried on the real log, and for one event who gets it and why others don't."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.cluster import ADMIN_KEY, Cluster, Put, a_cluster
from tests.support.commands import planner_webhooks
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(120)

FROM = "2020-01-01T00:00:00.000Z"
URL = "http://127.0.0.1:1"
FINISHED = {"data": {"status": ["finished"]}}
PLANNING = {"data": {"status": ["planning"]}}
STATUSES = ("planning", "in_progress", "finished")


def a_plan(project: str, n: int, type_: str = "plan.created") -> Put:
    event = {
        "id": f"plan-{n}",
        "type": type_,
        "created_at": "2026-03-17T09:40:51.000Z",
        "project_id": project,
        "data": {"id": f"{n:024x}", "status": STATUSES[n % 3]},
    }
    return Put(orjson.dumps(event), key=f"{project}:{n}".encode())


async def dry_run(cluster: Cluster, **question: object) -> dict[str, Any]:
    """Make a job, and return it when it is over."""
    body = {"project_id": cluster.project, "types": ["plan.*"], "from": FROM, **question}
    job = await cluster.call("POST", "/v1/filters/dry-run", body, status=202)
    path = f"/v1/filters/dry-runs/{job['id']}"

    async def is_over() -> bool:
        nonlocal job
        job = await cluster.call("GET", path)
        return job["state"] not in ("queued", "running")

    await eventually(is_over, within=30)
    assert (await cluster.call("POST", f"{path}/cancel", {}))["state"] == job["state"]
    return job


async def test_a_filter_is_tried_on_the_log_before_it_is_stored(cluster: Cluster) -> None:
    await cluster.put(
        *(a_plan(cluster.project, n) for n in range(60)),
        *(a_plan(cluster.project, n, "plan.updated") for n in range(60, 90)),
        *(a_plan("5e208446c97efa37d4830b99", n) for n in range(30)),
        Put(b"no json"),
    )
    id_ = await cluster.subscribe(f"{URL}/s", types=["plan.created"], filter=PLANNING)
    job = await dry_run(cluster, filter=FINISHED, subscription=id_)
    assert job["state"] == "done"
    assert job["done"] == job["total"] >= 121  # webhooks.ops is read as well
    found = job["result"]
    assert (found["scanned"], found["matched"], found["complete"]) == (90, 30, True)
    assert found["types"] == {
        "plan.created": {"scanned": 60, "matched": 20},
        "plan.updated": {"scanned": 30, "matched": 10},
    }
    assert len(found["samples"]) == 3
    assert found["bytes"] > 30 * 100
    assert 0 < found["peak_per_second"] <= 30
    assert found["misses"]["explained"] == 60
    assert found["misses"]["clauses"] == [
        {"pointer": "/filter/data/status", "path": "data.status", "count": 60}
    ]
    change = found["change"]
    assert (change["gains"]["count"], change["losses"]["count"]) == (30, 20)


async def test_what_is_no_filter_or_no_time_is_no_job(cluster: Cluster) -> None:
    body = {"project_id": cluster.project, "types": ["plan.*"], "filter": {"dta": [1]}, "from": 5}
    answer = await cluster.call("POST", "/v1/filters/dry-run", body, status=422)
    assert {(fault["pointer"], fault["code"]) for fault in answer["errors"]} == {
        ("/filter/dta", "unknown_field"),
        ("/from", "time"),
    }


async def test_a_dry_run_ends_where_the_settings_say(
    kafka: str, database: str, tmp_path: Path
) -> None:
    async with a_cluster(kafka, database, tmp_path) as cluster:
        await cluster.processes[-1].terminate()
        await cluster.start("api", role="api", WEBHOOKS_API__DRY_RUN_EVENTS="50")
        await eventually(cluster._api_ready, within=30)
        await cluster.put(*(a_plan(cluster.project, n) for n in range(900)))
        found = (await dry_run(cluster, filter=FINISHED))["result"]
    assert 50 <= found["scanned"] < 900
    assert found["complete"] is False


async def test_each_subscription_says_why_it_gets_an_event_or_not(cluster: Cluster) -> None:
    made = {
        name: await cluster.subscribe(f"{URL}/{name}", types=types, filter=filter_)
        for name, types, filter_ in (
            ("gets", ["plan.*"], PLANNING),
            ("filter", ["plan.*"], FINISHED),
            ("type", ["stop.*"], None),
            ("paused", ["plan.created"], None),
        )
    }
    await cluster.call("POST", f"/v1/subscriptions/{made['paused']}/pause", {})
    await cluster.put(a_plan(cluster.project, 0), partition=3)
    made["created_later"] = await cluster.subscribe(f"{URL}/late", types=["plan.*"])
    path = f"/v1/events/{cluster.topic}/3/0/matches"
    found = await cluster.call("GET", path)
    assert (found["id"], found["type"]) == ("plan-0", "plan.created")
    reasons = {row["subscription_id"]: row["reason"] for row in found["data"]}
    assert reasons == {id_: None if name == "gets" else name for name, id_ in made.items()}
    assert found["data"][0]["match"] is True
    (refused,) = [row for row in found["data"] if row["reason"] == "filter"]
    (miss,) = refused["branches"][0]["misses"]
    assert (miss["pointer"], miss["actual"]) == ("/filter/data/status", "planning")
    await cluster.call("GET", f"/v1/events/{cluster.topic}/3/7/matches", status=404)
    await cluster.call("GET", "/v1/events/nowhere/3/0/matches", status=404)


async def test_the_command_line_says_what_a_filter_would_have_sent(
    cluster: Cluster, tmp_path: Path
) -> None:
    await cluster.put(*(a_plan(cluster.project, n) for n in range(30)))
    file = tmp_path / "filter.json"
    file.write_bytes(orjson.dumps(FINISHED))
    arguments = ("--types", "plan.*", "--from", FROM, "--project", cluster.project)
    words = ("filter", "dry-run", file, *arguments, "--api", cluster.api, "--key", ADMIN_KEY)
    code, out, err = await planner_webhooks(*words, environment=cluster.environment)
    assert (code, err) == (0, "")
    said = out.splitlines()
    assert said[0].startswith("would have sent 10 of 30 events, ")
    assert "  plan.created: 10 of 30" in said
    assert f"  {file}:1:19: 20 of 20 stopped at data.status" in said
