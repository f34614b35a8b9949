"""The native API, `/v1`, served by its own process: what callers are told, and what is changed."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openapi_spec_validator
import orjson
import pytest
import pytest_asyncio
from aiohttp import ClientSession
from aiokafka import AIOKafkaConsumer, TopicPartition

from services import catalogue
from services.broker.topics import TOPICS, create_missing
from services.deliver import verify as rules
from services.deliver.signing import parse_secret, sign
from services.kernel.subscription import Profile, SignatureScheme, SigningKey
from tests.support import openapi
from tests.support.certificates import Authority
from tests.support.cluster import (
    ADMIN_KEY,
    Cluster,
    Receiver,
    Seen,
    a_cluster,
    free_port,
    receiving,
)
from tests.support.databases import a_database
from tests.support.eventually import eventually
from tests.support.group import a_connection
from tests.support.native import Caller

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]

NOBODYS_ID = "0123456789abcdef01234567"
URL = "https://example.com/hook"
MAX_BODY = 5_242_880
PAUSE = timedelta(seconds=10)
"""Between two requests of a test call, at most."""
OURS = pytest_asyncio.fixture(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(
    embedded_kafka: str,
    embedded_postgres: str,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Cluster]:
    """One API process for all tests of this module; each has a project of its own."""
    await create_missing(a_connection(embedded_kafka), TOPICS, replication_factor=1)
    folder = tmp_path_factory.mktemp("api")
    async with (
        a_database(embedded_postgres, template=template_database) as dsn,
        a_cluster(embedded_kafka, dsn, folder) as cluster,
    ):
        yield cluster


@OURS
async def operator(cluster: Cluster) -> AsyncIterator[Caller]:
    """Who has the admin key."""
    async with ClientSession(cluster.api) as session:
        yield Caller(session)
    errors = [line for process in cluster.processes for line in process.lines()]
    assert [line for line in errors if line["event"] == "api_error"] == []


@OURS
async def owner(operator: Caller) -> Caller:
    """Who has a key of a new project that may do all that such a key may."""
    project = (await operator("POST", "/v1/projects", {"name": "A project"})).json["id"]
    return await with_key(operator, project, "manage", "ingest")


@OURS
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def with_key(operator: Caller, project: str, *scopes: str) -> Caller:
    """Return a caller with a new key of *project*."""
    body = {"name": "A key", "scopes": scopes}
    answer = await operator("POST", f"/v1/projects/{project}/api-keys", body, status=201)
    return Caller(operator.session, answer.json["key"], project)


async def subscriptions(caller: Caller, query: str = "") -> list[Any]:
    """Return all of a project, read page by page."""
    found: list[Any] = []
    cursor = ""
    while True:
        page = (await caller("GET", f"/v1/subscriptions?limit=500{query}{cursor}")).json
        found += page["data"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


def an_event(id_: str | None = None, **fields: object) -> dict[str, Any]:
    """Return a valid event, without a project."""
    data = {"id": NOBODYS_ID, "project_id": NOBODYS_ID, "status": "planning", "label": "x"}
    return {
        **({} if id_ is None else {"id": id_}),
        "type": "plan.created",
        "created_at": "2026-03-17T09:40:51.000Z",
        "data": data,
        **fields,
    }


# Faults of a body: all at once, each with its place, and nothing changed.


async def test_all_faults_of_a_subscription_are_told_at_once_and_nothing_is_stored(
    owner: Caller,
) -> None:
    body = {
        "url": "ftp://user@example.com/#here",
        "types": ["plan.created", "stop.complete", 5, "plan.created"],
        "tpyes": ["*"],
        "a/b~c": 1,
        "profile": "planner-2002",
        "timeout_seconds": 31,
        "headers": {"Webhook-Id": "x", "X/Y": "x", "X-Good": 5},
        "retry_schedule": [1, 0.5, "soon"],
        "max_in_flight": 1.5,
        "expand": ["stops", "plans"],
        "description": 7,
        "filter": {"all": []},
        "signature": "v2",
    }
    answer = await owner("POST", "/v1/subscriptions", body, status=422)
    assert sorted(answer.faults) == [
        ("/a~1b~0c", "unknown_field"),
        ("/description", "type"),
        ("/expand/1", "choice"),
        ("/filter/all", "empty"),
        ("/filter/all", "unknown_field"),
        ("/headers/Webhook-Id", "header"),
        ("/headers/X-Good", "type"),
        ("/headers/X~1Y", "header"),
        ("/max_in_flight", "type"),
        ("/profile", "choice"),
        ("/retry_schedule/1", "range"),
        ("/retry_schedule/2", "type"),
        ("/signature", "choice"),
        ("/timeout_seconds", "range"),
        ("/tpyes", "unknown_field"),
        ("/types/1", "unknown_type"),
        ("/types/2", "type"),
        ("/types/3", "duplicate"),
        ("/url", "fragment"),
        ("/url", "scheme"),
        ("/url", "userinfo"),
    ]
    said = answer.json
    assert (said["type"], said["title"], said["detail"]) == (
        "/problems/invalid",
        "The subscription is not valid",
        "21 faults",
    )
    assert await subscriptions(owner) == []


async def test_a_project_that_is_not_named_is_a_fault_like_the_others(operator: Caller) -> None:
    body = {"url": URL, "types": ["stop.complete"]}
    answer = await operator("POST", "/v1/subscriptions", body, status=422)
    assert answer.faults == [("/types/0", "unknown_type"), ("/project_id", "required")]
    answer = await operator("POST", "/v1/subscriptions", {**body, "project_id": 5}, status=422)
    assert answer.faults == [("/types/0", "unknown_type"), ("/project_id", "type")]
    events = [an_event(type="plan.creatd"), an_event(project_id=["x"]), an_event()]
    answer = await operator("POST", "/v1/events", {"events": events}, status=422)
    assert answer.faults == [
        ("/events/0/type", "unknown_type"),
        ("/events/0/project_id", "required"),
        ("/events/1/project_id", "type"),
        ("/events/2/project_id", "required"),
    ]


async def test_a_body_that_is_no_object_has_that_one_fault(owner: Caller) -> None:
    for body in ([], "text", None):
        answer = await owner(
            "POST",
            "/v1/subscriptions",
            orjson.dumps(body),
            status=422,
            Content_Type="application/json",
        )
        assert answer.faults == [("", "type")]


async def test_all_faults_of_a_query_and_of_a_test_call_are_told_at_once(owner: Caller) -> None:
    query = "limit=0&stauts=x&status=actve&cursor=nonsense"
    answer = await owner("GET", f"/v1/subscriptions?{query}", status=422)
    assert sorted(answer.faults) == [
        ("cursor", "cursor"),
        ("limit", "range"),
        ("status", "choice"),
        ("stauts", "unknown_parameter"),
    ]
    path = f"/v1/subscriptions/{(await owner.make())['id']}/test"
    body = {"typ": 1, "type": "stop.*", "data": []}
    assert (await owner("POST", path, body, status=422)).faults == [
        ("/typ", "unknown_field"),
        ("/type", "unknown_type"),
        ("/data", "type"),
    ]


async def test_what_was_misspelt_is_answered_with_the_nearest_name(owner: Caller) -> None:
    body = {"url": URL, "types": ["stop.complete"], "tpyes": [], "profile": "planner-2002"}
    messages = (await owner("POST", "/v1/subscriptions", body, status=422)).messages
    assert "did you mean 'stop.report.completed'?" in messages["/types/0"]
    assert "did you mean 'types'?" in messages["/tpyes"]
    assert "did you mean 'planner-2022'?" in messages["/profile"]
    query = await owner("GET", "/v1/subscriptions?stauts=paused", status=422)
    assert query.faults == [("stauts", "unknown_parameter")]
    assert "did you mean 'status'?" in query.messages["stauts"]
    event = an_event(type="plan.creatd")
    messages = (await owner("POST", "/v1/events", event, status=422)).messages
    assert "did you mean 'plan.created'?" in messages["/type"]


async def test_what_is_required_is_said_by_name(owner: Caller, operator: Caller) -> None:
    answer = await owner("POST", "/v1/subscriptions", {}, status=422)
    assert answer.faults == [("/url", "required"), ("/types", "required")]
    answer = await operator("POST", "/v1/projects", status=422)
    assert answer.faults == [("/name", "required")]
    answer = await operator("POST", "/v1/subscriptions", {"url": URL, "types": ["*"]}, status=422)
    assert answer.faults == [("/project_id", "required")]
    answer = await owner("POST", "/v1/subscriptions", ["*"], status=422)
    assert answer.faults[0] == ("", "type")


async def test_an_address_of_our_own_network_is_refused_with_the_setting_that_allows_it(
    owner: Caller,
) -> None:
    for url in ("http://10.0.0.7/hook", "https://[fd00::1]/", "https://169.254.169.254/latest"):
        body = {"url": url, "types": ["*"]}
        answer = await owner("POST", "/v1/subscriptions", body, status=422)
        assert answer.faults == [("/url", "refused_address")]
        assert "WEBHOOKS_DELIVER__ALLOW_NETWORKS" in answer.messages["/url"]
        probed = await owner("POST", "/v1/subscriptions/probe", {"url": url}, status=422)
        assert probed.faults == [("/url", "refused_address")]


async def test_a_refused_change_changes_nothing(owner: Caller) -> None:
    made = await owner.make()
    path = f"/v1/subscriptions/{made['id']}"
    body = {"description": "new", "types": ["nothing.like.it"], "status": "paused", "url": None}
    answer = await owner("PATCH", path, body, status=422)
    assert sorted(answer.faults) == [
        ("/status", "read_only"),
        ("/types/0", "unknown_type"),
        ("/url", "required"),
    ]
    after = await owner("GET", path)
    assert after.json == {name: value for name, value in made.items() if name != "secret"}
    assert after.headers["ETag"] == '"1"'


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        ("limit=0", [("limit", "range")]),
        ("limit=501", [("limit", "range")]),
        ("limit=00000000000000000000050", [("limit", "range")]),
        ("limit=%C2%B2", [("limit", "range")]),
        ("cursor=nonsense", [("cursor", "cursor")]),
        ("cursor=fAA", [("cursor", "cursor")]),
        ("status=activ", [("status", "choice")]),
        ("limit=x&cursor=y", [("limit", "range"), ("cursor", "cursor")]),
        ("url=%00&type=%00", [("url", "text"), ("type", "text")]),
    ],
)
async def test_query_parameters_are_faults_by_their_names(
    query: str, faults: list[tuple[str, str]], owner: Caller
) -> None:
    answer = await owner("GET", f"/v1/subscriptions?{query}", status=422)
    assert sorted(answer.faults) == sorted(faults)


async def test_a_body_that_is_no_json_is_answered_with_line_and_column(owner: Caller) -> None:
    body = b'{"url": "https://example.com",\n "types": ["*"}'
    answer = await owner(
        "POST", "/v1/subscriptions", body, status=400, Content_Type="application/json"
    )
    assert answer.json["type"] == "/problems/malformed"
    assert answer.json["detail"].startswith("line 2, column 15: ")
    assert await subscriptions(owner) == []


async def test_a_body_nested_too_deeply_to_be_sent_on_is_refused(owner: Caller) -> None:
    deep = orjson.dumps(an_event(data={"deep": "HERE"}))
    for levels in (199, 300, 1_000):
        body = deep.replace(b'"HERE"', b"[" * levels + b"]" * levels)
        answer = await owner(
            "POST", "/v1/events", body, status=400, Content_Type="application/json"
        )
        assert "nested" in answer.json["detail"]


async def test_a_body_of_another_media_type_is_refused(owner: Caller) -> None:
    body = orjson.dumps({"url": URL, "types": ["*"]})
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        answer = await owner(
            "POST", "/v1/subscriptions", body, status=415, Content_Type=content_type
        )
        assert content_type in answer.json["detail"]
    for content_type in ("application/json; charset=utf-8", "application/merge-patch+json"):
        await owner("POST", "/v1/subscriptions", body, status=201, Content_Type=content_type)


# Who may do what.


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer undefined", "Bearer priv_unknown", "Basic cHJpdg=="]
)
async def test_without_a_valid_key_nothing_is_done(header: str | None, owner: Caller) -> None:
    nobody = Caller(owner.session, key=None)
    headers = {} if header is None else {"Authorization": header}
    for method, path in [("GET", "/v1/subscriptions"), ("POST", "/v1/subscriptions")]:
        answer = await nobody(method, path, {}, status=401, **headers)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_an_expired_or_revoked_key_is_no_key(operator: Caller, owner: Caller) -> None:
    keys = f"/v1/projects/{owner.project}/api-keys"
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    body = {"name": "short", "expires_at": soon.isoformat()}
    short = await operator("POST", keys, body, status=201)
    expiring = Caller(operator.session, short.json["key"])
    await expiring("GET", "/v1/subscriptions")

    async def has_expired() -> bool:
        async with operator.session.get(
            "/v1/subscriptions", headers={"Authorization": f"Bearer {expiring.key}"}
        ) as response:
            return response.status == 401

    await eventually(has_expired)
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
        ("ingest", "POST", "/v1/events", an_event()),
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
        ("POST", "/v1/events", an_event(project_id=owner.project)),
    ]:
        answer = await other(method, path, body, status=404)
        assert answer.json["type"] == "/problems/not-found"
    assert await subscriptions(other, f"&project_id={owner.project}") == []
    before = {name: made[name] for name in made if name not in ("secret", "warnings", "matches")}
    assert await subscriptions(owner) == [before]


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


# Large bodies.


async def raw(cluster: Cluster, *head: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send a request byte by byte as written; return status and body of the answer."""
    host, _, port = cluster.api.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        lines = [*head, f"Host: {host}", f"Authorization: Bearer {ADMIN_KEY}", "", ""]
        writer.write("\r\n".join(lines).encode("latin-1") + body)
        await writer.drain()
        said = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(said.lower().partition("content-length: ")[2].partition("\r\n")[0])
        return int(said.split()[1]), await reader.readexactly(length)
    finally:
        writer.close()


