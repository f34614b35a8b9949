"""`filter` on subscriptions of both APIs, and `/v1/filters`: what is told when a filter is written."""

import json
import time
from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio

from services import catalogue
from tests.support.api import ServedApi, an_api
from tests.support.databases import a_database
from tests.support.native import Caller

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]

OURS = pytest_asyncio.fixture(loop_scope="module")
URL = "https://example.com/hook"
CANCELED = {"data": {"report": {"tasks": {"status": ["canceled"]}}}}
HOSTILE = [
    b"[" * 16_384,
    b'{"a":' * 9 + b"[1]" + b"}" * 9,
    b'{"a": [NaN]}',
    b'{"a": [1e309]}',
    b'{"a": [1e-325]}',
    b'{"a": [' + b"9" * 5_000 + b"]}",
    b'{"a": [1], "a": [2]}',
    b'{"a": {"b": [1], "b": [2]}}',
    b'{"$or": [{"a": [1]}, {"b": [1]}], "$or": [{"a": [1]}, {"b": [1]}]}',
    b'{"a": ["\\ud800"]}',
    b'{"\\ud800": ["x"]}',
    b'{"a": ["\\u0000"]}',
    b'{"a": [{"wildcard": "\\\\\\\\**"}]}',
    b'{"a": [' + b",".join(b"%d" % n for n in range(257)) + b"]}",
    b"{%s}" % b",".join(b'"f%d": [1]' % n for n in range(33)),
    b'{"data": {"position": [{"geo-within": {"polygon": {"type": "Polygon", "coordinates": [[]]}}}]}}',
    b'{"a": ["' + b"x" * 17_000 + b'"]}',
    b'{"$or": [%s]}' % b",".join([b'{"a": [1]}'] * 17),
    b"{}",
    b"[]",
    b'"data"',
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(
    embedded_kafka: str, embedded_postgres: str, template_database: str
) -> AsyncIterator[ServedApi]:
    async with (
        a_database(embedded_postgres, template=template_database) as dsn,
        an_api(embedded_kafka, dsn) as api,
    ):
        yield api


@OURS
async def owner(api: ServedApi) -> Caller:
    """Who has a key of a new project."""
    project, key = await api.new_project()
    return Caller(api.session, key, project, base=api.url)


# On subscriptions.


async def test_a_filter_is_stored_and_shown_in_its_normal_form(owner: Caller) -> None:
    written = {"data": {"position": {"speed": [{"numeric": [">", 5.0]}, {"numeric": [">", 5]}]}}}
    made = await owner.make(types=["vehicle.position"], filter=written)
    expected = {"data": {"position": {"speed": [{"numeric": [">", 5]}]}}}
    assert (made["filter"], made["warnings"]) == (expected, [])
    path = f"/v1/subscriptions/{made['id']}"
    assert (await owner("GET", path)).json["filter"] == expected
    assert (await owner("PATCH", path, {"filter": None})).json["filter"] is None
    assert (await owner("PATCH", path, {"filter": written})).json["filter"] == expected


async def test_faults_of_a_filter_are_told_with_those_of_other_fields(owner: Caller) -> None:
    body = (
        b'{"url": "ftp://example.com", "types": ["vehicle.position", "stop.complete"],'
        b' "max_in_flight": 1e999, "description": "x", "description": "y",'
        b' "filter": {"data": {"position": {"spede": [1], "speed": ["90", NaN]}}}}'
    )
    answer = await owner(
        "POST", "/v1/subscriptions", body, status=422, Content_Type="application/json"
    )
    assert sorted(answer.faults) == [
        ("/description", "duplicate_key"),
        ("/filter/data/position/spede", "unknown_field"),
        ("/filter/data/position/speed/0", "type_mismatch"),
        ("/filter/data/position/speed/1", "number"),
        ("/max_in_flight", "number"),
        ("/types/1", "unknown_type"),
        ("/url", "scheme"),
    ]
    assert (await owner("GET", "/v1/subscriptions")).json["data"] == []


async def test_the_commonest_mistake_is_told_with_the_form_that_is_right(owner: Caller) -> None:
    body = {"url": URL, "types": ["stop.*"], "filter": {"data": {"stop": {"status": "pending"}}}}
    answer = await owner("POST", "/v1/subscriptions", body, status=422)
    (message,) = answer.messages.values()
    assert 'write ["pending"]' in message


async def test_types_that_have_nothing_of_the_filter_are_refused(owner: Caller) -> None:
    made = await owner.make(types=["stop.report.*"], filter=CANCELED)
    path = f"/v1/subscriptions/{made['id']}"
    answer = await owner("PATCH", path, {"types": ["customer.*"]}, status=422)
    assert [code for _, code in answer.faults] == ["unknown_field"]
    assert (await owner("GET", path)).json["types"] == ["stop.report.*"]


async def test_what_is_odd_is_said_and_saved_all_the_same(owner: Caller) -> None:
    made = await owner.make(types=["stop.report.*", "customer.created"], filter=CANCELED)
    assert [odd["code"] for odd in made["warnings"]] == ["never_true"]
    answer = await owner("GET", f"/v1/subscriptions/{made['id']}")
    assert answer.json["warnings"] == made["warnings"]


async def test_only_a_geofence_of_the_project_can_be_named_and_then_not_be_deleted(
    api: ServedApi, owner: Caller
) -> None:
    circle = {"center": {"lat": 41.4, "lng": 2.17}, "radius_m": 500}
    fence = (await owner("POST", "/v1/geofences", {"label": "x", "circle": circle})).json["id"]
    within = {"data": {"position": [{"geo-within": {"geofence": fence}}]}}
    made = await owner.make(types=["vehicle.position"], filter=within)
    answer = await owner("DELETE", f"/v1/geofences/{fence}", status=409)
    assert answer.json["subscriptions"] == [made["id"]]
    project, key = await api.new_project()
    stranger = Caller(api.session, key, project, base=api.url)
    body = {"url": URL, "types": ["vehicle.position"], "filter": within}
    refused = await stranger("POST", "/v1/subscriptions", body, status=422)
    assert refused.faults == [("/filter/data/position/0/geo-within/geofence", "geofence")]
    # Disabled it matches nothing, which is said where somebody looks.
    await owner("PATCH", f"/v1/geofences/{fence}", {"enabled": False})
    shown = (await owner("GET", f"/v1/subscriptions/{made['id']}")).json
    assert "geofence" in [odd["code"] for odd in shown["warnings"]]
    await owner("PATCH", f"/v1/subscriptions/{made['id']}", {"filter": None})
    await owner("DELETE", f"/v1/geofences/{fence}", status=204)


async def test_a_project_has_as_many_subscriptions_as_its_setting_allows(api: ServedApi) -> None:
    operator = Caller(api.session, base=api.url)
    project, key = await api.new_project()
    await operator("PATCH", f"/v1/projects/{project}", {"max_subscriptions": 2})
    owner = Caller(api.session, key, project, base=api.url)
    await owner.make()
    await owner.make()
    answer = await owner("POST", "/v1/subscriptions", {"url": URL, "types": ["*"]}, status=422)
    assert answer.faults == [("", "limit")]


async def test_a_filter_that_can_not_be_read_any_more_is_shown_as_broken(
    api: ServedApi, owner: Caller
) -> None:
    made = await owner.make(types=["stop.*"], filter=None)
    await api.sql("update subscriptions set filter = $2 where id = $1", made["id"], '{"$xor": []}')
    shown = (await owner("GET", f"/v1/subscriptions/{made['id']}")).json
    assert [(odd["pointer"], odd["code"]) for odd in shown["warnings"]] == [("/filter", "broken")]


@pytest.mark.parametrize("written", HOSTILE, ids=lambda text: text[:24].decode())
async def test_a_hostile_filter_is_refused_at_once(owner: Caller, written: bytes) -> None:
    body = b'{"url": "https://example.com/hook", "types": ["*"], "filter": ' + written + b"}"
    began = time.process_time()  # the API serves in this process
    async with owner.session.post(
        f"{owner.base}/v1/subscriptions",
        data=body,
        headers={"Authorization": f"Bearer {owner.key}", "Content-Type": "application/json"},
    ) as response:
        problem = json.loads(await response.read())
    assert response.status in (400, 422), problem
    if response.status == 422:
        assert any(fault["pointer"].startswith("/filter") for fault in problem["errors"])
    assert time.process_time() - began < 2  # a coarse guard


# The Planner-compatible API.


async def test_the_compatible_api_takes_filters_too(api: ServedApi, owner: Caller) -> None:
    body = {"url": URL, "enabled_events": ["stop.report.*"], "filter": CANCELED}
    created = await api.ask("POST", "/v2/webhook", key=owner.key, json=body)
    assert (created.status, created.json["filter"]) == (200, CANCELED)
    path = f"/v2/webhook/{created.json['id']}"
    changed = await api.ask("PUT", path, key=owner.key, json={"filter": None})
    assert "filter" not in changed.json
    form = {"filter": orjson.dumps(CANCELED).decode()}
    assert (await api.ask("PUT", path, key=owner.key, data=form)).json["filter"] == CANCELED


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b'{"data": {"report": {"taks": [1]}}}', "filter.data.report.taks: no selected type has"),
        (b'{"data": 5, "data": 6}', "filter.data: "),
        (b'{"data": [NaN]}', "NaN"),
    ],
)
async def test_the_compatible_api_refuses_in_its_own_form(
    api: ServedApi, owner: Caller, written: bytes, said: str
) -> None:
    body = b'{"url": "%s", "enabled_events": ["stop.report.*"], "filter": %s}'
    answered = await api.ask(
        "POST",
        "/v2/webhook",
        key=owner.key,
        data=body % (URL.encode(), written),
        headers={"Content-Type": "application/json"},
    )
    assert answered.status == 400
    assert answered.json.keys() == {"message", "messageId"}
    assert said in answered.json["message"]


