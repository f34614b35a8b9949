"""Portal links: who holds one gets at some webhooks, and at nothing else of their project."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from services.catalogue import examples
from services.kernel.clock import rfc3339
from services.store.attempts import PostgresAttempts
from tests.support.api import ServedApi
from tests.support.databases import connected
from tests.support.dead import put_dead
from tests.support.eventually import eventually
from tests.support.native import Caller
from tests.support.openapi import routes
from tests.support.planner import BASES
from tests.support.recorded import LOG, a_record, a_recorded
from tests.support.rows import a_pool

pytestmark = pytest.mark.usefixtures("topics")

NOW = datetime.now(UTC)
NOBODYS = "0123456789abcdef01234567"


async def a_link(owner: Caller, *subscriptions: str, **fields: object) -> Caller:
    """Make a link; return who holds its token."""
    among = {"subscriptions": list(subscriptions)} if subscriptions else {}
    body = {"project_id": owner.project, "expires_in": 3600, **among, **fields}
    made = (await owner("POST", "/v1/portal-links", body, status=201)).json
    return Caller(owner.session, made["token"], owner.project)


async def test_a_link_is_made_as_asked_kept_as_a_hash_and_noted(
    api: ServedApi, owner: Caller
) -> None:
    mine = (await owner.make())["id"]
    body = {
        "project_id": owner.project, "subscriptions": [mine], "scopes": ["read"],
        "expires_in": 600, "origins": ["https://app.example.com"],
        "theme": {"accent": "#0B5D4E", "logo_url": "https://cdn.example.com/logo.svg"},
    }  # fmt: skip
    made = (await owner("POST", "/v1/portal-links", body, status=201)).json
    assert made["url"] == f"{api.url}/portal/{made['token']}"
    assert (made["subscriptions"], made["scopes"]) == ([mine], ["read"])
    assert made["theme"] == {"accent": "#0b5d4e", "logo_url": "https://cdn.example.com/logo.svg"}
    ends = datetime.fromisoformat(made["expires_at"])
    assert abs(ends - datetime.now(UTC) - timedelta(seconds=600)) < timedelta(seconds=30)
    (listed,) = (await owner("GET", "/v1/portal-links")).json["data"]
    assert listed == {name: made[name] for name in listed}
    (row,) = await api.sql("select l::text as everything from portal_links l")
    told = await api.sql("select audit::text as everything, action, object_type from audit")
    assert ("create", "portal_link") in {(r["action"], r["object_type"]) for r in told}
    for each in (row, *told):
        assert made["token"] not in each["everything"]
        assert made["token"].removeprefix("portal_") not in each["everything"]


async def test_all_that_is_wrong_with_a_link_is_said_at_once(owner: Caller, api: ServedApi) -> None:
    project, key = await api.new_project("manage")
    theirs = (await Caller(owner.session, key, project).make())["id"]
    body = {
        "project_id": owner.project, "subscriptions": [theirs], "scopes": ["admin"],
        "origins": ["https://*.example.com", "https://a.example.com/path", "http://example.com"],
        "theme": {"accent": "#ffe066", "logo_url": "http://cdn.example.com/logo.svg"}, "name": "x",
    }  # fmt: skip
    refused = await owner("POST", "/v1/portal-links", body, status=422)
    assert set(refused.faults) == {
        ("/name", "unknown_field"), ("/subscriptions/0", "unknown_subscription"),
        ("/scopes/0", "choice"), ("/expires_in", "required"), ("/origins/0", "origin"),
        ("/origins/1", "origin"), ("/origins/2", "origin"), ("/theme/accent", "contrast"),
        ("/theme/logo_url", "url"),
    }  # fmt: skip
    assert "1.3 to 1" in refused.messages["/theme/accent"]
    for sent in ("https://x.example/l.svg; script-src *", "https://x;y.example/logo.svg"):
        body = {"expires_in": 60, "theme": {"logo_url": sent}}
        refused = await owner("POST", "/v1/portal-links", body, status=422)
        assert refused.faults == [("/theme/logo_url", "url")]
    assert (await owner("GET", "/v1/portal-links")).json["data"] == []


class World(NamedTuple):
    """Two customers of one project."""

    link: Caller
    mine: str
    ids: dict[str, str]
    """Of the other customer's things, by what paths say before `{id}`."""
    event: str
    """Where the other's event stands in the log."""
    told: set[str]
    """What must be in no answer."""