async def test_a_body_that_is_too_large_is_refused_before_it_is_sent(cluster: Cluster) -> None:
    head = ("POST /v1/events HTTP/1.1", "Content-Type: application/json")
    status, body = await raw(cluster, *head, f"Content-Length: {MAX_BODY + 1}")
    assert (status, orjson.loads(body)["type"]) == (413, "/problems/too-large")


async def test_a_body_of_unknown_length_is_refused_where_it_becomes_too_large(
    cluster: Cluster,
) -> None:
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    head = ("POST /v1/events HTTP/1.1", "Content-Type: application/json")
    status, _ = await raw(cluster, *head, "Transfer-Encoding: chunked", body=chunk * 6)
    assert status == 413


async def test_a_body_of_the_largest_size_is_read(owner: Caller) -> None:
    events = orjson.dumps({"events": []})
    body = events[:-1] + b" " * (MAX_BODY - len(events)) + events[-1:]
    answer = await owner("POST", "/v1/events", body, status=422, Content_Type="application/json")
    assert answer.faults == [("/events", "limit")]


# Idempotency-Key.


async def test_a_repeated_post_is_done_once_and_answered_alike(owner: Caller) -> None:
    body = {"url": URL, "types": ["*"]}
    first = await owner("POST", "/v1/subscriptions", body, status=201, Idempotency_Key="k1")
    again = await owner("POST", "/v1/subscriptions", body, status=201, Idempotency_Key="k1")
    assert again.body == first.body, "the secret too: the first answer may have been lost"
    for name in ("ETag", "Location", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    assert "Idempotent-Replay" not in first.headers
    assert again.headers["Idempotent-Replay"] == "true"
    assert len(await subscriptions(owner)) == 1
    await owner("POST", "/v1/subscriptions", body, status=201, Idempotency_Key="k2")
    assert len(await subscriptions(owner)) == 2


async def test_another_request_under_a_used_key_is_refused(owner: Caller) -> None:
    body = {"url": URL, "types": ["*"]}
    made = await owner("POST", "/v1/subscriptions", body, Idempotency_Key="k")
    for path, sent in [
        ("/v1/subscriptions", {**body, "description": "another"}),
        (f"/v1/subscriptions/{made.json['id']}/pause", body),
    ]:
        answer = await owner("POST", path, sent, status=422, Idempotency_Key="k")
        assert answer.faults == [("Idempotency-Key", "idempotency_key")]
    (only,) = await subscriptions(owner)
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
    status, said = await raw(cluster, *head)
    assert (status, orjson.loads(said)["errors"][0]["parameter"]) == (422, "Idempotency-Key")


async def test_only_a_post_takes_an_idempotency_key(owner: Caller) -> None:
    made = await owner.make()
    path = f"/v1/subscriptions/{made['id']}"
    for description in ("one", "two"):
        body = {"description": description}
        answer = await owner("PATCH", path, body, Idempotency_Key="k")
        assert answer.json["description"] == description


# Lists.


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
        assert [row["id"] for row in await subscriptions(owner, query)] == expected, query
        mine = await subscriptions(operator, f"{query}&project_id={owner.project}")
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


# Changes.


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


# Secrets and test calls.


def signatures(seen: Seen) -> list[str]:
    """Return the signatures of a request."""
    return seen.headers["webhook-signature"].split()


def signed(secret: str, seen: Seen) -> str:
    """Return how *secret* signs a request."""
    timestamp = int(seen.headers["webhook-timestamp"])
    key = SigningKey(SignatureScheme.V1, parse_secret(secret))
    return sign([key], id_=seen.id, timestamp=timestamp, body=seen.body, now=timestamp)


async def called(owner: Caller, path: str, receiver: Receiver) -> Seen:
    """Make a test call and return what the receiver got."""
    assert (await owner("POST", f"{path}/test")).json["outcome"] == "ok"
    return receiver.seen[-1]


async def test_a_secret_is_shown_once_and_signs(owner: Caller, receiver: Receiver) -> None:
    made = await owner.make(url=f"{receiver.url}/hook")
    path = f"/v1/subscriptions/{made['id']}"
    assert made["secret"].startswith("whsec_")
    value = made["secret"].removeprefix("whsec_")
    for method, where, body in [
        ("GET", path, None),
        ("GET", "/v1/subscriptions", None),
        ("GET", f"{path}/secrets", None),
        ("PATCH", path, {"description": "x"}),
        ("POST", f"{path}/pause", None),
    ]:
        assert value not in (await owner(method, where, body)).body.decode()
    seen = await called(owner, path, receiver)
    assert signatures(seen) == [signed(made["secret"], seen)]


async def test_while_a_secret_is_rotated_both_sign(owner: Caller, receiver: Receiver) -> None:
    made = await owner.make(url=f"{receiver.url}/hook")
    path = f"/v1/subscriptions/{made['id']}"
    before = datetime.now(UTC)
    rotated = (await owner("POST", f"{path}/secrets/rotate", {"overlap_hours": 2})).json
    ends = datetime.fromisoformat(rotated["previous_expires_at"])
    assert timedelta(0) <= ends - before - timedelta(hours=2) < timedelta(minutes=1)
    assert rotated["secret"] != made["secret"]
    seen = await called(owner, path, receiver)
    assert signatures(seen) == [signed(rotated["secret"], seen), signed(made["secret"], seen)]
    listed = (await owner("GET", f"{path}/secrets")).json["data"]
    assert [(row["id"], row["expires_at"]) for row in listed] == [
        (rotated["id"], None),
        (listed[1]["id"], rotated["previous_expires_at"]),
    ]
    await owner("DELETE", f"{path}/secrets/{listed[1]['id']}", status=204)
    seen = await called(owner, path, receiver)
    assert signatures(seen) == [signed(rotated["secret"], seen)]
    await owner("DELETE", f"{path}/secrets/{listed[1]['id']}", status=204)
    conflict = await owner("DELETE", f"{path}/secrets/{rotated['id']}", status=409)
    assert "rotate it instead" in conflict.json["detail"]
    await owner("DELETE", f"{path}/secrets/{NOBODYS_ID}", status=404)
    await owner("DELETE", f"{path}/secrets/%00", status=404)


async def test_who_takes_a_rotation_back_has_a_secret_that_lasts(
    owner: Caller, receiver: Receiver
) -> None:
    made = await owner.make(url=f"{receiver.url}/hook")
    path = f"/v1/subscriptions/{made['id']}"
    rotated = (await owner("POST", f"{path}/secrets/rotate")).json
    await owner("DELETE", f"{path}/secrets/{rotated['id']}", status=204)
    ended, kept = (await owner("GET", f"{path}/secrets")).json["data"]
    assert ended["id"] == rotated["id"]
    assert kept["expires_at"] is None, "nothing would sign once its overlap had ended"
    seen = await called(owner, path, receiver)
    assert signatures(seen) == [signed(made["secret"], seen)]


async def test_a_rotation_without_overlap_ends_the_secret_before_at_once(
    owner: Caller, receiver: Receiver
) -> None:
    made = await owner.make(url=f"{receiver.url}/hook")
    path = f"/v1/subscriptions/{made['id']}"
    rotated = (await owner("POST", f"{path}/secrets/rotate", {"overlap_hours": 0})).json
    seen = await called(owner, path, receiver)
    assert signatures(seen) == [signed(rotated["secret"], seen)]
    for hours in (-1, 169, "24"):
        body = {"overlap_hours": hours}
        answer = await owner("POST", f"{path}/secrets/rotate", body, status=422)
        assert answer.faults[0][0] == "/overlap_hours"
    assert len((await owner("GET", f"{path}/secrets")).json["data"]) == 2


async def test_of_an_ed25519_subscription_the_public_key_is_shown_to_everybody(
    owner: Caller, receiver: Receiver
) -> None:
    made = await owner.make(url=f"{receiver.url}/hook", signature="v1a")
    path = f"/v1/subscriptions/{made['id']}"
    assert "secret" not in made
    rotated = (await owner("POST", f"{path}/secrets/rotate")).json
    assert "secret" not in rotated
    keys = [rotated["public_key"], made["public_key"]]
    assert all(len(base64.b64decode(key.removeprefix("whpk_"))) == 32 for key in keys)
    listed = (await owner("GET", f"{path}/secrets")).json["data"]
    assert [(row["public_key"], row["signature"]) for row in listed] == [
        (key, "v1a") for key in keys
    ]
    public = await Caller(owner.session, key=None)("GET", "/.well-known/webhook-keys.json")
    mine = [row for row in public.json["keys"] if row["subscription_id"] == made["id"]]
    assert [row["public_key"] for row in mine] == keys
    seen = await called(owner, path, receiver)
    assert [text.partition(",")[0] for text in signatures(seen)] == ["v1a", "v1a"]


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
    made = await owner.make(url=f"{receiver.url}/hook", timeout_seconds=1)
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
    assert await subscriptions(owner) == []


# Ingest.


async def read(
    cluster: Cluster, places: list[Any]
) -> list[tuple[bytes | None, Any, dict[str, bytes]]]:
    """Read records at the places that an answer names: key, value, headers."""
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        found = []
        for place in places:
            tp = TopicPartition(place["topic"], place["partition"])
            consumer.assign([tp])
            consumer.seek(tp, place["offset"])
            record = await consumer.getone(tp)
            assert record.offset == place["offset"]
            found.append((record.key, orjson.loads(record.value), dict(record.headers)))
        return found
    finally:
        await consumer.stop()


async def test_an_event_is_in_kafka_when_it_is_answered(cluster: Cluster, owner: Caller) -> None:
    event = an_event("61f0a446c97efa37d4831020", extra={"kept": True})
    answer = await owner("POST", "/v1/events", event, status=202)
    (place,) = answer.json["events"]
    assert (place["id"], place["topic"]) == (event["id"], "planner.events")
    ((key, value, headers),) = await read(cluster, [place])
    assert value == {**event, "project_id": owner.project}
    assert key == f"{owner.project}:{NOBODYS_ID}".encode()
    assert headers == {
        "project_id": owner.project.encode(),
        "type": b"plan.created",
        "id": event["id"].encode(),
    }


async def test_many_events_are_answered_in_their_order_with_their_places(
    cluster: Cluster, owner: Caller
) -> None:
    master = an_event(
        "e1", type="client.created", data={"id": NOBODYS_ID, "project_id": NOBODYS_ID}
    )
    events = [an_event("e0"), master, an_event(None), an_event("e3")]
    places = (await owner("POST", "/v1/events", {"events": events}, status=202)).json["events"]
    assert [place["id"] for place in places] == ["e0", "e1", places[2]["id"], "e3"]
    assert len(places[2]["id"]) == 24
    topics = ["planner.events", "planner.master", "planner.events", "planner.events"]
    assert [place["topic"] for place in places] == topics
    values = [value for _, value, _ in await read(cluster, places)]
    assert [value["id"] for value in values] == [place["id"] for place in places]
    assert values[1]["type"] == "customer.created", "an older name becomes today's"


async def ends(cluster: Cluster) -> dict[TopicPartition, int]:
    """Return where the logs of events end."""
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap)
    await consumer.start()
    try:
        topics = [(topic.name, topic.partitions) for topic in TOPICS[:3]]
        tps = [TopicPartition(name, number) for name, count in topics for number in range(count)]
        return dict(await consumer.end_offsets(tps))
    finally:
        await consumer.stop()


