"""Attempts and deliveries through the API: found by each filter, page by page, exported whole."""

import csv
import io
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote

import orjson
import pytest

from services.control.history import filter_of_query
from services.kernel.about import About, together
from services.kernel.attempt import Outcome
from services.kernel.clock import rfc3339
from services.kernel.delivery import Trigger
from services.kernel.histogram import LEAST_MS, bucket, count, packed, quantiles, unpacked
from services.kernel.history import fits
from services.kernel.recorded import Recorded
from services.store.attempts import PostgresAttempts
from tests.support.api import ADMIN_KEY, ServedApi
from tests.support.eventually import eventually
from tests.support.native import Caller
from tests.support.recorded import LOG, a_record, a_recorded
from tests.support.rows import a_pool, an_id

NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=2)
"""Nothing is of the future, retries of the next day neither."""
DAYS = 3
PAIRS = 25
"""Filters that are asked for together."""
COUNT = 120
OTHERS = 5


async def stored(
    api: ServedApi, attempts: list[Recorded], *, day: datetime = NOW
) -> list[Recorded]:
    """Store *attempts*; return them newest first."""
    async with a_pool(api.dsn) as pool:
        store = PostgresAttempts(pool=pool)
        midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
        await store.make_days([midnight - timedelta(days=n) for n in range(-1, DAYS + 1)])
        await store.begin(LOG, before=None, offset=0)
        await store.store(LOG, [a_record(*attempts)], before=0, after=1)
        async with pool.connection() as connection:
            await connection.execute("analyze")
    return sorted(attempts, key=lambda attempt: attempt.id, reverse=True)