async def a_world(api: ServedApi, owner: Caller) -> World:
    """Give two customers an event, an attempt, a dead letter, a replay, a resend and a change each."""
    mine, other = [
        await owner.make(filter={"data": {"label": [name]}}, description=name)
        for name in ("mine", "theirs")
    ]
    example = examples()["plan.created"]
    events = [
        {
            **example,
            "id": uuid.uuid4().hex[:24],
            "project_id": owner.project,
            "data": {**example["data"], "label": label},
        }
        for label in ("mine", "theirs")
    ]
    placed = (await api.native("POST", "/v1/events", {"events": events}))["events"]
    attempts = [
        a_recorded(
            at=NOW, event_id=event["id"], subscription_id=made["id"], project_id=owner.project
        )
        for event, made in zip(events, (mine, other), strict=True)
    ]
    async with a_pool(api.dsn) as pool:
        store = PostgresAttempts(pool=pool)
        await store.make_days([NOW, NOW - timedelta(days=1)])
        await store.begin(LOG, before=None, offset=0)
        await store.store(LOG, [a_record(*attempts)], before=0, after=1)
    ids: dict[str, str] = {}
    for n, made in enumerate((mine, other)):
        async with connected(api.dsn) as db:
            await put_dead(db, made["id"], project_id=owner.project, first=n)
        path = f"/v1/subscriptions/{made['id']}/replays"
        body = {"from": rfc3339(NOW - timedelta(minutes=1))}
        replay = (await owner("POST", path, body, status=202)).json
        resend = await owner("POST", "/v1/resends", {"subscription": made["id"]}, status=202)
        letters = await owner("GET", f"/v1/dead-letters?subscription={made['id']}")
        ids = {
            "subscriptions": made["id"],
            "replays": replay["id"],
            "resends": resend.json["id"],
            "deliveries": attempts[n].delivery_id,
            "attempts": attempts[n].id,
            "letters": letters.json["data"][0]["id"],
        }
    at = placed[1]
    event = f"/{at['topic']}/{at['partition']}/{at['offset']}"
    told = {*ids.values(), events[1]["id"], "theirs"}
    return World(await a_link(owner, mine["id"]), mine["id"], ids, event, told)


def filled(path: str, world: World) -> str:
    """Return a path of the table with the other customer's ids in it."""
    noun = path.split("/")[2]
    found = path.replace("/{topic}/{partition}/{offset}", world.event)
    found = found.replace("{id}", world.ids.get(noun, NOBODYS))
    return re.sub(r"{\w+}", NOBODYS, found)


async def test_a_link_of_one_customer_gets_at_nothing_of_another(
    api: ServedApi, owner: Caller
) -> None:
    """Every route there is, with the other's ids in it; a route that is added is tried too."""
    world = await a_world(api, owner)
    before = await owner("GET", f"/v1/subscriptions/{world.ids['subscriptions']}")
    tried = 0
    for route in routes():
        if route.open or route.path == "/v1/stream":
            continue
        path = filled(route.path, world)
        queries = [""]
        if route.method == "GET" and "{" not in route.path:
            other = world.ids["subscriptions"]
            named = ("subscription", "subscription_id", "object", "project_id")
            queries += [f"?{name}={other}" for name in named] + [f"?project_id={owner.project}"]
        for query in queries:
            answer = await world.link.try_(route.method, path + query)
            if route.path.startswith(("/v1/event-types", "/v1/egress")):
                continue  # nobody's in particular
            said = f"{route.method} {path}{query}: {answer.status} {answer.body!r}"
            if "{" in route.path:
                assert answer.status in (403, 404), said
            shown = answer.body.decode().replace(path, "")
            if answer.status == 404:  # names what was asked for
                continue
            assert [each for each in world.told if each in shown] == [], said
            tried += 1
    assert tried > 40
    for path, body in (
        (f"/v1/deliveries/{world.ids['letters']}/resend", {}),
        ("/v1/resends", {"subscription": world.ids["subscriptions"]}),
        ("/v1/dead-letters/discard", {"subscription": world.ids["subscriptions"], "reason": "x"}),
    ):
        assert (await world.link.try_("POST", path, body)).status == 404, path
    after = await owner("GET", f"/v1/subscriptions/{world.ids['subscriptions']}")
    assert after.json == before.json
    assert (await owner("GET", "/v1/dead-letters")).json["data"] != []


async def test_a_link_shows_what_is_its_customers(api: ServedApi, owner: Caller) -> None:
    world = await a_world(api, owner)
    link, mine = world.link, world.mine
    for path in (
        "/v1/subscriptions", "/v1/attempts", "/v1/deliveries", "/v1/dead-letters", "/v1/replays",
        "/v1/resends", "/v1/audit", "/v1/events", "/v1/dead-letters?group_by=cause",
    ):  # fmt: skip
        assert len((await link("GET", path)).json["data"]) == 1, path
    assert (await link("GET", "/v1/stats")).json["total"]["delivered"] == 1
    (delivery,) = (await link("GET", "/v1/deliveries")).json["data"]
    shown = (await link("GET", f"/v1/deliveries/{delivery['id']}")).json
    assert shown["subscription_id"] == mine
    (event,) = (await link("GET", "/v1/events")).json["data"]
    where = f"/v1/events/{event['topic']}/{event['partition']}/{event['offset']}"
    assert (await link("GET", where)).json["event"]["data"]["label"] == "mine"
    answers = (await link("GET", f"{where}/matches")).json
    assert world.ids["subscriptions"] not in str(answers)
    await link("POST", f"/v1/subscriptions/{mine}/pause")
    actions = [e["action"] for e in (await link("GET", "/v1/audit")).json["data"]]
    assert actions == ["pause", "create"]
    (paused, created) = (await link("GET", "/v1/audit")).json["data"]
    assert paused["actor"].startswith("portal:")
    assert (paused["address"], created["address"]) == ("127.0.0.1", None)