async def test_of_many_events_all_are_taken_or_none(cluster: Cluster, owner: Caller) -> None:
    before = await ends(cluster)
    bad_data = {"id": 5, "project_id": NOBODYS_ID, "status": "nearly"}
    events = [
        an_event("good"),
        an_event(type="plan.creatd"),
        an_event(created_at="yesterday"),
        an_event(created_at="0001-01-01T00:00:00+01:00"),
        an_event(data=bad_data),
        an_event(data={**bad_data, "id": NOBODYS_ID, "status": "x" * 1_100_000}),
        an_event(data={**an_event()["data"], "label": "x" * 1_100_000}),
        an_event("", user=7),
        "no event",
        an_event(type="webhook.disabled"),
    ]
    answer = await owner("POST", "/v1/events", {"events": events}, status=422)
    assert answer.faults == [
        ("/events/1/type", "unknown_type"),
        ("/events/2/created_at", "time"),
        ("/events/3/created_at", "time"),
        ("/events/4/data/id", "schema"),
        ("/events/4/data/status", "schema"),
        ("/events/5/data/status", "schema"),
        ("/events/6", "limit"),
        ("/events/7/user", "type"),
        ("/events/7/id", "id"),
        ("/events/8", "type"),
        ("/events/9/type", "reserved_type"),
    ]
    assert await ends(cluster) == before


