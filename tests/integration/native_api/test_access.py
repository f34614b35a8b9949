"""Who may do what, and what is not there; how large a request may be."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from tests.support.cluster import (
    Cluster,
)
from tests.support.native import (
    MAX_BODY,
    NOBODYS_ID,
    URL,
    Caller,
    a_plan_created,
    all_subscriptions,
    raw_request,
    with_key,
)

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(60)]


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer undefined", "Bearer priv_unknown", "Basic cHJpdg=="]
)
async def test_without_a_valid_key_nothing_is_done(header: str | None, owner: Caller) -> None:
    nobody = Caller(owner.session, key=None)
    headers = {} if header is None else {"Authorization": header}
    for method, path in [("GET", "/v1/subscriptions"), ("POST", "/v1/subscriptions")]:
        answer = await nobody(method, path, {}, status=401, **headers)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_an_expired_or_revoked_key_is_no_key(
    operator: Caller, owner: Caller, cluster: Cluster
) -> None:
    keys = f"/v1/projects/{owner.project}/api-keys"
    soon = datetime.now(UTC) + timedelta(hours=1)
    body = {"name": "short", "expires_at": soon.isoformat()}
    short = await operator("POST", keys, body, status=201)
    expiring = Caller(operator.session, short.json["key"])
    await expiring("GET", "/v1/subscriptions")
    # The hour is over.
    over = "update api_keys set expires_at = expires_at - interval '1 hour' where id = $1"
    await cluster.fetch(over, short.json["id"])
    await expiring("GET", "/v1/subscriptions", status=401)
    made = await operator("POST", keys, {"name": "revoked"}, status=201)
    revoked = Caller(operator.session, made.json["key"])
    await revoked("GET", "/v1/subscriptions")
    await operator("DELETE", f"{keys}/{made.json['id']}", status=204)
    await revoked("GET", "/v1/subscriptions", status=401)
    await operator("DELETE", f"{keys}/{made.json['id']}", status=404)


async def test_each_scope_opens_its_own_doors(operator: Caller, owner: Caller) -> None:
    made = await owner.make()
    one = f"/v1/subscriptions/{made['id']}"
    doors = [
        ("read", "GET", "/v1/subscriptions", None),
        ("read", "GET", one, None),
        ("read", "GET", f"{one}/secrets", None),
        ("manage", "PATCH", one, {"description": "x"}),
        ("manage", "POST", f"{one}/pause", None),
        ("manage", "POST", f"{one}/secrets/rotate", {}),
        ("ingest", "POST", "/v1/events", a_plan_created()),
        ("admin", "GET", "/v1/projects", None),
        ("admin", "POST", "/v1/projects", {"name": "x"}),
        ("admin", "GET", f"/v1/projects/{owner.project}/api-keys", None),
        ("admin", "DELETE", f"/v1/projects/{owner.project}", None),
    ]
    for held, opens in {
        "read": {"read"},
        "manage": {"read", "manage"},
        "ingest": {"ingest"},
    }.items():
        caller = await with_key(operator, owner.project, held)
        for needed, method, path, body in doors:
            if needed in opens:
                await caller(method, path, body)
            else:
                answer = await caller(method, path, body, status=403)
                assert f"lacks the scope '{needed}'" in answer.json["detail"]
    assert (await owner("GET", one)).json["description"] == "x"


async def test_what_belongs_to_another_project_is_not_there(
    operator: Caller, owner: Caller
) -> None:
    made = await owner.make()
    one = f"/v1/subscriptions/{made['id']}"
    project = (await operator("POST", "/v1/projects", {"name": "Another"})).json["id"]
    other = await with_key(operator, project, "manage", "ingest")
    for method, path, body in [
        ("GET", one, None),
        ("PATCH", one, {"description": "theirs"}),
        ("DELETE", one, None),
        ("POST", f"{one}/pause", None),
        ("POST", f"{one}/resume", None),
        ("POST", f"{one}/test", None),
        ("GET", f"{one}/secrets", None),
        ("POST", f"{one}/secrets/rotate", None),
        ("DELETE", f"{one}/secrets/{NOBODYS_ID}", None),
        ("POST", "/v1/subscriptions", {"project_id": owner.project, "url": URL, "types": ["*"]}),
        ("POST", "/v1/events", a_plan_created(project_id=owner.project)),
    ]:
        answer = await other(method, path, body, status=404)
        assert answer.json["type"] == "/problems/not-found"
    assert await all_subscriptions(other, f"&project_id={owner.project}") == []
    before = {name: made[name] for name in made if name not in ("secret", "warnings", "matches")}
    assert await all_subscriptions(owner) == [before]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/subscriptions/{}"),
        ("DELETE", "/v1/subscriptions/{}"),
        ("GET", "/v1/projects/{}"),
        ("DELETE", "/v1/projects/{}"),
        ("DELETE", "/v1/projects/{}/api-keys/" + NOBODYS_ID),
        ("DELETE", "/v1/projects/" + NOBODYS_ID + "/api-keys/{}"),
        ("GET", "/v1/event-types/{}"),
        ("GET", "/v1/nowhere/{}"),
    ],
)
@pytest.mark.parametrize("id_", [NOBODYS_ID, "5", "%00", "%FF", "x" * 5000, "..%2f..%2fetc"])
async def test_what_is_not_there_is_not_found_however_it_is_asked_for(
    id_: str, method: str, path: str, operator: Caller
) -> None:
    await operator(method, path.format(id_), status=404)


async def test_a_verb_that_a_path_lacks_is_answered_with_those_it_has(owner: Caller) -> None:
    answer = await owner("PUT", "/v1/subscriptions", {}, status=405)
    assert answer.headers["Allow"] == "GET, POST"
    answer = await owner("DELETE", "/v1/events", status=405)
    assert answer.headers["Allow"] == "GET, POST"


async def test_a_body_that_is_too_large_is_refused_before_it_is_sent(cluster: Cluster) -> None:
    head = ("POST /v1/events HTTP/1.1", "Content-Type: application/json")
    status, body = await raw_request(cluster, *head, f"Content-Length: {MAX_BODY + 1}")
    assert (status, orjson.loads(body)["type"]) == (413, "/problems/too-large")


async def test_a_body_of_unknown_length_is_refused_where_it_becomes_too_large(
    cluster: Cluster,
) -> None:
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    head = ("POST /v1/events HTTP/1.1", "Content-Type: application/json")
    status, _ = await raw_request(cluster, *head, "Transfer-Encoding: chunked", body=chunk * 6)
    assert status == 413


async def test_a_body_of_the_largest_size_is_read(owner: Caller) -> None:
    events = orjson.dumps({"events": []})
    body = events[:-1] + b" " * (MAX_BODY - len(events)) + events[-1:]
    answer = await owner("POST", "/v1/events", body, status=422, Content_Type="application/json")
    assert answer.faults == [("/events", "limit")]
