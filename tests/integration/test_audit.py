"""Who changed what: everything that people can do through an API leaves an entry, and no secret."""

import base64
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from aiohttp import ClientSession

from services.kernel.clock import SystemClock, rfc3339
from services.kernel.ids import ProjectId
from services.kernel.registration import Project
from services.store.audit import PostgresAudit
from services.store.pool import Pool
from services.store.projects import PostgresProjects
from tests.support.api import ServedApi
from tests.support.native import Caller
from tests.support.planner import BASES, Client
from tests.support.rows import a_pool

URL = "https://example.com/hook"
CREDENTIAL = "Basic dXNlcjpwYXNzd29yZA=="


@pytest.fixture
async def operator(api: ServedApi) -> AsyncIterator[Caller]:
    async with ClientSession(api.url) as session:
        yield Caller(session)


@pytest.fixture
async def owner(api: ServedApi, operator: Caller) -> Caller:
    return Caller(operator.session, api.key, api.project)


async def entries(caller: Caller, query: str = "") -> list[Any]:
    """Return all that fit, oldest first, read in pages of three."""
    found: list[Any] = []
    cursor = ""
    while True:
        page = (await caller("GET", f"/v1/audit?limit=3{query}{cursor}")).json
        found += page["data"]
        if page["next"] is None:
            return found[::-1]
        cursor = f"&cursor={page['next']}"


async def test_each_change_of_a_subscription_has_its_entry(owner: Caller) -> None:
    made = await owner.make(url=URL, headers={"Authorization": CREDENTIAL})
    path = f"/v1/subscriptions/{made['id']}"
    await owner("PATCH", path, {"description": "ours", "types": ["plan.created"]})
    await owner("PATCH", path, {"description": "ours"})  # changes nothing
    await owner("POST", f"{path}/pause")
    await owner("POST", f"{path}/pause")  # it is
    await owner("POST", f"{path}/resume")
    rotated = (await owner("POST", f"{path}/secrets/rotate", {"overlap_hours": 2})).json
    older = (await owner("GET", f"{path}/secrets")).json["data"][1]["id"]
    await owner("DELETE", f"{path}/secrets/{older}", status=204)
    await owner("DELETE", path, status=204)
    told = await entries(owner, f"&object={made['id']}")
    assert [entry["action"] for entry in told] == [
        "create", "update", "pause", "resume", "rotate", "end_secret", "delete",
    ]  # fmt: skip
    assert {(e["object_type"], e["project_id"], e["address"]) for e in told} == {
        ("subscription", owner.project, "127.0.0.1")
    }
    created, updated, paused, resumed, turned, ended, deleted = told
    assert created["before"] is None
    assert created["after"]["url"] == URL
    assert created["after"]["headers"] == {"Authorization": "Basi…"}
    assert updated["before"] == {"description": "", "types": ["*"]}
    assert updated["after"] == {"description": "ours", "types": ["plan.created"]}
    assert (paused["before"]["status"], paused["after"]["status"]) == ("active", "paused")
    assert (resumed["before"]["status"], resumed["after"]["status"]) == ("paused", "active")
    assert turned["after"] == {
        "secret_id": rotated["id"], "previous_expires_at": rotated["previous_expires_at"],
    }  # fmt: skip
    assert ended["before"] == {"secret_id": older}
    assert (deleted["before"]["description"], deleted["after"]) == ("ours", None)


async def test_a_header_whose_new_value_looks_like_the_old_one_is_seen_to_have_changed(
    owner: Caller,
) -> None:
    headers = {"Authorization": CREDENTIAL, "X-Tenant": "tenant-number-one"}
    made = await owner.make(headers=headers)
    other = {**headers, "Authorization": "Basic b3RoZXI6b3RoZXI6b3RoZXI="}
    await owner("PATCH", f"/v1/subscriptions/{made['id']}", {"headers": other})
    (updated,) = await entries(owner, "&action=update")
    assert updated["before"] == {"headers": {"Authorization": "Basi…", "X-Tenant": "tena…"}}
    assert updated["after"] == {"headers": {"Authorization": "Basi… (new)", "X-Tenant": "tena…"}}