async def test_faults_of_one_event_have_their_place_in_it(owner: Caller) -> None:
    answer = await owner("POST", "/v1/events", {"type": 5, "meta": []}, status=422)
    assert sorted(answer.faults) == [
        ("/created_at", "required"),
        ("/data", "required"),
        ("/meta", "type"),
        ("/type", "type"),
    ]
    answer = await owner("POST", "/v1/events", {"events": [], "a/b": 1}, status=422)
    assert sorted(answer.faults) == [("/a~1b", "unknown_field"), ("/events", "limit")]
    many = {"events": [an_event()] * 1001}
    assert (await owner("POST", "/v1/events", many, status=422)).faults == [("/events", "limit")]


async def test_an_operator_names_the_project_and_may_send_operational_events(
    cluster: Cluster, operator: Caller, owner: Caller
) -> None:
    answer = await operator("POST", "/v1/events", an_event(), status=422)
    assert answer.faults == [("/project_id", "required")]
    answer = await operator("POST", "/v1/events", an_event(project_id=5), status=422)
    assert answer.faults == [("/project_id", "type")]
    await operator("POST", "/v1/events", an_event(project_id=NOBODYS_ID), status=404)
    sent = await operator("POST", "/v1/events", an_event(project_id=owner.project), status=202)
    ((_, value, _),) = await read(cluster, sent.json["events"])
    assert value["project_id"] == owner.project


