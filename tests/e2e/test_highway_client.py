"""The product's public JavaScript client, unchanged: npm `highway-api`, against the real API process."""

import asyncio
import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.cluster import Cluster, Receiver, free_port
from tests.support.eventually import eventually
from tests.support.npm import installed
from tests.support.tools import tool

PACKAGES = ("highway-api@2.6.4", "dotenv@8")
CACHE = Path.home() / ".cache" / "planner-webhooks" / "highway-api-2.6.4"
DRIVER = Path(__file__).resolve().parents[1] / "support" / "highway.cjs"
HOOK = "https://203.0.114.7/hook"
Results = list[dict[str, Any]]

pytestmark = pytest.mark.timeout(240)


class Highway:
    """Runs calls of the client in a process of its own."""

    def __init__(self, folder: Path, endpoint: str, key: str) -> None:
        self.folder, self.endpoint, self.key = folder, endpoint, key

    async def __call__(self, *steps: dict[str, Any], **environment: str) -> Results:
        """Run *steps* one after the other; return for each `{"value": …}` or `{"error": …}`."""
        process = await asyncio.create_subprocess_exec(
            tool("node"), str(DRIVER),
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HIGHWAY_ENDPOINT": self.endpoint, **environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        text = orjson.dumps([{"key": self.key, **step} for step in steps])
        out, _ = await asyncio.wait_for(process.communicate(text), 60)
        assert process.returncode == 0
        results: Results = orjson.loads(out)
        assert len(results) == len(steps)
        return results

    async def values(self, *steps: dict[str, Any]) -> list[Any]:
        """Run *steps*; all of them must succeed."""
        results = await self(*steps)
        assert not [result for result in results if "error" in result], results
        return [result.get("value") for result in results]


def call(name: str, *args: object, **more: object) -> dict[str, Any]:
    return {"call": name, "args": args, **more}


@pytest.fixture
async def highway(cluster: Cluster) -> Highway:
    made = await cluster.call("POST", f"/v1/projects/{cluster.project}/api-keys", {"name": "hw"})
    return Highway(await installed(CACHE, PACKAGES), cluster.api, str(made["key"]))


async def test_the_public_client_makes_reads_changes_tests_and_deletes_webhooks(
    highway: Highway, cluster: Cluster, receiver: Receiver
) -> None:
    hook = {"url": f"{receiver.url}/hook", "enabled_events": ["plan.created", "service.report"]}
    bulk = [{"url": f"{HOOK}/{n}", "enabled_events": ["route.started"]} for n in range(2)]
    (
        made, in_project, many, all_, in_list, one, changed, sent_back, paused, reset, tested, pinged,
        deleted, left,
    ) = await highway.values(
        call("webhook.create", hook),
        call("webhook.create", {**hook, "enabled": False}, cluster.project),
        call("post", "webhooks?", bulk),
        call("webhook.getAll"),
        call("webhook.getAll", cluster.project),
        call("get", "webhook/$0.id"),
        call("webhook.update", "$0.id", {"enabled_events": ["service.report.completed"]}),
        call("webhook.update", "$0.id", "$6"),
        call("webhook.update", "$0.id", {"enabled": False}),
        call("webhook.update", "$0.id", {"failure_count": 0}),
        call("webhook.test", "$0.id", "service.report"),
        call("webhook.test", "$0.id"),
        call("webhook.delete", "$0.id"),
        call("webhook.getAll"),
    )  # fmt: skip
    assert (made["url"], made["enabled"], made["enabled_events"]) == (
        hook["url"], True, hook["enabled_events"],
    )  # fmt: skip
    assert (made["profile"], made["secret"][:6]) == ("highway-v1", "whsec_")
    assert (in_project["project_id"], in_project["enabled"]) == (cluster.project, False)
    assert [each["url"] for each in many] == [f"{HOOK}/0", f"{HOOK}/1"]
    ids = [many[1]["id"], many[0]["id"], in_project["id"], made["id"]]
    assert [each["id"] for each in all_] == ids
    assert in_list == all_
    assert one == {name: value for name, value in made.items() if name != "secret"}
    assert changed["enabled_events"] == ["service.report.completed"]
    assert sent_back == changed
    assert (paused["enabled"], reset["enabled"]) == (False, False)
    assert (tested["id"], tested["test"]["status"], tested["test"]["error"]) == (
        made["id"], 200, None,
    )  # fmt: skip
    assert pinged["test"]["status"] == 200
    report, ping = (orjson.loads(seen.body) for seen in receiver.seen)
    assert (report["type"], ping["type"]) == ("service.report", "webhook.ping")
    assert set(report["data"]) == {"report", "service"}
    assert set(report) - {"test"} == {"id", "user", "type", "created_at", "data"}
    assert (deleted["deleted"], bool(deleted["deleted_at"])) == (True, True)
    assert [each["id"] for each in left] == ids[:-1]


async def test_the_public_client_shows_every_error_with_its_message_and_id(
    highway: Highway,
) -> None:
    events = ["plan.created"]
    steps = {
        "a wrong key": call("webhook.getAll", key="priv_wrong"),
        "no key at all": call("webhook.getAll", key=""),
        "no such webhook": call("webhook.delete", "5e208446c97efa37d4830b01"),
        "no id": call("webhook.update", "undefined", {"enabled": True}),
        "no such project": call("webhook.getAll", "5e208446c97efa37d4830b99"),
        "no url": call("webhook.create", {"enabled_events": events}),
        "a private address": call(
            "webhook.create", {"url": "https://10.0.0.7", "enabled_events": events}
        ),
        "no events": call("webhook.create", {"url": HOOK, "enabled_events": []}),
        "no such event": call("webhook.create", {"url": HOOK, "enabled_events": ["plan.creatd"]}),
        "no such path": call("get", "plans?"),
        "too large": call(
            "webhook.create", {"url": HOOK, "enabled_events": events, "x": "x" * 6_000_000}
        ),
    }
    found = await highway(*steps.values())
    told = {
        name: (result["error"]["httpsStatus"], result["error"]["messageId"])
        for name, result in zip(steps, found, strict=True)
    }
    assert told == {
        "a wrong key": (401, "auth.unauthorized"),
        "no key at all": (401, "auth.unauthorized"),
        "no such webhook": (404, "webhook.not_found"),
        "no id": (404, "webhook.not_found"),
        "no such project": (404, "project.not_found"),
        "no url": (400, "webhook.url_invalid"),
        "a private address": (400, "webhook.url_refused"),
        "no events": (400, "webhook.events_required"),
        "no such event": (400, "webhook.event_unknown"),
        "no such path": (404, "request.invalid"),
        "too large": (413, "request.too_large"),
    }
    for result in found:
        error = result["error"]
        assert error["message"].startswith(f"{error['httpsStatus']} - "), error
        assert "undefined" not in error["message"].replace("'undefined'", "")


async def test_the_public_client_works_with_every_one_of_its_options(
    highway: Highway, cluster: Cluster
) -> None:
    hook = {"url": HOOK, "enabled_events": ["route.*"]}
    bearer, slash, extra = await highway.values(
        call("webhook.create", hook, key="", options={"bearer": highway.key}),
        call("webhook.create", hook, options={"apiEndpoint": f"{cluster.api}/"}),
        call("webhook.getAll", options={"queryParams": {"lang": "ca", "x": "1"}}),
    )
    assert [each["id"] for each in extra] == [slash["id"], bearer["id"]]


async def test_the_later_clients_requests_work_on_the_other_base(
    highway: Highway, cluster: Cluster
) -> None:
    """It has the same calls over the same axios, below `/v2`."""
    params = {"private_key": highway.key}
    hook = {"url": HOOK, "enabled_events": ["driver.started", "stop.report"]}

    def raw(method: str, path: str, data: object = None) -> dict[str, Any]:
        request = {"method": method, "url": f"{cluster.api}/v2/{path}", "params": params}
        return {"raw": request if data is None else {**request, "data": data}}

    made, all_, changed, deleted = await highway.values(
        raw("post", "webhook?", hook),
        raw("get", "webhooks?"),
        raw("put", "webhook/$0.id", {"enabled": False}),
        raw("delete", "webhook/$0.id"),
    )
    assert (made["enabled_events"], made["profile"]) == (hook["enabled_events"], "planner-2022")
    assert [each["id"] for each in all_] == [made["id"]]
    assert (changed["enabled"], deleted["deleted"]) == (False, True)


@pytest.mark.parametrize("form", ["json", "console"])
async def test_no_key_is_ever_logged(highway: Highway, cluster: Cluster, form: str) -> None:
    listen = f"127.0.0.1:{free_port()}"
    api = await cluster.start(
        form, role="api", WEBHOOKS_API__LISTEN=listen, WEBHOOKS_OBSERVE__LOG_FORMAT=form
    )
    await eventually(lambda: b"api_starts" in api.log.read_bytes(), within=30)
    highway.endpoint = f"http://{listen}"
    await highway(
        call("webhook.create", {}),
        call("webhook.getAll", key=f"{highway.key}x"),
        call("get", "nothing"),
    )
    await cluster.fetch("alter table subscriptions rename to lost")
    (failed,) = await highway(call("webhook.getAll"))
    assert failed["error"]["messageId"] == "internal"
    key = highway.key.encode()
    for line in (
        b"GET /v2/webhooks?private_key=%b HTTP/9.9" % key,
        b"BREW /v2/webhooks?private_key=%b HTTP/1.1" % key,
        b"GET /v2/webhooks HTTP/1.1\r\nAuthorization: Bearer %b\x00" % key,
        b"GET /v2/webhooks?private_key=%b%b HTTP/1.1" % (key, b"x" * 9000),
    ):
        good = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", int(listen.rpartition(":")[2]))
        writer.write(good + line + b"\r\nHost: a\r\n\r\n")
        assert b" 400 " in await asyncio.wait_for(reader.read(), 10)
        writer.close()
    logged = api.log.read_bytes()
    assert logged.count(b"api_error") == 1
    assert key not in logged
