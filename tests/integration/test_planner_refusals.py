"""What the Planner-compatible API refuses, and how: keys, projects, faults, errors."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.settings.working import Deliver
from tests.support.api import ADMIN_KEY, ServedApi, an_api
from tests.support.planner import BASES, FIELDS, URL_, Client


@pytest.fixture(params=BASES)
def base(request: pytest.FixtureRequest) -> str:
    """Both have the same behaviour."""
    return str(request.param)


async def test_a_key_is_taken_from_the_query_or_the_header(api: ServedApi, base: str) -> None:
    path = f"{base}/webhooks"
    assert (await api.ask("GET", path, key=api.key)).status == 200
    assert (await api.ask("GET", f"{path}?private_key={api.key}", key=None)).status == 200
    for key, query in (
        (None, ""), ("undefined", ""), ("priv_wrong", ""), (None, "?private_key=priv_wrong"),
        (None, "?private_key="), (None, "?private_key=%00"),
    ):  # fmt: skip
        answered = await api.ask("GET", f"{path}{query}", key=key)
        assert (answered.status, answered.json["messageId"]) == (401, "auth.unauthorized")
        assert "private_key" in answered.json["message"]
    reader = (await api.new_project("read"))[1]
    assert (await api.ask("GET", path, key=reader)).status == 200
    answered = await api.ask("POST", f"{base}/webhook", key=reader, json={})
    assert (answered.status, answered.json["messageId"]) == (403, "auth.unauthorized")


async def test_an_admin_key_names_the_project_and_others_have_theirs(
    api: ServedApi, base: str
) -> None:
    body = {"url": URL_, "enabled_events": ["*"]}
    other, other_key = await api.new_project()

    async def ask(method: str, path: str, key: str) -> tuple[int, Any]:
        answered = await api.ask(method, f"{base}/{path}", key=key, json=body)
        return answered.status, answered.json

    for method in ("POST", "GET"):
        status, answer = await ask(method, "webhook", ADMIN_KEY)
        assert (status, answer["messageId"]) == (400, "request.invalid")
        assert "project" in answer["message"]
        for project in ("f" * 24, "nonsense", "%00"):
            status, answer = await ask(method, f"webhook?project_id={project}", ADMIN_KEY)
            assert (status, answer["messageId"]) == (404, "project.not_found")
        status, answer = await ask(method, f"webhook?project_id={api.project}", other_key)
        assert (status, answer["messageId"]) == (404, "project.not_found")
    status, made = await ask("POST", f"webhook?project_id={other}", ADMIN_KEY)
    assert (status, made["project_id"]) == (200, other)
    assert (await ask("GET", f"webhooks?project_id={other}", other_key))[1][0]["id"] == made["id"]
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/test")):
        status, answer = await ask(method, f"webhook/{made['id']}{path}", api.key)
        assert (status, answer["messageId"]) == (404, "webhook.not_found")
    assert (await ask("GET", "webhooks", api.key))[1] == []


INVALID: list[tuple[object, str, str]] = [
    ({"enabled_events": ["*"]}, "webhook.url_invalid", "url is required"),
    ({"url": None, "enabled_events": ["*"]}, "webhook.url_invalid", "url"),
    ({"url": 7, "enabled_events": ["*"]}, "webhook.url_invalid", "url: expected a string"),
    ({"url": "nothing", "enabled_events": ["*"]}, "webhook.url_invalid", "url: "),
    ({"url": "ftp://a.example.com", "enabled_events": ["*"]}, "webhook.url_invalid", "https"),
    ({"url": "https://me@a.example.com", "enabled_events": ["*"]}, "webhook.url_invalid", "user"),
    ({"url": "https://10.0.0.7/", "enabled_events": ["*"]}, "webhook.url_refused", "private"),
    ({"url": "https://169.254.169.254/", "enabled_events": ["*"]}, "webhook.url_refused", "meta"),
    ({"url": "https://0x7f.1/", "enabled_events": ["*"]}, "webhook.url_refused", "disguised"),
    ({"url": URL_}, "webhook.events_required", "enabled_events is required"),
    ({"url": URL_, "enabled_events": None}, "webhook.events_required", "enabled_events"),
    ({"url": URL_, "enabled_events": []}, "webhook.events_required", "enabled_events"),
    ({"url": URL_, "enabled_events": "*"}, "request.invalid", "enabled_events: expected an array"),
    ({"url": URL_, "enabled_events": [1]}, "request.invalid", "enabled_events[0]: expected a"),
    ({"url": URL_, "enabled_events": [{}]}, "request.invalid", "enabled_events[0]: expected a"),
    (
        {"url": URL_, "enabled_events": ["plan.created", "stop.complete"]},
        "webhook.event_unknown",
        "enabled_events[1]: no event type 'stop.complete': did you mean",
    ),
    ({"url": URL_, "enabled_events": ["billing.paid"]}, "webhook.event_unknown", "reserved"),
    ({"url": URL_, "enabled_events": ["*"], "enabled": "yes"}, "request.invalid", "enabled: "),
    ({"url": URL_, "enabled_events": ["*"], "enabled": None}, "request.invalid", "enabled: "),
    ({"url": URL_, "enabled_events": ["*"], "profile": "hiway"}, "request.invalid", "profile: "),
    ([], "request.invalid", "expected an object, got an array"),
    ("text", "request.invalid", "expected an object, got a string"),
]


async def test_every_fault_is_a_400_with_its_place_and_its_id(api: ServedApi, base: str) -> None:
    client = Client(api, base)
    made = await client.make()
    for body, message_id, words in INVALID:
        answer = await client("POST", "webhook", body, status=400)
        assert answer["messageId"] == message_id, (body, answer)
        assert words in answer["message"]
        if isinstance(body, dict) and "is required" not in words:
            answer = await client("PUT", f"webhook/{made['id']}", body, status=400)
            assert answer["messageId"] == message_id, (body, answer)
        answer = await client("POST", "webhooks", [body], status=400)
        assert answer["messageId"] == message_id, (body, answer)
        assert await client("GET", "webhooks") == [{name: made[name] for name in FIELDS}]
    many = {"url": URL_, "enabled_events": ["*"] + [f"plan.{'x' * n}" for n in range(60)]}
    assert (await client("POST", "webhook", many, status=400))["messageId"] == "request.invalid"
    too_many = [{}] * 1001
    answer = await client("POST", "webhooks", too_many, status=400)
    assert (answer["messageId"], "1000" in answer["message"]) == ("request.invalid", True)
    answer = await client("POST", "webhooks", {}, status=400)
    assert answer["message"] == "expected an array of webhooks, got an object"


async def test_all_faults_are_told_at_once_and_nothing_is_changed(
    api: ServedApi, base: str
) -> None:
    client = Client(api, base)
    made = await client.make()
    body = {"url": "ftp://x/", "enabled_events": ["plan.creatd"], "enabled": "no"}
    for method, path in (("POST", "webhook"), ("PUT", f"webhook/{made['id']}")):
        answer = await client(method, path, body, status=400)
        assert answer["messageId"] == "webhook.url_invalid"
        for place in ("url: ", "enabled_events[0]: ", "enabled: "):
            assert place in answer["message"]
    answer = await client("POST", "webhooks", [body, {"enabled": 1}], status=400)
    for place in ("[0].url: ", "[0].enabled: ", "[1].enabled: ", "url is required"):
        assert place in answer["message"]
    assert await client("GET", "webhooks") == [{name: made[name] for name in FIELDS}]


async def test_plain_http_is_refused_with_the_settings_name_where_none_allows_it(
    kafka: str, database: str
) -> None:
    async with an_api(kafka, database, deliver=Deliver()) as api:
        for base in BASES:
            body = {"url": "http://example.url.com/", "enabled_events": ["*"]}
            answer = await Client(api, base)("POST", "webhook", body, status=400)
            assert answer["messageId"] == "webhook.url_refused"
            assert "WEBHOOKS_DELIVER__ALLOW_HTTP" in answer["message"]
            body["url"] = "https://127.0.0.1/"
            answer = await Client(api, base)("POST", "webhook", body, status=400)
            assert answer["messageId"] == "webhook.url_refused"
            assert "WEBHOOKS_DELIVER__ALLOW_NETWORKS" in answer["message"]


ID = "5e208446c97efa37d4830b01"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
GZIP = {"Content-Encoding": "gzip"}
REFUSED: list[tuple[str, str, bytes | None, dict[str, str], int, str]] = [
    ("GET", "", None, {}, 404, "request.invalid"),
    ("GET", "/", None, {}, 404, "request.invalid"),
    ("GET", "/nothing", None, {}, 404, "request.invalid"),
    ("POST", "/webhook/a/b/c", b"{}", {}, 404, "request.invalid"),
    ("GET", "/webhook/nothex", None, {}, 404, "webhook.not_found"),
    ("PUT", "/webhook/nothex", b"{}", {"Content-Type": JSON}, 404, "webhook.not_found"),
    ("DELETE", "/webhook/%00%ff", None, {}, 404, "webhook.not_found"),
    ("GET", f"/webhook/{ID.upper()}", None, {}, 404, "webhook.not_found"),
    ("POST", f"/webhook/{ID}/test", None, {}, 404, "webhook.not_found"),
    ("DELETE", "/webhooks", None, {}, 405, "request.invalid"),
    ("PATCH", f"/webhook/{ID}", b"{}", {}, 405, "request.invalid"),
    ("GET", f"/webhook/{ID}/test", None, {}, 405, "request.invalid"),
    ("OPTIONS", "/webhook", None, {}, 405, "request.invalid"),
    ("POST", "/webhook", b"x" * 3000, {}, 413, "request.too_large"),
    ("POST", "/webhook", b"<x/>", {"Content-Type": "text/xml"}, 415, "request.invalid"),
    ("POST", "/webhook", b"{}", {"Content-Type": "multipart/form-data"}, 415, "request.invalid"),
    ("POST", "/webhook", b'{"url":', {"Content-Type": JSON}, 400, "request.invalid"),
    ("POST", "/webhook", b'"\xff"', {"Content-Type": JSON}, 400, "request.invalid"),
    ("POST", "/webhook", b"[" * 2000, {"Content-Type": JSON}, 400, "request.invalid"),
    ("POST", "/webhook", b"url=%ff", {"Content-Type": FORM}, 400, "request.invalid"),
    ("POST", "/webhook", b"\xff=1", {"Content-Type": FORM}, 400, "request.invalid"),
    ("POST", "/webhook", b"a&" * 1100, {"Content-Type": FORM}, 400, "request.invalid"),
    ("POST", "/webhook", b"filter={", {"Content-Type": FORM}, 400, "request.invalid"),
    ("POST", "/webhooks", b"a=b", {"Content-Type": FORM}, 400, "request.invalid"),
    ("POST", "/webhook", b"no gzip", {"Content-Type": JSON, **GZIP}, 400, "request.invalid"),
]


async def test_every_refusal_is_a_json_object_with_message_and_id(
    kafka: str, database: str
) -> None:
    async with an_api(kafka, database, max_body_bytes=2500) as api:
        for base in BASES:
            for method, path, data, headers, status, message_id in REFUSED:
                url = f"{base}{path}"
                answered = await api.ask(method, url, key=api.key, data=data, headers=headers)
                case = (method, url, answered)
                assert answered.status == status, case
                assert answered.headers["Content-Type"] == "application/json", case
                assert set(answered.json) == {"message", "messageId"}, case
                assert answered.json["messageId"] == message_id, case
                assert answered.json["message"], case
                assert ("Allow" in answered.headers) == (status == 405), case

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(40):
                yield b"x" * 100

        answered = await api.ask("POST", "/v2/webhook", key=api.key, data=chunks())
        assert (answered.status, answered.json["messageId"]) == (413, "request.too_large")


async def test_an_error_of_ours_is_a_json_object_too(api: ServedApi, base: str) -> None:
    made = await Client(api, base).make()
    await api.sql("alter table subscriptions rename to lost")
    answered = await api.ask("GET", f"{base}/webhook/{made['id']}", key=api.key)
    assert (answered.status, answered.headers["Content-Type"]) == (500, "application/json")
    assert answered.json["messageId"] == "internal"


async def test_what_lies_beside_the_two_bases_stays_the_native_apis(api: ServedApi) -> None:
    for method, path, status in (
        ("GET", "/v2x/webhooks", 404),
        ("GET", "/api/v2/webhooks", 404),
        ("GET", "/v1/webhooks", 404),
        ("PUT", "/v1/subscriptions", 405),
    ):
        answered = await api.ask(method, path)
        assert answered.status == status
        assert answered.headers["Content-Type"] == "application/problem+json"