async def test_no_entry_holds_a_secret(api: ServedApi, operator: Caller) -> None:
    """Neither what signs, nor an API key, nor a credential in a header, in any of its forms."""
    _, key = await api.new_project("manage")
    owner = Caller(operator.session, key)
    made = await owner.make(headers={"X-Api-Key": "a-credential-of-the-receiver"})
    ed = await owner.make(signature="v1a")
    path = f"/v1/subscriptions/{made['id']}"
    rotated = (await owner("POST", f"{path}/secrets/rotate", {})).json
    await owner("PATCH", path, {"headers": {"X-Api-Key": "another-credential-of-theirs"}})
    await owner("DELETE", path, status=204)
    await owner("DELETE", f"/v1/subscriptions/{ed['id']}", status=204)
    secrets = [made["secret"], rotated["secret"]]
    forbidden = [*secrets, key, "credential-of-the", "credential-of-theirs"]
    forbidden += [secret.removeprefix("whsec_") for secret in secrets]
    forbidden += [base64.b64decode(s.removeprefix("whsec_")).hex() for s in secrets]
    forbidden += [key.removeprefix("priv_")]
    rows = await api.sql("select audit::text as everything from audit")
    assert len(rows) >= 8
    everything = "\n".join(row["everything"] for row in rows)
    assert [secret for secret in forbidden if secret in everything] == []


@pytest.mark.parametrize("base", BASES)
async def test_a_change_through_the_compatible_api_is_told_like_any_other(
    api: ServedApi, owner: Caller, base: str
) -> None:
    client = Client(api, base)
    made = await client.make("plan.created")
    await client("PUT", f"webhook/{made['id']}", {"enabled": False})
    await client("DELETE", f"webhook/{made['id']}")
    told = await entries(owner, f"&object={made['id']}")
    assert [entry["action"] for entry in told] == ["create", "update", "delete"]
    assert told[1]["after"]["status"] == "paused"


async def test_a_refused_change_leaves_no_entry(owner: Caller) -> None:
    before = await entries(owner)
    await owner("POST", "/v1/subscriptions", {"url": "nowhere"}, status=422)
    made = await owner.make()
    path = f"/v1/subscriptions/{made['id']}"
    await owner("PATCH", path, {"types": []}, status=422)
    await owner("DELETE", path, status=412, If_Match='"99"')
    only = (await owner("GET", f"{path}/secrets")).json["data"][0]["id"]
    await owner("DELETE", f"{path}/secrets/{only}", status=409)
    assert [e["action"] for e in await entries(owner)] == [
        *(e["action"] for e in before), "create",
    ]  # fmt: skip


async def test_projects_and_their_keys_leave_entries(operator: Caller) -> None:
    project = (await operator("POST", "/v1/projects", {"name": "One"})).json["id"]
    await operator("PATCH", f"/v1/projects/{project}", {"name": "Two"})
    keys = f"/v1/projects/{project}/api-keys"
    key = (await operator("POST", keys, {"name": "A key"}, status=201)).json
    await operator("DELETE", f"{keys}/{key['id']}", status=204)
    await operator("DELETE", f"/v1/projects/{project}", status=204)
    told = await entries(operator, f"&project_id={project}")
    assert [(e["object_type"], e["action"]) for e in told] == [
        ("project", "create"), ("project", "update"), ("api_key", "create"),
        ("api_key", "delete"), ("project", "delete"),
    ]  # fmt: skip
    assert {entry["actor"] for entry in told} == {"admin"}
    assert (told[1]["before"], told[1]["after"]) == ({"name": "One"}, {"name": "Two"})
    assert told[3]["before"]["prefix"] == key["prefix"]


