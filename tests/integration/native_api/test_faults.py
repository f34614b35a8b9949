"""What is wrong with a request: all faults at once, each with its place, and nothing is changed."""

import orjson
import pytest

from tests.support.native import URL, Caller, a_plan_created, all_subscriptions

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(60)]


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
    assert await all_subscriptions(owner) == []


async def test_a_project_that_is_not_named_is_a_fault_like_the_others(operator: Caller) -> None:
    body = {"url": URL, "types": ["stop.complete"]}
    answer = await operator("POST", "/v1/subscriptions", body, status=422)
    assert answer.faults == [("/types/0", "unknown_type"), ("/project_id", "required")]
    answer = await operator("POST", "/v1/subscriptions", {**body, "project_id": 5}, status=422)
    assert answer.faults == [("/types/0", "unknown_type"), ("/project_id", "type")]
    events = [
        a_plan_created(type="plan.creatd"),
        a_plan_created(project_id=["x"]),
        a_plan_created(),
    ]
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
    event = a_plan_created(type="plan.creatd")
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
    assert await all_subscriptions(owner) == []


async def test_a_body_nested_too_deeply_to_be_sent_on_is_refused(owner: Caller) -> None:
    deep = orjson.dumps(a_plan_created(data={"deep": "HERE"}))
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
