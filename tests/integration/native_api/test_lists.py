"""Lists: their order, their filters, and what deleting a project takes with it."""

import pytest

from tests.support.native import URL, Caller, all_subscriptions

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(60)]


async def test_a_list_is_newest_first_and_ends_without_a_cursor(owner: Caller) -> None:
    ids = [(await owner.make())["id"] for _ in range(5)]
    first = (await owner("GET", "/v1/subscriptions?limit=2")).json
    second = (await owner("GET", f"/v1/subscriptions?limit=2&cursor={first['next']}")).json
    third = (await owner("GET", f"/v1/subscriptions?limit=2&cursor={second['next']}")).json
    pages = [[row["id"] for row in page["data"]] for page in (first, second, third)]
    assert pages == [ids[4:2:-1], ids[2:0:-1], ids[:1]]
    assert third["next"] is None
    whole = (await owner("GET", "/v1/subscriptions?limit=5")).json
    assert (len(whole["data"]), whole["next"]) == (5, None), "a full last page is the last one"
    assert "secret" not in first["data"][0]


async def test_a_list_shows_each_one_once_while_others_come_and_go(owner: Caller) -> None:
    stay = [(await owner.make(description="stays"))["id"] for _ in range(6)]
    go = [(await owner.make(description="goes"))["id"] for _ in range(4)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await owner("GET", f"/v1/subscriptions?limit=2{cursor}")).json
        seen += [row["id"] for row in page["data"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
        await owner.make(description="new")
        if go:
            await owner("DELETE", f"/v1/subscriptions/{go.pop(0)}")
        await owner("PATCH", f"/v1/subscriptions/{stay[0]}", {"description": f"now {len(seen)}"})
    assert len(seen) == len(set(seen))
    assert [id_ for id_ in seen if id_ in stay] == stay[::-1]


async def test_lists_are_filtered_and_a_cursor_belongs_to_its_filters(
    operator: Caller, owner: Caller
) -> None:
    paused = (await owner.make(types=["plan.*"]))["id"]
    await owner("POST", f"/v1/subscriptions/{paused}/pause")
    active = (await owner.make(url=f"{URL}?a=1&status=paused", types=["stop.moved"]))["id"]
    for query, expected in [
        ("&status=paused", [paused]),
        ("&status=active", [active]),
        ("&status=disabled", []),
        ("&type=plan.*", [paused]),
        ("&type=stop.moved&status=active", [active]),
        (f"&url={URL}%3Fa=1%26status=paused", [active]),
        ("", [active, paused]),
    ]:
        assert [row["id"] for row in await all_subscriptions(owner, query)] == expected, query
        mine = await all_subscriptions(operator, f"{query}&project_id={owner.project}")
        assert [row["id"] for row in mine] == expected
    page = (await owner("GET", "/v1/subscriptions?limit=1")).json
    other = f"/v1/subscriptions?limit=1&status=active&cursor={page['next']}"
    assert (await owner("GET", other, status=422)).faults == [("cursor", "cursor")]


async def test_projects_and_keys_are_lists_too(operator: Caller) -> None:
    ids = [(await operator("POST", "/v1/projects", {"name": str(n)})).json["id"] for n in range(3)]
    page = (await operator("GET", "/v1/projects?limit=2")).json
    assert [row["id"] for row in page["data"]] == [ids[2], ids[1]]
    page = (await operator("GET", f"/v1/projects?limit=1&cursor={page['next']}")).json
    assert [row["id"] for row in page["data"]] == [ids[0]]
    keys = f"/v1/projects/{ids[0]}/api-keys"
    made = [(await operator("POST", keys, {"name": str(n)})).json for n in range(3)]
    await Caller(operator.session, made[1]["key"])("GET", "/v1/subscriptions")
    page = (await operator("GET", f"{keys}?limit=2")).json
    shown = [{name: row[name] for name in ("id", "prefix", "name")} for row in page["data"]]
    assert shown == [
        {name: key[name] for name in ("id", "prefix", "name")} for key in (made[2], made[1])
    ]
    assert page["data"][0]["last_used_at"] is None
    assert page["data"][1]["last_used_at"].endswith(":00.000Z")
    assert made[1]["key"].startswith(made[1]["prefix"])
    assert not any("key" in row for row in page["data"])


async def test_deleting_a_project_ends_its_keys_and_subscriptions(
    operator: Caller, owner: Caller
) -> None:
    made = await owner.make()
    renamed = {"name": "plaça"}
    project = f"/v1/projects/{owner.project}"
    assert (await operator("PATCH", project, renamed)).json["name"] == "plaça"
    assert (await operator("GET", project)).json["name"] == "plaça"
    await operator("DELETE", project, status=204)
    await operator("GET", project, status=404)
    await operator("GET", f"/v1/subscriptions/{made['id']}", status=404)
    await owner("GET", "/v1/subscriptions", status=401)