async def test_who_did_it_when_and_to_what_can_be_asked_for(owner: Caller) -> None:
    began = SystemClock().now() - timedelta(milliseconds=2)
    made = [await owner.make() for _ in range(4)]
    moment = datetime.fromisoformat((await entries(owner))[-1]["at"]) + timedelta(milliseconds=1)
    await owner("POST", f"/v1/subscriptions/{made[0]['id']}/pause")
    (key_id,) = {e["actor"] for e in await entries(owner, "&object_type=subscription")}
    mine = await entries(owner, f"&actor={key_id}")
    assert [entry["object_id"] for entry in mine] == [*(m["id"] for m in made), made[0]["id"]]
    assert await entries(owner, "&actor=nobody") == []
    until = quote(rfc3339(moment))
    since = quote(rfc3339(began))
    before = await entries(owner, f"&actor={key_id}&to={until}")
    assert [e["action"] for e in before] == ["create"] * 4
    after = await entries(owner, f"&actor={key_id}&from={until}")
    assert [e["action"] for e in after] == ["pause"]
    assert len(await entries(owner, f"&actor={key_id}&from={since}")) == 5


async def test_a_project_sees_its_own_entries_alone(api: ServedApi, operator: Caller) -> None:
    mine, key = await api.new_project("manage")
    theirs, other = await api.new_project("manage")
    for each in (key, other):
        await Caller(operator.session, each).make()
    caller = Caller(operator.session, key)
    assert {entry["project_id"] for entry in await entries(caller)} == {mine}
    assert await entries(caller, f"&project_id={theirs}") == []
    seen = {entry["project_id"] for entry in await entries(operator)}
    assert {mine, theirs} <= seen


async def test_what_is_wrong_with_a_question_is_told_at_once(owner: Caller) -> None:
    answer = await owner("GET", "/v1/audit?actr=x&from=yesterday&limit=0&cursor=MTIz", status=422)
    assert answer.faults == [
        ("actr", "unknown_parameter"), ("from", "time"), ("limit", "range"), ("cursor", "cursor"),
    ]  # fmt: skip
    day = "2026-03-17T00:00:00Z"
    answer = await owner("GET", f"/v1/audit?from={day}&to={day}", status=422)
    assert answer.faults == [("to", "range")]


async def test_without_its_entry_a_change_is_not_made(api: ServedApi) -> None:
    """One transaction: nobody can change anything unseen."""
    await api.sql("alter table audit add constraint shut check (action <> 'create') not valid")
    answer = await api.ask(
        "POST", "/v1/subscriptions", key=api.key, json={"url": URL, "types": ["*"]}
    )
    assert answer.status == 500
    assert await api.sql("select from subscriptions") == []
    assert await api.sql("select from secrets") == []


async def test_what_one_task_writes_together_others_see_at_once_or_never(database: str) -> None:
    async with a_pool(database) as pool:
        with pytest.raises(asyncpg.UniqueViolationError):
            await _add_twice(pool)
        assert await _projects(pool) == 0
        async with pool.together():
            await _add_project(pool, 1)
            await _add_project(pool, 2)
        assert await _projects(pool) == 2


async def _add_project(pool: Pool, n: int) -> None:
    now = SystemClock().now()
    made = Project(id=ProjectId(f"{n:024x}"), name="A project", created_at=now, updated_at=now)
    await PostgresProjects(pool=pool).add(made)


async def _add_twice(pool: Pool) -> None:
    async with pool.together():
        await _add_project(pool, 1)
        assert await _projects(pool) == 1
        await _add_project(pool, 1)


async def _projects(pool: Pool) -> int:
    return len(await pool.fetch("page_projects", None, 10))


async def test_entries_are_forgotten_when_nobody_may_ask_for_them_any_more(
    api: ServedApi, owner: Caller, database: str
) -> None:
    made = await owner.make()
    older = await owner.make()
    await api.sql("update audit set at = at - interval '2 days' where object_id = $1", older["id"])
    async with a_pool(database) as pool:
        yesterday = SystemClock().now() - timedelta(days=1)
        await PostgresAudit(pool=pool).expire(before=yesterday)
    told = await entries(owner, "&object_type=subscription")
    assert [entry["object_id"] for entry in told] == [made["id"]]
