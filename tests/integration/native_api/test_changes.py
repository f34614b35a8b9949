"""Changes to a subscription: merge patch, ETag, pause and resume, modes of delivery."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.cluster import (
    Cluster,
)
from tests.support.native import URL, Caller

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(60)]


async def test_a_change_is_a_merge_patch_and_gives_a_new_etag(owner: Caller) -> None:
    answer = await owner(
        "POST",
        "/v1/subscriptions",
        {"url": URL, "types": ["*"], "headers": {"X-Token": "0123456789abc"}, "max_in_flight": 3},
        status=201,
    )
    assert answer.headers["ETag"] == '"1"'
    path = answer.headers["Location"]
    assert path == f"/v1/subscriptions/{answer.json['id']}"
    patch = {"description": "new", "max_in_flight": None, "retry_schedule": [], "types": ["plan.*"]}
    changed = await owner("PATCH", path, patch)
    assert changed.headers["ETag"] == '"2"'
    expected = {**answer.json, **patch, "updated_at": changed.json["updated_at"]}
    expected.pop("secret")
    assert changed.json == expected
    assert changed.json["headers"] == {"X-Token": "0123…"}, "values may hold credentials"
    merged = await owner("PATCH", path, {"headers": {"X-More": "1", "x-token": None}})
    assert merged.json["headers"] == {"X-More": "…"}, "null removes one, the others stay"
    cleared = await owner("PATCH", path, {"headers": None, "retry_schedule": None})
    assert (cleared.json["headers"], cleared.json["retry_schedule"]) == ({}, None)
    same = await owner("PATCH", path, {"description": "new"})
    assert same.headers["ETag"] == cleared.headers["ETag"], "nothing was changed"
    assert (await owner("GET", path)).headers["ETag"] == '"4"'


async def test_a_client_certificate_is_shown_by_whose_it_is_and_its_key_never(
    owner: Caller, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, "authority")
    (first, key), (second, other) = authority.pair("first.example"), authority.pair("b.example")
    wanted = {"certificate": first, "key": key}
    body = {"url": URL, "types": ["*"], "client_certificate": wanted}
    made = await owner("POST", "/v1/subscriptions", body, status=201)
    path = f"/v1/subscriptions/{made.json['id']}"
    shown = made.json["client_certificate"]
    assert shown.keys() == {"subject", "not_after", "sha256"}
    assert shown["subject"] == "CN=first.example"
    assert [each["code"] for each in made.json["warnings"]] == ["certificate_ends"]  # in a day

    same = [{"client_certificate": each} for each in (shown, wanted)] + [{"description": ""}]
    for patch in same:  # as it is shown, as it was written, and left out
        assert (await owner("PATCH", path, patch)).headers["ETag"] == '"1"'
    patch = {"client_certificate": {"certificate": second, "key": other}}
    changed = await owner("PATCH", path, patch)
    assert changed.json["client_certificate"]["subject"] == "CN=b.example"
    for answer in (
        made,
        changed,
        await owner("GET", path),
        await owner("GET", "/v1/subscriptions"),
    ):
        assert b"BEGIN" not in answer.body
    entries = await owner("GET", f"/v1/audit?object={made.json['id']}")
    told = entries.json["data"][0]
    assert (told["before"], told["after"]) == (
        {"client_certificate": shown},
        {"client_certificate": changed.json["client_certificate"]},
    )
    assert b"BEGIN" not in entries.body
    gone = await owner("PATCH", path, {"client_certificate": None})
    assert (gone.json["client_certificate"], gone.json["warnings"]) == (None, [])


async def test_all_faults_of_a_client_certificate_are_told_at_once(
    owner: Caller, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.pair("first.example")
    expired, _ = authority.pair("expired.example", expired=True)
    at = "/client_certificate"
    faulty: list[tuple[object, list[tuple[str, str]]]] = [
        ("PEM", [(at, "type")]),
        ({"cert": certificate}, [(f"{at}/cert", "unknown_field"), (f"{at}/certificate", "required"),
                                 (f"{at}/key", "required")]),
        ({"certificate": certificate, "key": 5}, [(f"{at}/key", "type")]),
        ({"certificate": expired, "key": key}, [(f"{at}/certificate", "expired"),
                                                (f"{at}/key", "mismatch")]),
        ({"certificate": "x" * 32_769, "key": ""}, [(f"{at}/certificate", "limit"),
                                                    (f"{at}/key", "empty")]),
    ]  # fmt: skip
    for written, faults in faulty:
        body = {"url": "nowhere", "types": ["*"], "client_certificate": written}
        answer = await owner("POST", "/v1/subscriptions", body, status=422)
        assert answer.faults[-len(faults) :] == faults
        assert ("/url", "scheme") in answer.faults
    plain = {"url": "http://127.0.0.1/", "types": ["*"]}
    pair = {"certificate": certificate, "key": key}
    answer = await owner(
        "POST", "/v1/subscriptions", {**plain, "client_certificate": pair}, status=422
    )
    assert answer.faults == [(at, "scheme")]
    made = await owner.make(client_certificate=pair)
    answer = await owner("PATCH", f"/v1/subscriptions/{made['id']}", plain, status=422)
    assert answer.faults == [("/url", "scheme")]


async def test_of_two_who_change_what_they_read_the_second_is_told(owner: Caller) -> None:
    made = await owner.make()
    path = f"/v1/subscriptions/{made['id']}"
    tag = (await owner("GET", path)).headers["ETag"]
    await owner("PATCH", path, {"description": "first"}, If_Match=tag)
    stale = await owner("PATCH", path, {"description": "second"}, status=412, If_Match=tag)
    assert stale.json["type"] == "/problems/stale"
    await owner("DELETE", path, status=412, If_Match=tag)
    assert (await owner("GET", path)).json["description"] == "first"
    await owner("PATCH", path, {"description": "third"}, If_Match="*")
    tag = (await owner("GET", path)).headers["ETag"]
    for foreign in ('"x"', '""', '"99999999999999999999"', "W/", '"1", "2"'):
        await owner("PATCH", path, {"description": "no"}, status=412, If_Match=foreign)
    await owner("DELETE", path, status=204, If_Match=tag)
    await owner("DELETE", path, status=404)


async def test_pausing_and_resuming_may_be_repeated(owner: Caller) -> None:
    made = await owner.make()
    path = f"/v1/subscriptions/{made['id']}"
    for _ in range(2):
        paused = (await owner("POST", f"{path}/pause")).json
        assert (paused["status"], paused["status_reason"]) == ("paused", "by its owner")
    for wrong, code in (("yesterday", "time"), (7, "time"), ("2999-01-01T00:00:00Z", "range")):
        answer = await owner("POST", f"{path}/resume", {"from": wrong}, status=422)
        assert answer.faults == [("/from", code)]
    answer = await owner("POST", f"{path}/resume", {"form": "now"}, status=422)
    assert answer.faults == [("/form", "unknown_field")], "else it would go on from elsewhere"
    assert (await owner("GET", path)).json["status"] == "paused"
    for body in (None, {"from": "where_it_stopped"}):
        resumed = (await owner("POST", f"{path}/resume", body)).json
        assert (resumed["status"], resumed["status_reason"]) == ("active", None)


async def test_resuming_elsewhere_and_more_types_promise_offsets_before_the_answer(
    cluster: Cluster, owner: Caller
) -> None:
    made = await owner.make(types=["plan.created"])
    path = f"/v1/subscriptions/{made['id']}"

    async def promised() -> set[str]:
        rows = await cluster.fetch("select kind from starts where subscription_id = $1", made["id"])
        return {row["kind"] for row in rows}

    await cluster.fetch("delete from starts where subscription_id = $1", made["id"])
    for body in (
        {"types": ["plan.created"]},
        {"description": "no more types"},
        {"types": ["plan.*"]},
    ):
        assert await promised() == set()
        await owner("PATCH", path, body)
    assert await promised() == {"types"}
    moment = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    for asked in ("now", moment):
        await owner("POST", f"{path}/resume", {"from": asked})
        assert await promised() == {"rewind"}
    entries = (await owner("GET", f"/v1/audit?object={made['id']}")).json["data"]
    assert [e["after"].get("from") for e in entries if e["action"] == "resume"] == [moment, "now"]


async def test_batches_have_bounds_and_defaults_and_each_fault_its_pointer(owner: Caller) -> None:
    made = await owner.make(delivery={"mode": "batch", "max_events": 7})
    path = f"/v1/subscriptions/{made['id']}"
    bounds = {"max_events": 7, "max_wait_ms": 1000, "max_bytes": 262_144}
    assert made["delivery"] == {"mode": "batch", **bounds}
    changed = (await owner("PATCH", path, {"delivery": {"max_wait_ms": 50}})).json
    assert changed["delivery"] == {"mode": "batch", **bounds, "max_wait_ms": 50}
    assert (await owner("PATCH", path, {"delivery": None})).json["delivery"] == {"mode": "each"}
    for wrong, faults in (
        (
            {"mode": "batch", "max_events": 0, "max_bytes": "a"},
            ["max_events range", "max_bytes type"],
        ),
        ({"mode": "batches"}, ["mode choice"]),
        ({"max_events": 7}, ["mode required", "max_events mode"]),
        ({"mode": "each", "max_wait_ms": 5}, ["max_wait_ms mode"]),
        (
            {"mode": "latest", "every_seconds": 0.5, "max_wait_ms": 5},
            ["every_seconds range", "max_wait_ms mode"],
        ),
        ({"mode": "latest", "every_seconds": "30"}, ["every_seconds type"]),
        ({"mode": "each", "every_seconds": 9}, ["every_seconds mode"]),
        ({"mode": "batch", "every_seconds": 9}, ["every_seconds mode"]),
        ({"mode": "batch", "max_event": 7}, ["max_event unknown_field"]),
    ):
        body = {"url": URL, "types": ["*"], "delivery": wrong}
        answer = await owner("POST", "/v1/subscriptions", body, status=422)
        expected = [(f"/delivery/{at}", code) for at, code in map(str.split, faults)]
        assert sorted(answer.faults) == sorted(expected)
    answer = await owner("PATCH", path, {"delivery": "batch"}, status=422)
    assert answer.faults == [("/delivery", "type")]


async def test_streams_alone_have_a_limit_of_age_and_each_fault_its_pointer(owner: Caller) -> None:
    limits = {"vehicle.position": 60}
    types = ["vehicle.position", "stop.*"]
    made = await owner.make(types=types, max_age_seconds=limits)
    path = f"/v1/subscriptions/{made['id']}"
    assert made["max_age_seconds"] == (await owner("GET", path)).json["max_age_seconds"] == limits
    for change, faults in (
        ({"max_age_seconds": 60}, [("/max_age_seconds", "type")]),
        (
            {"max_age_seconds": {"vehicle.position": 0.5, "stop.report.completed": 60}},
            [
                ("/max_age_seconds/stop.report.completed", "never_expires"),
                ("/max_age_seconds/vehicle.position", "range"),
            ],
        ),
        ({"max_age_seconds": {"route.track": 60}}, [("/max_age_seconds/route.track", "type")]),
        ({"types": ["stop.*"]}, [("/max_age_seconds/vehicle.position", "type")]),
        ({"ordered": "key"}, [("/ordered", "mode")]),
    ):
        assert sorted((await owner("PATCH", path, change, status=422)).faults) == faults
    widened = {"types": [*types, "route.track"], "max_age_seconds": {"route.track": 30.5}}
    changed = (await owner("PATCH", path, widened)).json
    assert changed["max_age_seconds"] == {**limits, "route.track": 30.5}
    changed = (await owner("PATCH", path, {"max_age_seconds": {"vehicle.position": None}})).json
    assert changed["max_age_seconds"] == {"route.track": 30.5}
    assert (await owner("PATCH", path, {"max_age_seconds": None})).json["max_age_seconds"] == {}


async def test_the_latest_is_every_30_seconds_by_default_and_in_no_other_order(
    owner: Caller,
) -> None:
    made = await owner.make(types=["vehicle.position"], delivery={"mode": "latest"})
    path = f"/v1/subscriptions/{made['id']}"
    assert made["delivery"] == {"mode": "latest", "every_seconds": 30}
    changed = (await owner("PATCH", path, {"delivery": {"every_seconds": 1.5}})).json
    assert changed["delivery"] == {"mode": "latest", "every_seconds": 1.5}
    answer = await owner("PATCH", path, {"ordered": "key"}, status=422)
    assert answer.faults == [("/ordered", "mode")]
    ordered = await owner.make(ordered="key")
    answer = await owner(
        "PATCH", f"/v1/subscriptions/{ordered['id']}", {"delivery": {"mode": "latest"}}, status=422
    )
    assert answer.faults == [("/delivery/mode", "mode")]
    batch = {"mode": "batch", "max_events": 7}
    changed = (await owner("PATCH", path, {"delivery": batch, "ordered": "key"})).json
    assert changed["delivery"]["max_events"] == 7
    assert "every_seconds" not in changed["delivery"]


async def test_a_disabled_subscription_is_enabled_by_resuming_it(
    cluster: Cluster, owner: Caller
) -> None:
    made = await owner.make()
    path = f"/v1/subscriptions/{made['id']}"
    await cluster.fetch(
        "update subscriptions set status = 'disabled', status_reason = 'gone' where id = $1",
        made["id"],
    )
    shown = (await owner("GET", path)).json
    assert (shown["status"], shown["status_reason"]) == ("disabled", "gone")
    assert (await owner("POST", f"{path}/resume")).json["status"] == "active"