async def test_an_ingest_repeated_under_its_key_produces_nothing_twice(
    cluster: Cluster, owner: Caller
) -> None:
    first = await owner("POST", "/v1/events", an_event(), status=202, Idempotency_Key="k")
    before = await ends(cluster)
    again = await owner("POST", "/v1/events", an_event(), status=202, Idempotency_Key="k")
    assert again.body == first.body
    assert await ends(cluster) == before


# Health.


async def test_health_and_descriptions_need_no_key(owner: Caller) -> None:
    nobody = Caller(owner.session, key=None)
    for path in ("/healthz", "/readyz"):
        assert (await nobody("GET", path)).json == {"status": "ok"}
    for name in ("events/catalogue.json", "events/examples.json", "events/schema.json"):
        assert (await nobody("GET", f"/schemas/{name}")).json
    await nobody("GET", "/schemas/../pyproject.toml", status=404)
    await nobody("GET", "/schemas/postgres/schema.sql", status=404)


# Descriptions.


async def test_the_document_is_the_one_beside_the_code_and_valid(owner: Caller) -> None:
    served = await Caller(owner.session, key=None)("GET", "/openapi.json")
    assert served.body == openapi.committed(), "write it with: python -m tests.support.openapi"
    openapi_spec_validator.validate(served.json)


