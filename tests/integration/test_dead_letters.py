"""What was given up: looked at, grouped by cause, let go of; and jobs that send it again."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from services.broker.topics import TOPICS, create_missing
from services.kernel.clock import rfc3339
from services.kernel.recorded import Recorded
from services.store.attempts import PostgresAttempts
from services.store.dead_letters import PostgresDeadLetters
from tests.support.api import ADMIN_KEY, ServedApi
from tests.support.databases import connected
from tests.support.dead import put_dead
from tests.support.group import a_connection
from tests.support.native import Caller
from tests.support.recorded import LOG, a_record, a_recorded
from tests.support.rows import a_pool

NOW = datetime(2026, 3, 17, 9, 40, 51, tzinfo=UTC)
NOBODYS_ID = "0123456789abcdef01234567"


@pytest.fixture
async def db(database: str) -> AsyncIterator[asyncpg.Connection]:
    async with connected(database) as connection:
        yield connection


async def listed(caller: Caller, query: str = "", *, limit: int = 3) -> list[Any]:
    found: list[Any] = []
    cursor = ""
    while True:
        page = (await caller("GET", f"/v1/dead-letters?limit={limit}{query}{cursor}")).json
        found += page["data"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


async def test_pages_together_are_the_whole_newest_first_also_while_more_come(
    owner: Caller, db: asyncpg.Connection
) -> None:
    id_ = (await owner.make())["id"]
    there = await put_dead(db, id_, project_id=owner.project, count=8)
    first = (await owner("GET", "/v1/dead-letters?limit=5")).json
    await put_dead(db, id_, project_id=owner.project, count=2, first=100)
    second = (await owner("GET", f"/v1/dead-letters?limit=5&cursor={first['next']}")).json
    found = [letter["event_id"] for letter in first["data"] + second["data"]]
    assert sorted(found) == sorted(there)
    ids = [letter["id"] for letter in await listed(owner)]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 10


async def test_each_filter_gives_what_fits_and_nothing_else(
    owner: Caller, db: asyncpg.Connection
) -> None:
    one, two = (await owner.make())["id"], (await owner.make())["id"]
    mine = {"project_id": owner.project}
    await put_dead(db, one, **mine, status=503, at=NOW)
    await put_dead(db, one, **mine, first=1, status=500, at=NOW + timedelta(minutes=1))
    await put_dead(db, one, **mine, first=2, outcome="timeout", status=None, type_="stop.updated")
    await put_dead(db, two, **mine, first=3, status=401)

    async def offsets(query: str) -> list[int]:
        return sorted(letter["offset"] for letter in await listed(owner, f"&{query}"))

    assert await offsets(f"subscription={one}") == [0, 1, 2]
    assert await offsets("outcome=timeout") == [2]
    assert await offsets("status=503") == [0]
    assert await offsets("status=5xx") == [0, 1]
    assert await offsets("status=4xx") == [3]
    assert await offsets("type=stop.updated") == [2]
    later = quote(rfc3339(NOW + timedelta(seconds=1)))
    assert await offsets(f"to={later}") == [0]
    assert await offsets(f"from={later}") == [1, 2, 3]
    assert await offsets(f"subscription={two}&status=5xx") == []


async def test_by_cause_there_is_a_line_where_there_would_be_thousands(
    owner: Caller, db: asyncpg.Connection
) -> None:
    id_ = (await owner.make())["id"]
    mine = {"project_id": owner.project}
    await put_dead(db, id_, **mine, count=40, status=401, at=NOW)
    await put_dead(db, id_, **mine, count=2, first=40, outcome="dns", status=None)
    causes = (await owner("GET", "/v1/dead-letters?group_by=cause")).json["data"]
    assert [(c["outcome"], c["status"], c["count"]) for c in causes] == [
        ("http", 401, 40), ("dns", None, 2),
    ]  # fmt: skip
    assert causes[0]["oldest_at"] == rfc3339(NOW)
    assert causes[0]["subscription_id"] == id_
    newest = (await listed(owner, "&status=401"))[0]
    assert causes[0]["sample"] == newest["id"]
    assert causes[0]["delivery_id"] == newest["delivery_id"]
    assert (causes[0]["error"], causes[0]["response"]) == (None, {"excerpt": "no"})
    some = (await owner("GET", "/v1/dead-letters?group_by=cause&outcome=dns")).json["data"]
    assert [cause["count"] for cause in some] == [2]


async def test_what_is_discarded_is_gone_with_its_reason_in_the_audit(
    owner: Caller, db: asyncpg.Connection
) -> None:
    id_ = (await owner.make())["id"]
    await put_dead(db, id_, project_id=owner.project, count=5, status=401)
    await put_dead(db, id_, project_id=owner.project, count=2, first=5, status=500)
    body = {"subscription": id_, "status": 401, "reason": "the receiver was retired"}
    assert (await owner("POST", "/v1/dead-letters/discard", body)).json == {"discarded": 5}
    assert [letter["status"] for letter in await listed(owner)] == [500, 500]
    (entry,) = (await owner("GET", "/v1/audit?action=discard")).json["data"]
    assert entry["before"] == {**body, "discarded": 5}
    answer = await owner("POST", "/v1/dead-letters/discard", {"status": 500}, status=422)
    assert answer.faults == [("/reason", "required")]
    assert len(await listed(owner)) == 2


async def test_nobody_sees_or_touches_what_another_project_has(
    api: ServedApi, owner: Caller, db: asyncpg.Connection
) -> None:
    id_ = (await owner.make())["id"]
    await put_dead(db, id_, project_id=owner.project, count=3)
    (letter, *_) = await listed(owner)
    job = (await owner("POST", "/v1/resends", {"subscription": id_}, status=202)).json
    _, key = await api.new_project("manage")
    other = Caller(owner.session, key)
    assert await listed(other) == []
    assert await listed(other, f"&project_id={owner.project}") == []
    everything = {"reason": "mine?"}
    assert (await other("POST", "/v1/dead-letters/discard", everything)).json == {"discarded": 0}
    await other("GET", f"/v1/resends/{job['id']}", status=404)
    await other("POST", f"/v1/resends/{job['id']}/cancel", status=404)
    await other("POST", f"/v1/deliveries/{letter['id']}/resend", status=404)
    assert (await other("GET", "/v1/resends")).json["data"] == []
    assert len(await listed(owner)) == 3


async def test_a_job_has_a_place_a_total_and_an_end(owner: Caller, db: asyncpg.Connection) -> None:
    id_ = (await owner.make())["id"]
    await put_dead(db, id_, project_id=owner.project, count=7)
    asked = {"subscription": id_, "rate": 2}
    estimate = (await owner("POST", "/v1/resends", {**asked, "dry_run": True}, status=200)).json
    assert estimate == {"deliveries": 7, "bytes": 70}
    made = await owner("POST", "/v1/resends", asked, status=202)
    job = made.json
    assert made.headers["Location"] == f"/v1/resends/{job['id']}"
    assert (job["state"], job["done"], job["total"], job["rate"]) == ("queued", 0, 7, 2)
    assert job["eta_seconds"] == 3.5
    assert (await owner("GET", f"/v1/resends/{job['id']}")).json == job
    assert [j["id"] for j in (await owner("GET", "/v1/resends")).json["data"]] == [job["id"]]
    for _ in range(2):
        ended = (await owner("POST", f"/v1/resends/{job['id']}/cancel")).json
        assert ended["state"] == "cancelled"
    told = (await owner("GET", f"/v1/audit?object={job['id']}")).json["data"]
    assert [entry["action"] for entry in told] == ["cancel", "create"]
    assert len(await listed(owner)) == 7


async def test_an_admin_asks_for_the_jobs_of_one_project(
    api: ServedApi, owner: Caller, db: asyncpg.Connection
) -> None:
    await put_dead(db, (await owner.make())["id"], project_id=owner.project, count=2)
    made = (await owner("POST", "/v1/resends", {}, status=202)).json
    other, _ = await api.new_project()
    admin = Caller(owner.session, ADMIN_KEY)

    async def ids(caller: Caller, project: str) -> list[str]:
        page = (await caller("GET", f"/v1/resends?project_id={project}")).json
        return [job["id"] for job in page["data"]]

    assert await ids(admin, owner.project) == [made["id"]]
    assert await ids(owner, owner.project) == [made["id"]]
    assert await ids(admin, other) == []
    assert await ids(owner, other) == []


async def test_all_that_is_wrong_with_a_filter_is_told_at_once_and_nothing_is_made(
    owner: Caller,
) -> None:
    day = "2026-03-17T00:00:00Z"
    body = {
        "subscription": "x", "outcome": "htp", "status": 700, "type": 5, "from": day, "to": day,
        "state": "alive", "rate": 0, "dry_run": "yes", "limit": 3,
    }  # fmt: skip
    answer = await owner("POST", "/v1/resends", body, status=422)
    assert sorted(answer.faults) == [
        ("/dry_run", "type"), ("/limit", "unknown_field"), ("/outcome", "choice"),
        ("/rate", "range"), ("/state", "choice"), ("/status", "status"), ("/subscription", "id"),
        ("/to", "range"), ("/type", "type"),
    ]  # fmt: skip
    assert (await owner("GET", "/v1/resends")).json["data"] == []
    answer = await owner(
        "GET", "/v1/dead-letters?status=5x&from=today&group_by=url&cursor=zzz", status=422
    )
    assert {"parameter" in fault for fault in answer.json["errors"]} == {True}
    answer = await owner("GET", "/v1/dead-letters?status=5x&from=today&cursor=zzz", status=422)
    assert sorted(answer.faults) == [("cursor", "cursor"), ("from", "time"), ("status", "status")]


async def test_what_the_log_no_longer_has_is_refused_and_what_is_still_there_is_said(
    api: ServedApi, owner: Caller, kafka: str
) -> None:
    await create_missing(a_connection(kafka), TOPICS, replication_factor=1)
    id_, other = (await owner.make())["id"], (await owner.make())["id"]
    attempt = a_recorded(
        at=datetime.now(UTC), project_id=api.project, subscription_id=id_, offset=5_000_000
    )
    await keep(api.dsn, attempt)
    path = f"/v1/deliveries/{attempt.delivery_id}/resend"
    for body in ({}, {"to": other}):
        answer = await owner("POST", path, body, status=422)
        assert answer.faults == [("id", "outside_of_log")]
        said = answer.json["errors"][0]["message"]
        assert re.search(r"5000000: the log holds (nothing|offsets \d+ to \d+)", said)
    answer = await owner("POST", path, {"to": NOBODYS_ID, "in": 1}, status=422)
    assert answer.faults == [("/in", "unknown_field")]
    answer = await owner("POST", path, {"to": NOBODYS_ID}, status=422)
    assert answer.faults == [("/to", "unknown_subscription")]
    assert (await owner("GET", "/v1/resends")).json["data"] == []
    await owner("DELETE", f"/v1/subscriptions/{id_}")
    await owner("POST", path, status=409)


async def test_times_from_before_the_log_are_refused_with_the_one_from_which_on_it_can_be_had(
    owner: Caller, kafka: str
) -> None:
    await create_missing(a_connection(kafka), TOPICS, replication_factor=1)
    for name in ("from", "to"):
        body = {"state": "acknowledged", name: "2020-01-01T00:00:00Z"}
        answer = await owner("POST", "/v1/resends", body, status=422)
        assert answer.faults == [(f"/{name}", "outside_of_log")]
        said = answer.json["errors"][0]["message"]
        (since,) = re.findall(r"it can be had from (\S+) on", said)
        assert datetime.fromisoformat(since) < datetime.now(UTC)
        body[name] = since
        await owner("POST", "/v1/resends", {**body, "dry_run": True}, status=200)


async def keep(dsn: str, attempt: Recorded) -> None:
    async with a_pool(dsn) as pool:
        store = PostgresAttempts(pool=pool)
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        await store.make_days([today])
        await store.begin(LOG, before=None, offset=0)
        await store.store(LOG, [a_record(attempt)], before=0, after=1)


async def test_a_delivery_that_is_not_there_can_not_be_sent_again(owner: Caller) -> None:
    for id_ in (NOBODYS_ID, "nonsense"):
        await owner("POST", f"/v1/deliveries/{id_}/resend", status=404)


async def test_what_a_project_keeps_is_bounded_and_the_oldest_go_first(
    owner: Caller, db: asyncpg.Connection, database: str
) -> None:
    id_ = (await owner.make())["id"]
    await put_dead(db, id_, project_id=owner.project, count=10, size=100)
    kept = [letter["id"] for letter in await listed(owner)][:4]
    async with a_pool(database) as pool:
        store = PostgresDeadLetters(pool=pool)
        assert await store.evict(bytes_=1_000) == {}
        assert await store.evict(bytes_=450) == {owner.project: 6}
        assert [letter["id"] for letter in await listed(owner)] == kept
        await put_dead(db, id_, project_id=owner.project, first=50, at=NOW)
        await store.expire(before=NOW + timedelta(seconds=1))
        assert [letter["id"] for letter in await listed(owner)] == kept