def a_history(project: str) -> list[Recorded]:
    """Return attempts over days, of some subscriptions, with every outcome; some are retried."""
    chance = random.Random(7)
    subscriptions = [an_id() for _ in range(3)]
    found = []
    for n in range(COUNT):
        good = n % 3 != 0
        at = NOW - timedelta(hours=chance.uniform(0, 24 * (DAYS - 1)))
        fields: dict[str, Any] = {
            "event_id": f"{n:024x}" if n % 5 else f"evt_{n}",
            "subscription_id": subscriptions[n % len(subscriptions)],
            "project_id": project,
            "about": About(
                ("plan.created", "stop.report.completed")[n % 2],
                plan_id=f"{n % 4:024x}",
                route_id=f"{n % 6:024x}" if n % 2 else None,
                stop_id=f"stop-{n % 9}",
                vehicle_id=f"{n % 7:024x}",
                external_id=f"order {n % 8}",
            ),
            "outcome": Outcome.OK if good else Outcome.HTTP,
            "status": 200 if good else (500, 503, 404)[n // 3 % 3],
            "excerpt": "" if good else f"no such Thing {n % 2}",
            "headers": () if good else (("Server", "=cmd"),),
            "verdict": "acknowledged" if good else ("retry", "dead")[n // 3 % 2],
            "first_byte": chance.uniform(0.001, 0.5),
        }
        found.append(a_recorded(n, at=at, **fields))
        if not good:  # once more, maybe on the next day
            again = {**fields, "number": 2, "trigger": Trigger.RETRY}
            if n % 2:
                again |= {"verdict": "acknowledged", "outcome": Outcome.OK, "status": 200}
            found.append(a_recorded(n, at=at + timedelta(hours=20), **again))
    found.append(a_recorded(at=NOW, project_id=project, trigger=Trigger.TEST, verdict=None))
    return found


def newest(attempts: list[Recorded]) -> list[Recorded]:
    """Return the last attempt of each delivery, in the order of *attempts*, which is newest first."""
    last: dict[str, Recorded] = {}
    for attempt in attempts:
        if attempt.trigger != Trigger.TEST:
            last.setdefault(attempt.delivery_id, attempt)
    return list(last.values())


async def listed(caller: Caller, path: str, query: str, *, limit: int) -> list[Any]:
    found: list[Any] = []
    cursor = ""
    while True:
        page = (await caller("GET", f"{path}?limit={limit}{query}{cursor}")).json
        found += page["data"]
        if page["next"] is None:
            return found
        assert len(page["data"]) == limit
        cursor = f"&cursor={page['next']}"


HALF = NOW - timedelta(hours=20)
FILTERS: dict[str, Callable[[Recorded], bool]] = {
    "": lambda _: True,
    "type=plan.created": lambda a: a.about.type == "plan.created",
    "type=plan.nothing": lambda _: False,
    "type=service.report.completed": lambda a: a.about.type == "stop.report.completed",
    "outcome=http": lambda a: a.outcome == "http",
    "verdict=retry": lambda a: a.verdict == "retry",
    "state=dead": lambda a: a.verdict == "dead",
    "state=parked": lambda a: a.verdict in ("retry", None),
    "state=acknowledged&verdict=retry": lambda _: False,
    "state=superseded": lambda _: False,
    "status=503": lambda a: a.status == 503,
    "status=5xx": lambda a: a.status in (500, 503),
    "event_id=evt_5": lambda a: a.event_id == "evt_5",
    f"event_id={6:024x}": lambda a: a.event_id == f"{6:024x}",
    f"plan_id={1:024x}": lambda a: a.about.plan_id == f"{1:024x}",
    f"route_id={1:024x}": lambda a: a.about.route_id == f"{1:024x}",
    "stop_id=stop-4": lambda a: a.about.stop_id == "stop-4",
    f"vehicle_id={2:024x}&status=2xx": (
        lambda a: a.about.vehicle_id == f"{2:024x}" and a.status == 200
    ),
    "external_id=order 3": lambda a: a.about.external_id == "order 3",
    "q=THING 1": lambda a: "Thing 1" in a.excerpt,
    f"from={rfc3339(HALF)}": lambda a: a.started_at >= HALF.timestamp(),
    f"to={rfc3339(HALF)}": lambda a: a.started_at < HALF.timestamp(),
}


async def test_pages_together_are_the_whole_for_each_filter(api: ServedApi, owner: Caller) -> None:
    attempts = await stored(api, a_history(api.project))
    await stored_of_others(api)
    operator = Caller(owner.session, ADMIN_KEY)
    for text, wanted in FILTERS.items():
        query = "&" + quote(text, safe="=&") if text else ""
        expected = [attempt.id for attempt in attempts if wanted(attempt)]
        for limit in (1, 7, 500) if len(expected) < 20 else (7, 500):
            rows = await listed(owner, "/v1/attempts", query, limit=limit)
            assert [row["id"] for row in rows] == expected, text
        rows = await listed(operator, "/v1/attempts", f"{query}&project_id={api.project}", limit=9)
        assert [row["id"] for row in rows] == expected, text
        expected = [a.delivery_id for a in newest(attempts) if wanted(a)]
        rows = await listed(owner, "/v1/deliveries", query, limit=7)
        assert [row["id"] for row in rows] == expected, text
    rows = await listed(operator, "/v1/attempts", "&type=plan.created", limit=50)
    mine = [row["id"] for row in rows if row["project_id"] == api.project]
    assert mine == [attempt.id for attempt in attempts if attempt.type == "plan.created"]
    assert len(rows) == len(mine) + OTHERS
    subscription = attempts[0].subscription_id
    rows = await listed(owner, "/v1/attempts", f"&subscription={subscription}", limit=7)
    of_it = [a.id for a in attempts if a.subscription_id == subscription]
    assert [row["id"] for row in rows] == of_it


async def test_deliveries_of_a_webhook_are_told_by_their_newest_attempt_on_any_day(
    api: ServedApi, owner: Caller
) -> None:
    attempts = a_history(api.project)
    webhook = attempts[0].subscription_id
    of_it = {"subscription_id": webhook, "project_id": api.project, "event_id": f"{7:024x}"}
    often = [a_recorded(at=NOW - timedelta(hours=n), **of_it) for n in range(40)]
    attempts = await stored(api, [*attempts, *often])
    mine = newest([a for a in attempts if a.subscription_id == webhook])
    narrowed: dict[str, Callable[[Recorded], bool]] = {
        "": lambda _: True,
        **{text: FILTERS[text] for text in (f"from={rfc3339(HALF)}", f"to={rfc3339(HALF)}")},
        "state=parked": FILTERS["state=parked"],
    }
    for text, wanted in narrowed.items():
        query = f"&subscription={webhook}&{quote(text, safe='=&')}".rstrip("&")
        expected = [a.id for a in mine if wanted(a)]
        assert expected
        for limit in (1, 7, 500):
            rows = await listed(owner, "/v1/deliveries", query, limit=limit)
            assert [row["attempt_id"] for row in rows] == expected, (text, limit)


def test_what_comes_live_is_narrowed_as_a_list_is() -> None:
    attempts = a_history("5e208446c97efa37d4830b01")
    for text, wanted in FILTERS.items():
        if not text.startswith(("type=", "from=", "to=")):
            asked, faults = filter_of_query(dict(parse_qsl(text)))
            assert not faults
            assert [fits(asked, a) for a in attempts] == [wanted(a) for a in attempts], text


async def test_filters_together_give_what_fits_all_of_them(api: ServedApi, owner: Caller) -> None:
    attempts = await stored(api, a_history(api.project))
    chance = random.Random()
    simple = [text for text in FILTERS if text.count("=") == 1 and not text.startswith("to=")]
    for _ in range(PAIRS):
        by_name = {text.partition("=")[0]: text for text in chance.sample(simple, len(simple))}
        some = chance.sample(sorted(by_name.values()), chance.choice((2, 2, 3)))
        query = "&" + quote("&".join(some), safe="=&")
        limit = chance.choice((1, 3, 50))
        for path, among in (("attempts", attempts), ("deliveries", newest(attempts))):
            expected = [a for a in among if all(FILTERS[text](a) for text in some)]
            rows = await listed(owner, f"/v1/{path}", query, limit=limit)
            ids = [a.delivery_id if path == "deliveries" else a.id for a in expected]
            assert [row["id"] for row in rows] == ids, some


async def test_a_batch_is_found_by_each_of_its_events(api: ServedApi, owner: Caller) -> None:
    one = About("stop.report.completed", f"{1:024x}", f"{2:024x}", f"{3:024x}", None, "ORD-1")
    other = About("route.started", f"{1:024x}", f"{2:024x}", None, f"{5:024x}")
    also = together([f"{71:024x}", "evt_72"], [one, other])
    fields = {"project_id": api.project, "type": "batch", "event_id": f"{70:024x}"}
    batch = a_recorded(70, at=NOW, **{**fields, "about": also._replace(type="batch")})
    single = a_recorded(3, at=NOW, project_id=api.project, about=one)
    await stored(api, [batch, single])
    of_both, of_it, none = [batch.id, single.id], [batch.id], []
    for query, expected in (
        (f"event_id={71:024x}", of_it), ("event_id=evt_72", of_it), (f"event_id={70:024x}", of_it),
        (f"event_id={72:024x}", none), (f"plan_id={1:024x}", of_both),
        (f"stop_id={3:024x}", of_both), (f"vehicle_id={5:024x}", of_it), ("external_id=ORD-1", of_both),
        ("external_id=ORD-2", none), (f"vehicle_id={5:024x}&stop_id={3:024x}", of_it),
        ("type=route.started", of_it), ("type=stop.report.completed", of_both), ("type=batch", of_it),
    ):  # fmt: skip
        rows = await listed(owner, "/v1/attempts", f"&{query}", limit=9)
        assert [row["id"] for row in rows] == expected, query
        rows = await listed(owner, "/v1/deliveries", f"&{query}", limit=9)
        assert [row["attempt_id"] for row in rows] == expected, query
        asked, _ = filter_of_query(dict(parse_qsl(query)))
        if asked.type is None:
            assert [a.id for a in (batch, single) if fits(asked, a)] == expected, query
    for delivery, events in ((batch, [f"{71:024x}", "evt_72"]), (single, None)):
        shown = (await owner("GET", f"/v1/deliveries/{delivery.delivery_id}")).json
        assert shown["event_ids"] == events


async def test_what_is_tried_again_while_a_list_is_read_is_on_one_of_its_pages_all_the_same(
    api: ServedApi, owner: Caller
) -> None:
    attempts = await stored(api, a_history(api.project))
    first = (await owner("GET", "/v1/deliveries?limit=10")).json
    before = newest(attempts)
    to_come = before[20]
    async with a_pool(api.dsn) as pool:
        now = datetime.now(UTC)
        same = {name: getattr(to_come, name) for name in ("event_id", "subscription_id", "about")}
        again = a_recorded(at=now, project_id=api.project, number=2, trigger=Trigger.RETRY, **same)
        store = PostgresAttempts(pool=pool)
        await store.make_days([now])
        await store.store(LOG, [a_record(again, run="0000000003")], before=1, after=2)
    rows, cursor = first["data"], first["next"]
    while cursor is not None:
        page = (await owner("GET", f"/v1/deliveries?limit=10&cursor={cursor}")).json
        rows, cursor = rows + page["data"], page["next"]
    assert [row["id"] for row in rows] == [attempt.delivery_id for attempt in before]
    (newest_now, *_) = (await owner("GET", "/v1/deliveries?limit=10")).json["data"]
    assert newest_now["id"] == to_come.delivery_id


async def stored_of_others(api: ServedApi) -> None:
    async with a_pool(api.dsn) as pool:
        others = [a_recorded(n, at=NOW, project_id=an_id()) for n in range(OTHERS)]
        record = a_record(*others, run="0000000002")
        await PostgresAttempts(pool=pool).store(LOG, [record], before=1, after=2)


async def test_an_export_is_all_of_it(api: ServedApi, owner: Caller) -> None:
    attempts = await stored(api, a_history(api.project))
    answered = await owner("GET", "/v1/attempts?limit=2", Accept="application/x-ndjson")
    lines = [orjson.loads(line) for line in answered.body.splitlines()]
    assert lines == await listed(owner, "/v1/attempts", "", limit=100)
    assert [line["id"] for line in lines] == [attempt.id for attempt in attempts]
    answered = await owner("GET", "/v1/deliveries?status=5xx", Accept="text/csv")
    rows = list(csv.DictReader(io.StringIO(answered.body.decode())))
    expected = [a for a in newest(attempts) if a.status in (500, 503)]
    assert [row["id"] for row in rows] == [a.delivery_id for a in expected]


async def test_one_attempt_and_one_delivery_are_shown_to_their_project_alone(
    api: ServedApi, owner: Caller
) -> None:
    attempts = await stored(api, a_history(api.project))
    retried = next(a for a in attempts if a.number == 2)
    shown = (await owner("GET", f"/v1/attempts/{retried.id}")).json
    assert (shown["id"], shown["status"]) == (retried.id, retried.status)
    delivery = (await owner("GET", f"/v1/deliveries/{retried.delivery_id}")).json
    assert [a["number"] for a in delivery["attempts"]] == [1, 2]
    assert delivery["attempts"][1] == shown
    _, key = await api.new_project("read")
    stranger = Caller(owner.session, key)
    for path in (f"attempts/{retried.id}", f"deliveries/{retried.delivery_id}", "attempts/x"):
        await stranger("GET", f"/v1/{path}", status=404)
    assert (await stranger("GET", "/v1/attempts")).json == {"data": [], "next": None}
    await owner("GET", f"/v1/attempts/{'f' * 24}", status=404)


async def test_what_is_not_kept_is_told_with_how_far_back_the_history_goes(
    api: ServedApi, owner: Caller
) -> None:
    for midnight in (None, NOW.replace(hour=0) - timedelta(days=DAYS)):
        if midnight is not None:
            await stored(api, [a_recorded(at=NOW, project_id=api.project)])
        back = "is empty so far" if midnight is None else f"goes back to {rfc3339(midnight)}, and"
        for method, path in (
            ("GET", f"/v1/deliveries/{'f' * 24}"),
            ("GET", f"/v1/attempts/{'f' * 24}"),
            ("GET", "/v1/deliveries/x"),
            ("POST", f"/v1/deliveries/{'f' * 24}/resend"),
        ):
            said = (await owner(method, path, status=404)).json["detail"]
            assert f"in this project: the history {back}" in said, path


async def test_a_request_is_signed_for_now_only_for_who_may_manage(
    api: ServedApi, owner: Caller
) -> None:
    project, key = await api.new_project("read")
    attempts = await stored(api, a_history(project))
    reader = Caller(owner.session, key)
    path = f"/v1/deliveries/{attempts[0].delivery_id}?signed="
    await reader("GET", path + "then")
    await reader("GET", path + "now", status=403)
    answered = await owner("GET", path + "later", status=422)
    assert answered.json["errors"][0]["parameter"] == "signed"


async def test_each_fault_of_a_query_is_told_with_its_parameter(owner: Caller) -> None:
    query = (
        "vehicle=1&state=gone&verdict=retri&status=7xx&subscription=x&cursor=abc&limit=0"
        "&from=2026-03-18T00:00:00Z&to=2026-03-17T00:00:00Z"
    )
    answered = await owner("GET", f"/v1/deliveries?{query}", status=422)
    errors = {error["parameter"]: error["message"] for error in answered.json["errors"]}
    assert set(errors) == {
        "vehicle", "state", "verdict", "status", "subscription", "cursor", "limit", "to",
    }  # fmt: skip
    assert errors["vehicle"] == "no parameter 'vehicle': did you mean 'vehicle_id'?"


async def test_a_cursor_belongs_to_its_filters(api: ServedApi, owner: Caller) -> None:
    await stored(api, a_history(api.project))
    page = (await owner("GET", "/v1/attempts?limit=2&status=5xx")).json
    answered = await owner(
        "GET", f"/v1/attempts?limit=2&status=503&cursor={page['next']}", status=422
    )
    assert [error["parameter"] for error in answered.json["errors"]] == ["cursor"]


@pytest.mark.parametrize("step", ["hour", "day"])
async def test_stats_are_what_the_attempts_say(api: ServedApi, owner: Caller, step: str) -> None:
    everything = await stored(api, a_history(api.project))
    counted = [attempt for attempt in everything if attempt.trigger != Trigger.TEST]
    id_, type_ = counted[0].subscription_id, counted[0].type
    for which, subscription, of in (
        ("", None, None),
        (f"&subscription={id_}", id_, None),
        (f"&type={type_}", None, type_),
        (f"&subscription={id_}&type={type_}", id_, type_),
    ):
        attempts = [
            attempt
            for attempt in counted
            if subscription in (None, attempt.subscription_id) and of in (None, attempt.type)
        ]
        assert attempts
        await compared(owner, which, step, attempts)


async def compared(owner: Caller, which: str, step: str, attempts: list[Recorded]) -> None:
    """Hold the statistics to what *attempts* say."""
    since = NOW - timedelta(days=DAYS)
    query = f"from={rfc3339(since)}&to={rfc3339(NOW + timedelta(days=1))}&step={step}{which}"
    points = (await owner("GET", f"/v1/stats?{query}")).json["data"]
    for name, counts in {
        "delivered": lambda a: a.verdict == "acknowledged",
        "failed": lambda a: a.verdict != "acknowledged",
        "retried": lambda a: a.number > 1,
        "dead": lambda a: a.verdict == "dead",
    }.items():
        assert sum(point[name] for point in points) == sum(map(counts, attempts)), name
    assert sum(point["bytes"] for point in points) == sum(a.size for a in attempts)
    seconds = {"hour": 3_600, "day": 86_400}[step]
    for point in points:
        begins = datetime.fromisoformat(point["at"]).timestamp()
        within = [a for a in attempts if begins <= a.started_at < begins + seconds]
        times = sorted((a.first_byte or 0.0) * 1000 for a in within)
        exact = times[max(0, -(-len(times) * 95 // 100) - 1)]
        assert point["receiver_ms"]["p95"] == pytest.approx(exact, rel=0.06)


async def test_stats_say_what_they_cannot_give(owner: Caller) -> None:
    for query, parameter in (
        ("step=week", "step"),
        ("step=minute&from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z", "step"),
        ("step=hour&from=2020-01-01T00:00:00Z", "step"),
        ("from=2999-01-01T00:00:00Z", "from"),
        ("subscriptions=x", "subscriptions"),
    ):
        answered = await owner("GET", f"/v1/stats?{query}", status=422)
        assert [error["parameter"] for error in answered.json["errors"]] == [parameter], query


def test_a_quantile_is_right_to_five_percent() -> None:
    for ms in (LEAST_MS * 2, 0.3, 1.0, 17.0, 999.0, 86_400_000.0):
        assert quantiles({bucket(ms): 1}, [0.5, 1.0]) == pytest.approx([ms, ms], rel=0.05)
    hundred: dict[int, int] = {}
    for ms in range(1, 101):
        count(hundred, ms)
    found = quantiles(unpacked(packed(hundred), packed(hundred)), [0.01, 0.5, 0.95, 1.0])
    assert found == pytest.approx([1, 50, 95, 100], rel=0.06)
    assert quantiles({}, [0.5, 0.9]) == [None, None]


async def test_a_secret_shows_when_it_last_signed(api: ServedApi, owner: Caller) -> None:
    made = await owner.make()
    path = f"/v1/subscriptions/{made['id']}/secrets"
    (unused,) = (await owner("GET", path)).json["data"]
    assert unused["last_used_at"] is None
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    await stored(
        api, [a_recorded(at=at, subscription_id=made["id"], project_id=api.project)], day=at
    )
    await eventually(lambda: datetime.now(UTC) > at + timedelta(seconds=1))
    await owner("POST", f"{path}/rotate", {"overlap_hours": 0})
    new, old = (await owner("GET", path)).json["data"]
    assert (new["last_used_at"], old["last_used_at"]) == (None, rfc3339(at))