async def test_topics_are_described_and_all_of_it_is_a_page_that_loads_nothing(
    owner: Caller,
) -> None:
    nobody = Caller(owner.session, key=None)
    served = await nobody("GET", "/asyncapi.json")
    assert served.body == openapi.committed(openapi.TOPICS_FILE)
    assert served.headers["Content-Type"] == "application/json"
    page = await nobody("GET", "/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    text = page.body.decode()
    for said in ("POST /v1/subscriptions", "/asyncapi.json", "stop.report.completed"):
        assert said in text
    assert "<script" not in text
    assert "http" not in text.replace("https://", "http://").split("<h2>")[0]


async def test_single_objects_have_an_etag_of_their_content(
    owner: Caller, operator: Caller
) -> None:
    path = f"/v1/projects/{owner.project}"
    read = await operator("GET", path)
    tag = read.headers["ETag"]
    changed = await operator("PATCH", path, {"name": "Another"}, If_Match=tag)
    assert changed.headers["ETag"] != tag
    await operator("PATCH", path, {"name": "A third"}, status=412, If_Match=tag)
    await operator("DELETE", path, status=412, If_Match=tag)
    assert (await operator("GET", path)).headers["ETag"] == changed.headers["ETag"]
    one = "/v1/event-types/plan.created"
    assert (await owner("GET", one)).headers["ETag"] == (await owner("GET", one)).headers["ETag"]
    assert "ETag" not in (await owner("GET", "/v1/event-types")).headers
    await operator("DELETE", path, status=204, If_Match=changed.headers["ETag"])


async def test_event_types_are_those_of_the_catalogue(owner: Caller) -> None:
    listed = (await owner("GET", "/v1/event-types")).json
    rows = catalogue.read("catalogue.json")
    assert listed["next"] is None
    expected = [{"key" if name == "kafka_key" else name: row[name] for name in row} for row in rows]
    none = {"last_day": 0, "peak_per_second": 0, "bytes": 0}
    meanings = catalogue.read("meanings.json")["types"]
    assert listed["data"] == [
        {**row, "meaning": meanings[row["type"]], "volume": none} for row in expected
    ]
    for row in rows:
        one = (await owner("GET", f"/v1/event-types/{row['type']}")).json
        assert one["type"] == row["type"]
        assert one["examples"].keys() == {profile.value for profile in Profile}
        example = catalogue.examples()[row["type"]]
        assert one["examples"]["planner-2022"] == example
        assert (one["schema"] is None) == (row["type"] not in catalogue.data_schemas())
        for alias in row["aliases"]:
            older = (await owner("GET", f"/v1/event-types/{alias}")).json
            assert older == one
