"""The Planner-compatible API on real Postgres and Kafka, spoken to as its public clients do."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from urllib.parse import quote

import orjson
import pytest
from yarl import URL

from tests.support.api import ServedApi
from tests.support.cluster import Receiver, receiving
from tests.support.planner import BASES, FIELDS, URL_, Client, failing


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture(params=BASES)
def base(request: pytest.FixtureRequest) -> str:
    """Both have the same behaviour."""
    return str(request.param)


async def test_a_webhook_made_here_is_a_subscription_there_and_the_reverse(
    api: ServedApi, base: str
) -> None:
    client = Client(api, base)
    made = await client.make("plan.created", "service.report")
    assert set(made) == {*FIELDS, "secret"}
    assert made["secret"].startswith("whsec_")
    assert (made["url"], made["enabled"], made["failure_count"], made["deleted"]) == (
        URL_, True, 0, False,
    )  # fmt: skip
    assert (made["project_id"], made["organization_id"], made["deleted_at"]) == (
        api.project, None, None,
    )  # fmt: skip
    there = await api.native("GET", f"/v1/subscriptions/{made['id']}")
    assert (there["types"], there["status"]) == (["plan.created", "service.report"], "active")
    assert there["created_at"] == made["created_at"]
    other = await api.native(
        "POST", "/v1/subscriptions", {"project_id": api.project, "url": URL_, "types": ["*"]}
    )
    shown = await client("GET", f"webhook/{other['id']}")
    assert set(shown) == FIELDS
    assert (shown["enabled_events"], shown["profile"]) == (["*"], "planner-2022")


async def test_a_webhook_speaks_the_generation_of_the_base_it_was_made_through(
    api: ServedApi,
) -> None:
    assert (await Client(api, "/v2").make())["profile"] == "planner-2022"
    assert (await Client(api, "/api/v1").make())["profile"] == "highway-v1"
    assert (await Client(api, "/api/v1").make(profile="routal-2"))["profile"] == "routal-2"
    assert (await Client(api, "/api/v1").make(profile=None))["profile"] == "highway-v1"
    (bulk,) = await Client(api, "/api/v1")(
        "POST", "webhooks", [{"url": URL_, "enabled_events": ["*"]}]
    )
    assert bulk["profile"] == "highway-v1"


async def test_many_are_made_at_once_or_none(api: ServedApi, base: str) -> None:
    client = Client(api, base)
    bodies = [
        {"url": f"{URL_}/{n}", "enabled_events": ["plan.*"], "enabled": n != 1} for n in range(3)
    ]
    made = await client("POST", "webhooks", bodies)
    assert [(each["url"], each["enabled"]) for each in made] == [
        (f"{URL_}/0", True), (f"{URL_}/1", False), (f"{URL_}/2", True),
    ]  # fmt: skip
    assert all(each["secret"] for each in made)
    bodies[1]["enabled_events"] = ["plan.creatd"]
    refused = await client("POST", "webhooks", bodies, status=400)
    assert refused == {
        "message": "[1].enabled_events[0]: no event type 'plan.creatd': did you mean 'plan.created'?",
        "messageId": "webhook.event_unknown",
    }
    assert len(await client("GET", "webhooks")) == 3
    assert await client("POST", "webhooks", []) == []


async def test_a_change_touches_what_it_names_alone(api: ServedApi, base: str) -> None:
    client = Client(api, base)
    made = await client.make("plan.created", "plan.deleted")
    changed = await client("PUT", f"webhook/{made['id']}", {"url": f"{URL_}/b"})
    assert changed == {
        **{name: made[name] for name in FIELDS},
        "url": f"{URL_}/b",
        "updated_at": changed["updated_at"],
    }
    changed = await client("PUT", f"webhook/{made['id']}", {"enabled_events": ["stop.*"]})
    assert (changed["url"], changed["enabled_events"]) == (f"{URL_}/b", ["stop.*"])
    assert await client("GET", f"webhook/{made['id']}") == changed


async def test_a_webhook_sent_back_as_it_was_read_changes_nothing(
    api: ServedApi, base: str
) -> None:
    client = Client(api, base)
    id_ = (await client.make())["id"]
    await failing(api, id_, 3)
    for status in ("active", "paused", "disabled"):
        await api.sql("update subscriptions set status = $2 where id = $1", id_, status)
        read = await client("GET", f"webhook/{id_}")
        assert (read["enabled"], read["failure_count"]) == (status == "active", 3)
        assert await client("PUT", f"webhook/{id_}", {**read, "unheard_of": 1}) == read
        assert (await api.native("GET", f"/v1/subscriptions/{id_}"))["status"] == status


async def test_a_whole_webhook_makes_another_of_its_kind(api: ServedApi) -> None:
    client = Client(api)
    made = await client.make("plan.created", enabled=False)
    again = await client("POST", "webhook", {**made, "project_id": "f" * 24, "failure_count": 7})
    assert again["id"] != made["id"]
    assert (again["project_id"], again["failure_count"], again["enabled"]) == (
        api.project,
        0,
        False,
    )


async def test_a_deleted_webhook_is_shown_once_and_then_gone(api: ServedApi, base: str) -> None:
    client = Client(api, base)
    made = await client.make()
    kept = await client.make()
    deleted = await client("DELETE", f"webhook/{made['id']}")
    assert deleted["deleted"] is True
    assert deleted["deleted_at"] >= made["created_at"]
    assert (deleted["id"], deleted["url"]) == (made["id"], URL_)
    for method, path in (
        ("DELETE", f"webhook/{made['id']}"),
        ("GET", f"webhook/{made['id']}"),
        ("PUT", f"webhook/{made['id']}"),
        ("POST", f"webhook/{made['id']}/test"),
    ):
        answer = await client(method, path, {} if method in ("PUT", "POST") else None, status=404)
        assert answer["messageId"] == "webhook.not_found"
    assert [each["id"] for each in await client("GET", "webhooks")] == [kept["id"]]


async def test_of_two_who_delete_at_once_one_finds_nothing(api: ServedApi) -> None:
    made = await Client(api).make()
    path = f"/v2/webhook/{made['id']}"
    answers = await asyncio.gather(*(api.ask("DELETE", path, key=api.key) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200, *[404] * 7]


async def test_lists_are_arrays_newest_first_and_pages_where_asked_for(
    api: ServedApi, base: str
) -> None:
    client = Client(api, base)
    assert await client("GET", "webhooks") == []
    ids = [(await client.make())["id"] for _ in range(23)][::-1]
    for path in ("webhooks", "webhook", f"webhooks?project_id={api.project}"):
        listed = await client("GET", path)
        assert [each["id"] for each in listed] == ids
        assert all(set(each) == FIELDS for each in listed)
    page = await client("GET", "webhooks?limit=5&offset=2")
    assert [each["id"] for each in page.pop("docs")] == ids[2:7]
    assert page == {"total": 23, "limit": 5, "offset": 2}
    page = await client("GET", "webhooks?offset=1")
    assert ([each["id"] for each in page["docs"]], page["limit"]) == (ids[1:21], 20)
    page = await client("GET", "webhook?limit=2")
    assert ([each["id"] for each in page["docs"]], page["offset"]) == (ids[:2], 0)
    assert (await client("GET", "webhooks?offset=99"))["docs"] == []
    for query in ("limit=-1", "limit=x", "limit=", "offset=-1", "offset=1.5", "offset=٣"):
        answer = await client("GET", f"webhooks?{query}", status=400)
        assert answer["messageId"] == "request.invalid"
        assert query.partition("=")[0] in answer["message"]


async def test_a_test_call_sends_one_example_in_the_name_asked_for(
    api: ServedApi, base: str, receiver: Receiver
) -> None:
    client = Client(api, base)
    profile = "planner-2022"
    made = await client.make(url=f"{receiver.url}/hook", enabled=False, profile=profile)
    for body, name in (
        (None, "webhook.ping"),
        ({}, "webhook.ping"),
        ({"event_type": None}, "webhook.ping"),
        ({"event_type": "plan.created"}, "plan.created"),
        ({"event_type": "service.report"}, "service.report"),
        ({"event_type": "driver.started"}, "driver.started"),
        ({"event_type": "routal.planner.2.stop.created"}, "routal.planner.2.stop.created"),
    ):
        answer = await client("POST", f"webhook/{made['id']}/test", body)
        assert set(answer) == {*FIELDS, "test"}
        assert (answer["test"]["status"], answer["test"]["error"]) == (200, None)
        assert isinstance(answer["test"]["duration_ms"], int)
        seen = receiver.seen[-1]
        sent = orjson.loads(seen.body)
        assert (sent["type"], sent["test"], sent["project_id"]) == (name, True, api.project)
        assert seen.headers["planner-event-type"] == name
        assert seen.headers["planner-test"] == "true"
    assert len(receiver.seen) == 7
    for type_ in ("plan.creatd", "plan.*", "*", ""):
        answer = await client(
            "POST", f"webhook/{made['id']}/test", {"event_type": type_}, status=400
        )
        assert answer["messageId"] == "webhook.event_unknown"
        assert "event_type" in answer["message"]
    assert "did you mean 'plan.created'?" in (
        await client(
            "POST", f"webhook/{made['id']}/test", {"event_type": "plan.creatd"}, status=400
        )
    )["message"]  # fmt: skip
    assert len(receiver.seen) == 7


async def test_a_receivers_failure_is_no_error_of_a_test_call_and_counts_nowhere(
    api: ServedApi, base: str, receiver: Receiver
) -> None:
    client = Client(api, base)
    made = await client.make(url=f"{receiver.url}/broken")
    receiver.answers["/broken"] = lambda _: 500
    answer = await client("POST", f"webhook/{made['id']}/test", {})
    assert answer["test"]["status"] == 500
    gone = await client.make(url="http://127.0.0.1:1/nobody")
    answer = await client("POST", f"webhook/{gone['id']}/test", {})
    assert answer["test"]["status"] is None
    assert answer["test"]["error"]
    receiver.answers["/broken"] = lambda _: 410
    await client("POST", f"webhook/{made['id']}/test", {})
    for id_ in (made["id"], gone["id"]):
        after = await client("GET", f"webhook/{id_}")
        assert (after["enabled"], after["failure_count"]) == (True, 0)


async def test_enabled_pauses_and_resumes_and_re_enables_what_we_disabled(
    api: ServedApi, base: str
) -> None:
    client = Client(api, base)
    id_ = (await client.make())["id"]

    async def status_after(**fields: object) -> tuple[bool, str]:
        shown = await client("PUT", f"webhook/{id_}", fields)
        return shown["enabled"], (await api.native("GET", f"/v1/subscriptions/{id_}"))["status"]

    assert await status_after(enabled=False) == (False, "paused")
    assert await status_after(enabled=True) == (True, "active")
    await api.sql("update subscriptions set status = 'disabled' where id = $1", id_)
    assert await status_after(url=URL_) == (False, "disabled")
    assert await status_after(enabled=True) == (True, "active")
    await api.sql("update subscriptions set status = 'disabled' where id = $1", id_)
    assert await status_after(enabled=False, failure_count=0) == (False, "paused")


async def test_a_failure_count_of_zero_re_enables_what_we_disabled_alone(
    api: ServedApi, base: str
) -> None:
    client = Client(api, base)
    id_ = (await client.make())["id"]
    cases = {
        ("active", 0): (True, 0), ("paused", 0): (False, 0), ("disabled", 0): (True, 0),
        ("active", 3): (True, 7), ("paused", 3): (False, 7), ("disabled", 3): (False, 7),
    }  # fmt: skip
    for (status, written), expected in cases.items():
        await api.sql(
            "update subscriptions set status = $2, failures_reset_at = null where id = $1",
            id_, status,
        )  # fmt: skip
        await failing(api, id_, 7)
        shown = await client("PUT", f"webhook/{id_}", {"failure_count": written})
        assert (shown["enabled"], shown["failure_count"]) == expected, (status, written)
        assert await client("GET", f"webhook/{id_}") == shown
    before = await client("GET", f"webhook/{id_}")
    for wrong in (-1, 1.5, "3", True, None, [0]):
        body = {"failure_count": wrong, "url": f"{URL_}/changed"}
        answer = await client("PUT", f"webhook/{id_}", body, status=400)
        assert answer["messageId"] == "request.invalid"
        assert "failure_count" in answer["message"]
    assert await client("GET", f"webhook/{id_}") == before


async def test_enabled_events_keep_order_and_spelling_and_lose_repeats(
    api: ServedApi, base: str
) -> None:
    client = Client(api, base)
    written = ["service.report", "plan.*", "service.report", "driver.started", "plan.*"]
    made = await client.make(*written)
    assert made["enabled_events"] == ["service.report", "plan.*", "driver.started"]
    changed = await client(
        "PUT", f"webhook/{made['id']}", {"enabled_events": ["a.b"] * 2}, status=400
    )
    assert changed["messageId"] == "webhook.event_unknown"


EVENTS = ["plan.created", "plan.updated"]
FORMS = {
    f"url={quote(URL_)}&enabled_events=plan.created&enabled_events=plan.updated": EVENTS,
    f"url={quote(URL_)}&enabled_events=plan.created": ["plan.created"],
    f"url={quote(URL_)}&enabled_events[]=plan.created&enabled_events[]=plan.updated": EVENTS,
    f"url={quote(URL_)}&enabled_events%5B%5D=plan.created&enabled_events%5B%5D=plan.updated": EVENTS,
    f"url={quote(URL_)}&enabled_events[0]=plan.created&enabled_events[1]=plan.updated": EVENTS,
}


@pytest.mark.parametrize("form", FORMS)
async def test_forms_say_events_in_any_of_the_usual_ways(
    api: ServedApi, base: str, form: str
) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    answered = await api.ask("POST", f"{base}/webhook", key=api.key, data=form, headers=headers)
    assert answered.status == 200, answered
    assert (answered.json["url"], answered.json["enabled_events"]) == (URL_, FORMS[form])


async def test_forms_say_booleans_and_numbers_as_text(api: ServedApi, base: str) -> None:
    made = await Client(api, base).make()
    path = f"{base}/webhook/{made['id']}"
    for text, expected in (("false", False), ("1", True), ("0", False), ("true", True)):
        answered = await api.ask("PUT", path, key=api.key, data={"enabled": text})
        assert (answered.status, answered.json["enabled"]) == (200, expected)
    await failing(api, made["id"], 4)
    answered = await api.ask("PUT", path, key=api.key, data={"failure_count": "0"})
    assert answered.json["failure_count"] == 0
    for wrong in ({"enabled": "maybe"}, {"failure_count": "-1"}, {"failure_count": "many"}):
        answered = await api.ask("PUT", path, key=api.key, data=wrong)
        assert (answered.status, answered.json["messageId"]) == (400, "request.invalid")
    answered = await api.ask("POST", f"{path}/test", key=api.key, data={"event_type": "nothing"})
    assert (answered.status, answered.json["messageId"]) == (400, "webhook.event_unknown")


async def test_the_documented_curl_line_works(api: ServedApi) -> None:
    curl = shutil.which("curl")
    if curl is None and os.environ.get("REQUIRE_TOOLS") != "1":
        pytest.skip("curl is not on the PATH, and the documented line needs it")
    assert curl is not None
    process = await asyncio.create_subprocess_exec(
        curl, "--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}",
        f"{api.url}/api/v1/webhook?private_key={api.key}",
        "-d", "enabled_events=plan.created", "-d", "enabled_events=plan.updated",
        "-d", "url=http://example.url.com/",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    body, _, status = out.decode().rpartition("\n")
    assert status == "200", body
    made = orjson.loads(body)
    assert made["url"] == "http://example.url.com/"
    assert made["enabled_events"] == ["plan.created", "plan.updated"]
    assert (await api.native("GET", f"/v1/subscriptions/{made['id']}"))["status"] == "active"


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/webhook?&private_key={key}",
        "/api//v1//webhook?private_key={key}",
        "///v2///webhook///?private_key={key}",
        "/v2/webhook/?private_key={key}&utm=x&anything=else",
        "/api/v1/webhook?&private_key={key}&project_id=",
    ],
)
async def test_slashes_are_folded_without_a_redirect_and_unknown_parameters_ignored(
    api: ServedApi, path: str
) -> None:
    url = URL(f"{api.url}{path.format(key=api.key)}", encoded=True)
    async with api.session.post(
        url, json={"url": URL_, "enabled_events": ["*"]}, allow_redirects=False
    ) as response:
        assert response.status == 200
        made = await response.json()
    assert (await Client(api)("GET", f"webhook/{made['id']}"))["id"] == made["id"]