async def test_a_link_of_several_webhooks_shows_them_all_and_acts_on_the_one_named(
    api: ServedApi, owner: Caller
) -> None:
    world = await a_world(api, owner)
    both = await a_link(owner, world.mine, world.ids["subscriptions"])
    for path in ("/v1/subscriptions", "/v1/attempts", "/v1/dead-letters", "/v1/replays"):
        found = (await both("GET", f"{path}?limit=1")).json
        rest = (await both("GET", f"{path}?limit=1&cursor={found['next']}")).json
        ids = [row["id"] for row in (*found["data"], *rest["data"])]
        assert ids == sorted(ids, reverse=True), path
        assert len(ids) == 2, path
    refused = await both("POST", "/v1/resends", {}, status=422)
    assert refused.faults == [("/subscription", "required")]
    refused = await both("GET", "/v1/events", status=422)
    assert refused.faults == [("subscription", "required")]


async def test_a_link_may_do_what_its_scopes_say_and_no_filter_opens_its_project(
    owner: Caller,
) -> None:
    mine = (await owner.make(filter={"data": {"label": ["mine"]}}))["id"]
    path = f"/v1/subscriptions/{mine}"
    reader = await a_link(owner, mine, scopes=["read"])
    assert "this link lacks" in (await reader("POST", f"{path}/pause", status=403)).json["detail"]
    link = await a_link(owner, mine)
    await link("PATCH", path, {"description": "ours", "types": ["stop.*", "plan.*"]})
    for written in (None, {"data": {"label": [{"exists": True}]}}):
        refused = await link("PATCH", path, {"filter": written}, status=422)
        assert refused.faults == [("/filter", "forbidden")]
    await link("PATCH", path, {"filter": {"data": {"label": ["mine"]}}})  # as it is
    body = {"url": "https://example.com/hook", "types": ["*"]}
    await link("POST", "/v1/subscriptions", body, status=403)
    whole = await a_link(owner)
    made = (await whole("POST", "/v1/subscriptions", body, status=201)).json
    assert len((await whole("GET", "/v1/subscriptions")).json["data"]) == 2
    assert made["project_id"] == owner.project
    for method, closed in (
        ("POST", "/v1/events"), ("GET", "/v1/projects"), ("GET", "/v1/geofences"),
        ("GET", "/v1/portal-links"), ("POST", "/v1/portal-links"),
    ):  # fmt: skip
        refused = await whole(method, closed, status=403)
        assert refused.json["detail"] == "this is not available through a portal link"


async def test_a_link_that_is_over_lets_nobody_in(api: ServedApi, owner: Caller) -> None:
    mine = (await owner.make())["id"]
    short = await a_link(owner, mine, expires_in=1)
    await eventually(lambda: _refused(short), within=10, every=0.1)
    link = await a_link(owner, mine)
    await link("GET", "/v1/subscriptions")
    (found, _) = (await owner("GET", "/v1/portal-links")).json["data"]
    assert found["last_used_at"] is not None
    stranger = Caller(owner.session, (await api.new_project())[1])
    await stranger("DELETE", f"/v1/portal-links/{found['id']}", status=404)
    await owner("DELETE", f"/v1/portal-links/{found['id']}", status=204)
    await link("GET", "/v1/subscriptions", status=401)
    await owner("DELETE", f"/v1/portal-links/{found['id']}", status=404)
    told = (await owner("GET", "/v1/audit?object_type=portal_link")).json["data"]
    assert [entry["action"] for entry in told] == ["revoke", "create", "create"]
    gone = await a_link(owner, mine)
    await api.ask("DELETE", f"/v1/projects/{owner.project}")
    await gone("GET", "/v1/subscriptions", status=401)


async def test_a_token_is_no_key_of_the_planner_compatible_api(
    api: ServedApi, owner: Caller
) -> None:
    link = await a_link(owner)
    for base in BASES:
        answered = await api.ask("GET", f"{base}/webhooks?private_key={link.key}", key=None)
        assert answered.status == 401, base


async def _refused(link: Caller) -> bool:
    return (await link.try_("GET", "/v1/subscriptions")).status == 401