# Before anything is stored.


async def test_a_check_says_what_is_wrong_or_how_it_would_be_stored(owner: Caller) -> None:
    good = {"types": ["stop.report.completed", "stop.report.canceled"], "filter": CANCELED}
    assert (await owner("POST", "/v1/filters/check", good)).json == {
        "valid": True,
        "errors": [],
        "warnings": [],
        "normal": CANCELED,
    }
    bad = {"types": ["stop.repot.*"], "filter": {"data": {"report": "x"}}}
    found = (await owner("POST", "/v1/filters/check", bad)).json
    assert (found["valid"], found["normal"]) == (False, None)
    assert [(each["pointer"], each["code"]) for each in found["errors"]] == [
        ("/types/0", "unknown_type"),
        ("/filter/data/report", "array"),
    ]


async def test_what_is_no_json_is_told_with_line_and_column(owner: Caller) -> None:
    body = b'{"types": ["*"],\n "filter": {"data" 5}}'
    answer = await owner(
        "POST", "/v1/filters/check", body, status=400, Content_Type="application/json"
    )
    assert answer.json["detail"].startswith("line 2, column 20")


async def test_an_explanation_names_the_clause_and_the_actual_value(owner: Caller) -> None:
    event = catalogue.examples()["vehicle.position"]
    speed = event["data"]["position"]["speed"]
    question = {"types": ["vehicle.position"], "event": event}
    fast = {"data": {"position": {"speed": [{"numeric": [">", speed + 1]}]}}}
    slow = {"data": {"position": {"speed": [{"numeric": ["<=", speed]}]}}}
    path = "/v1/filters/explain"
    assert (await owner("POST", path, {**question, "filter": slow})).json["match"] is True
    found = (await owner("POST", path, {**question, "filter": fast})).json
    (miss,) = found["branches"][0]["misses"]
    assert (found["match"], found["type_selected"]) == (False, True)
    assert miss["pointer"] == "/filter/data/position/speed"
    assert (miss["path"], miss["actual"]) == ("data.position.speed", speed)
    other = {**question, "types": ["plan.*"]}
    found = (await owner("POST", path, other)).json
    assert (found["match"], found["type_selected"]) == (False, False)


async def test_an_explanation_asks_the_projects_own_geofences(owner: Caller) -> None:
    event = catalogue.examples()["vehicle.position"]
    position = event["data"]["position"]
    center = {"lat": position["lat"] + 0.1, "lng": position["lng"]}
    circle = {"center": center, "radius_m": 1000}
    fence = (await owner("POST", "/v1/geofences", {"label": "x", "circle": circle})).json["id"]
    within = {"data": {"position": [{"geo-within": {"geofence": fence}}]}}
    question = {"types": ["vehicle.position"], "filter": within, "event": event}
    found = (await owner("POST", "/v1/filters/explain", question)).json
    (miss,) = found["branches"][0]["misses"]
    assert found["match"] is False
    assert 10_000 < miss["metres"] < 10_200
