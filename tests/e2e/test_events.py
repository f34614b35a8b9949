"""From a record in Kafka to a signed request: every type, every profile, every kind of producer."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka.errors import TopicAlreadyExistsError
from standardwebhooks import Webhook, WebhookVerificationError

from services import catalogue
from services.dev.kafka import CONSOLE_PRODUCER, run_tool
from tests.support.cluster import (
    PROJECT,
    Cluster,
    Put,
    Receiver,
    Seen,
    an_event,
    create_topics,
    repeats,
)
from tests.support.eventually import eventually

MAX_RECORD_BYTES = 1_048_576

pytestmark = pytest.mark.timeout(180)


def verified(seen: Seen, subscription: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Return the body as the official library does for a receiver: if the signature is right."""
    return Webhook(subscription["secret"]).verify(seen.body, dict(seen.headers))


def of_project(event: Mapping[str, Any], project: str) -> dict[str, Any]:
    """Return an example as an event of *project*."""
    found: dict[str, Any] = orjson.loads(
        orjson.dumps(event).replace(PROJECT.encode(), project.encode())
    )
    return found


async def test_every_type_of_the_catalogue_arrives_once_where_it_was_asked_for_and_verifies(
    cluster: Cluster, receiver: Receiver
) -> None:
    examples = catalogue.examples()
    assert examples.keys() == catalogue.event_types().keys()
    streams = [type_ for type_ in examples if catalogue.is_stream(type_)]
    everything = await cluster.subscribed(f"{receiver.url}/all", types=["*", *streams])
    wildcard = await cluster.subscribed(f"{receiver.url}/wildcard", types=["*"])
    one_each = {
        type_: await cluster.subscribed(f"{receiver.url}/{type_}", types=[type_])
        for type_ in examples
    }
    await cluster.start()
    events = {type_: of_project(event, cluster.project) for type_, event in examples.items()}
    await cluster.put(
        *(
            Put(orjson.dumps(event), (catalogue.record_key(event) or "").encode())
            for event in events.values()
        )
    )
    due = 3 * len(events) - len(streams)
    await eventually(lambda: len(receiver.seen) >= due, within=30)
    assert len(receiver.seen) == due
    for type_, event in events.items():
        (to_all,) = [s for s in receiver.seen if s.path == "/all" and s.id == event["id"]]
        (alone,) = [s for s in receiver.seen if s.path == f"/{type_}"]
        assert verified(to_all, everything) == verified(alone, one_each[type_]) == event
        for seen, subscription in ((to_all, everything), (alone, one_each[type_])):
            assert seen.headers["planner-event-type"] == type_
            assert seen.headers["planner-webhook-id"] == subscription["id"]
            assert seen.headers["planner-project"] == cluster.project
        with pytest.raises(WebhookVerificationError):
            verified(alone, everything)
        with pytest.raises(WebhookVerificationError):
            Webhook(everything["secret"]).verify(to_all.body + b" ", dict(to_all.headers))
    by_wildcard = [
        verified(seen, wildcard)["type"] for seen in receiver.seen if seen.path == "/wildcard"
    ]
    assert sorted(by_wildcard) == sorted(events.keys() - set(streams))


def worked_example(shared: Path, project: str) -> tuple[bytes, dict[tuple[str, str | None], Any]]:
    """Return the record as produced, and the body by (profile, name asked for)."""
    text = (shared / "events" / "README.md").read_text().split("## 7.")[1].split("## 8.")[0]
    found = re.findall(r"^# ([a-z0-9 -]+?)(?:, asked for as (\S+))?\n(\{.*\})$", text, re.MULTILINE)
    bodies = {
        (name, asked or None): orjson.loads(body.replace(PROJECT, project))
        for name, asked, body in found
    }
    return orjson.dumps(bodies.pop(("as produced", None))), bodies


async def test_each_profile_shapes_the_worked_example_as_documented(
    cluster: Cluster, receiver: Receiver, shared: Path
) -> None:
    record, bodies = worked_example(shared, cluster.project)
    assert len(bodies) == 6
    subscriptions = {
        profile: await cluster.subscribed(
            f"{receiver.url}/{profile}", profile=profile, types=[asked or "stop.report.completed"]
        )
        for profile, asked in bodies
    }
    await cluster.start()
    await cluster.put(Put(record, f"{cluster.project}:5e208446c97efa37d4830b03".encode()))
    await eventually(lambda: len(receiver.seen) >= len(bodies), within=30)
    got = {seen.path.removeprefix("/"): seen for seen in receiver.seen}
    assert len(receiver.seen) == len(got) == len(bodies)
    for (profile, asked), body in bodies.items():
        seen = got[profile]
        assert verified(seen, subscriptions[profile]) == body
        assert seen.id == "61f0a446c97efa37d4831020"
        assert seen.headers["planner-event-type"] == (asked or "stop.report.completed")
        kind = "cloudevents+json" if profile == "cloudevents" else "json"
        assert seen.headers["Content-Type"].startswith(f"application/{kind}")


def an_example(type_: str, project: str, **changed: object) -> dict[str, Any]:
    return {**of_project(catalogue.examples()[type_], project), **changed}


async def console_producer(cluster: Cluster, lines: list[bytes], **reader: str) -> None:
    """Produce with Kafka's own tool, as somebody does who tries things out."""
    properties = {"headers_separator": ";", "headers_key_separator": "=", **reader}
    arguments = [f"{name.replace('_', '.')}={is_}" for name, is_ in properties.items()]
    ran = await asyncio.to_thread(
        run_tool,
        CONSOLE_PRODUCER,
        *("--bootstrap-server", cluster.bootstrap, "--topic", cluster.topic),
        *(word for argument in arguments for word in ("--reader-property", argument)),
        stdin=b"".join(line + b"\n" for line in lines),
    )
    assert ran.returncode == 0, ran.stderr.decode()


async def test_records_of_kafkas_console_producer_are_delivered(
    cluster: Cluster, receiver: Receiver
) -> None:
    subscription = await cluster.subscribed(f"{receiver.url}/ok", types=["*"])
    await cluster.start()
    plain = an_example("plan.created", cluster.project, id="plain")
    without_id = an_example("plan.updated", cluster.project)
    del without_id["id"]
    keyed = an_example("stop.created", cluster.project, id="keyed")
    binary = an_example("customer.created", cluster.project, id="binary")
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": "binary",
        "ce_type": "customer.created",
        "ce_source": f"/projects/{cluster.project}",
        "ce_time": binary["created_at"],
    }
    headers = ";".join(f"{name}={text}" for name, text in attributes.items()).encode()
    key = (catalogue.record_key(keyed) or "").encode()
    await console_producer(cluster, [orjson.dumps(plain), orjson.dumps(without_id)])
    await console_producer(
        cluster,
        [
            b"\t".join((headers, key, orjson.dumps(binary["data"]))),
            b"\t".join((b"type=stop.created", key, orjson.dumps(keyed))),
        ],
        parse_headers="true",
        parse_key="true",
    )
    await eventually(lambda: len(receiver.seen) >= 4, within=30)
    got = {verified(seen, subscription)["type"]: seen for seen in receiver.seen}
    assert len(got) == len(receiver.seen) == 4
    assert orjson.loads(got["plan.created"].body) == plain
    assert orjson.loads(got["stop.created"].body) == keyed
    derived = got["plan.updated"]
    assert re.fullmatch("[0-9a-f]{24}", derived.id)
    assert orjson.loads(derived.body) == {**without_id, "id": derived.id}
    made = orjson.loads(got["customer.created"].body)
    assert made == {
        name: binary[name] for name in ("id", "type", "created_at", "project_id", "data")
    }


async def test_cloudevents_structured_and_binary_are_delivered_like_our_own(
    cluster: Cluster, receiver: Receiver
) -> None:
    as_ours = await cluster.subscribed(f"{receiver.url}/ours", types=["*"])
    as_cloudevents = await cluster.subscribed(
        f"{receiver.url}/ce", types=["*"], profile="cloudevents"
    )
    await cluster.start()
    event = an_example("stop.report.completed", cluster.project)
    trace = "0af7651916cd43dd8448eb211c80319c"
    common = {"specversion": "1.0", "time": event["created_at"], "subject": "plan-1"}
    by_source = {**common, "source": f"https://planner.example/projects/{cluster.project}"}
    structured = {**by_source, "id": "structured", "type": "planner.stop.report.completed"}
    bare = {**by_source, "id": "bare", "type": "service.report.completed"}
    binary = {
        **common,
        "source": "//erp",
        "project": cluster.project,
        "id": "binary",
        "type": "stop.report.completed",
    }
    await cluster.put(
        Put(
            orjson.dumps({**structured, "data": event["data"]}),
            headers=[("content-type", b"application/cloudevents+json; charset=utf-8")],
        ),
        Put(orjson.dumps({**bare, "data": event["data"]}), key=f"{cluster.project}:key".encode()),
        Put(
            orjson.dumps(event["data"]),
            headers=[
                ("content-type", b"application/json"),
                ("traceparent", f"00-{trace}-b7ad6b7169203331-01".encode()),
                *((f"ce_{name}", text.encode()) for name, text in binary.items()),
            ],
        ),
    )
    await eventually(lambda: len(receiver.seen) >= 6, within=30)
    assert len(receiver.seen) == 6
    for seen in receiver.seen:
        assert (
            seen.headers["planner-event-type"].removeprefix("planner.") == "stop.report.completed"
        )
        assert (trace in seen.headers["traceparent"]) == (seen.id == "binary")
        if seen.path == "/ours":
            assert verified(seen, as_ours) == {
                "id": seen.id,
                "type": "stop.report.completed",
                "created_at": event["created_at"],
                "project_id": cluster.project,
                "data": event["data"],
            }
        else:
            body = verified(seen, as_cloudevents)
            assert body["subject"] == ("key" if seen.id == "bare" else "plan-1")
            assert (body["id"], body["type"]) == (seen.id, "planner.stop.report.completed")
            assert body["data"] == event["data"]


def no_events(project: str) -> dict[str, tuple[Put, str, str]]:
    """Return records that are no events, each with the reason and the place to be told."""
    event = an_example("plan.created", project)
    nested = b'{"a":' * 300 + b"1" + b"}" * 300
    cloudevent = {"specversion": "1.0", "id": "1", "type": "plan.created", "data": {}}
    return {
        "bytes": (Put(b"\x00\xff not JSON"), "json", ""),
        "empty": (Put(b""), "json", ""),
        "cut off": (Put(orjson.dumps(event)[:-9]), "json", ""),
        "nested": (Put(nested), "json", ""),
        "null": (Put(None), "null", ""),
        "oversize": (Put(big(event, MAX_RECORD_BYTES + 1)), "oversize", ""),
        "far oversize": (Put(big(event, 5 * MAX_RECORD_BYTES)), "oversize", ""),
        "no envelope": (Put(b'{"hello": "world"}'), "envelope", "/type"),
        "array": (Put(b"[1, 2]"), "envelope", ""),
        "no project": (Put(orjson.dumps({**event, "project_id": None})), "envelope", "/project_id"),
        "data is text": (Put(orjson.dumps({**event, "data": "x"})), "envelope", "/data"),
        "cloudevent": (Put(orjson.dumps(cloudevent)), "cloudevent", "/source"),
    }


def big(event: Mapping[str, Any], size: int) -> bytes:
    """Return *event* with a label that makes its record *size* bytes."""
    data = {**event["data"], "label": ""}
    missing = size - len(orjson.dumps({**event, "data": data}))
    return orjson.dumps({**event, "data": {**data, "label": "x" * missing}})


async def test_what_is_no_event_is_quarantined_with_its_reason_and_the_partition_goes_on(
    cluster: Cluster, receiver: Receiver
) -> None:
    await cluster.subscribe(f"{receiver.url}/ok", types=["*"])
    await cluster.start()
    bad = no_events(cluster.project)
    puts, ids = [], []
    for name, (put, _, _) in bad.items():
        ids.append(f"after {name}")
        puts += [
            put._replace(key=name.encode(), headers=[("given", name.encode())]),
            Put(an_event(ids[-1], project=cluster.project)),
        ]
    ids.append("as large as is allowed")
    puts.append(
        Put(big(orjson.loads(an_event(ids[-1], project=cluster.project)), MAX_RECORD_BYTES))
    )
    await cluster.put(*puts, partition=5)
    await eventually(lambda: len(receiver.ids()) >= len(ids), within=30)
    assert receiver.ids() == dict.fromkeys(ids, 1)

    async def committed() -> bool:
        return await cluster.committed() == len(puts)

    await eventually(committed)
    kept = {record.key.decode(): record for record in await cluster.records(cluster.quarantine)}
    assert kept.keys() == bad.keys()
    for n, (name, (put, reason, pointer)) in enumerate(bad.items()):
        headers = {header: text.decode() for header, text in kept[name].headers}
        if name == "far oversize":  # its beginning, and where the rest of it is
            assert put.value
            assert headers.pop("webhooks-truncated") == str(len(put.value))
            assert len(kept[name].value) > 1_000
            assert put.value.startswith(kept[name].value)
        else:
            assert kept[name].value == put.value
            assert headers.pop("given") == name
        assert headers.pop("webhooks-message")
        assert int(headers.pop("webhooks-timestamp")) == pytest.approx(
            time.time() * 1000, abs=120_000
        )
        assert headers == {
            "webhooks-reason": reason,
            "webhooks-pointer": pointer,
            "webhooks-topic": cluster.topic,
            "webhooks-partition": "5",
            "webhooks-offset": str(2 * n),
        }


async def test_a_null_in_master_data_is_a_tombstone_and_no_poison(
    cluster: Cluster, receiver: Receiver
) -> None:
    await cluster.subscribe(f"{receiver.url}/ok", types=["*"])
    with suppress(TopicAlreadyExistsError):
        await create_topics(cluster.bootstrap, ["planner.master"], partitions=4)
    await cluster.start(WEBHOOKS_KAFKA__TOPICS=f"{cluster.topic},planner.master")
    gone = Put(None, key=f"{cluster.project}:1".encode(), topic="planner.master")
    deleted = an_example("customer.deleted", cluster.project, id="deleted")
    await cluster.put(gone, Put(orjson.dumps(deleted), topic="planner.master"))
    await eventually(receiver.ids, within=30)
    assert receiver.ids() == {"deleted": 1}
    assert await cluster.records(cluster.quarantine) == []


async def test_an_event_that_breaks_the_schema_of_its_type_or_has_no_known_type_is_delivered(
    cluster: Cluster, receiver: Receiver
) -> None:
    subscription = await cluster.subscribed(f"{receiver.url}/ok", types=["*"])
    worker = await cluster.start()
    report = an_example("stop.report.completed", cluster.project, id="broken")
    report["data"]["report"]["tasks"] = "none"
    del report["data"]["stop"]["id"]
    unknown = an_example("plan.created", cluster.project, id="unknown", type="plan.exploded")
    unknown["not"] = {"in": ["any", "schema", None, 1.5]}
    await cluster.put(*(Put(orjson.dumps(event)) for event in (report, unknown, report)))
    await eventually(lambda: receiver.ids().total() >= 3, within=30)
    assert receiver.ids() == {"broken": 2, "unknown": 1}
    bodies = {seen.id: verified(seen, subscription) for seen in receiver.seen}
    assert bodies == {"broken": report, "unknown": unknown}
    assert worker.logged("event_breaks_schema") == 1  # said once per type and project
    assert worker.logged("event_type_unknown") == 1
    assert await cluster.records(cluster.quarantine) == []


class Probes:
    """Sends event after event until one shows that a worker has seen a change."""

    def __init__(self, cluster: Cluster, receiver: Receiver) -> None:
        self._cluster = cluster
        self._receiver = receiver
        self.ids: list[str] = []

    async def send(self) -> str:
        """Send one event; return its id when the subscription that is always there has it."""
        id_ = f"probe {len(self.ids)}"
        self.ids.append(id_)
        await self._cluster.put(Put(an_event(id_, project=self._cluster.project)), partition=0)
        await eventually(lambda: id_ in self._receiver.ids("/witness"), within=20)
        return id_

    async def until(self, shows: Callable[[str], Awaitable[bool]]) -> str:
        """Send until one *shows* the change; a notification that was lost would take a minute."""
        async with asyncio.timeout(60):
            while not await shows(id_ := await self.send()):
                pass
        return id_


async def test_changes_of_a_subscription_reach_a_running_worker_at_once(
    cluster: Cluster, receiver: Receiver
) -> None:
    await cluster.subscribe(f"{receiver.url}/witness", types=["plan.*"])
    await cluster.start()
    await cluster.fed_live()
    probes = Probes(cluster, receiver)
    await probes.send()

    async def settled() -> bool:
        return await cluster.committed() == len(probes.ids)

    async def at(path: str, id_: str) -> bool:
        await eventually(settled)
        return id_ in receiver.ids(path)

    async def kept(id_: str) -> bool:
        await eventually(settled)
        lanes = await cluster.fetch("select from lanes where reason = 'paused'")
        return bool(lanes) and id_ not in receiver.ids("/moved")

    async def unheard(id_: str) -> bool:
        return not await at("/moved", id_)

    async def signed_by_both(id_: str) -> bool:
        if not await at("/made", id_):
            return False
        seen = next(seen for seen in receiver.seen if (seen.path, seen.id) == ("/made", id_))
        verified(seen, made)
        with suppress(WebhookVerificationError):
            verified(seen, rotated)
            return True
        return False

    made = await cluster.subscribed(f"{receiver.url}/made")
    subscription = f"/v1/subscriptions/{made['id']}"
    await probes.until(lambda id_: at("/made", id_))

    rotated = await cluster.call("POST", f"{subscription}/secrets/rotate", {})
    await probes.until(signed_by_both)

    await cluster.call("PATCH", subscription, {"url": f"{receiver.url}/moved"})
    first = await probes.until(lambda id_: at("/moved", id_))
    assert first not in receiver.ids("/made")

    await cluster.call("POST", f"{subscription}/pause")
    held = [await probes.until(kept), await probes.send(), await probes.send()]
    assert not set(held) & receiver.ids("/moved").keys()
    await cluster.call("POST", f"{subscription}/resume")
    await eventually(lambda: receiver.ids("/moved").keys() >= set(held))
    await probes.until(lambda id_: at("/moved", id_))

    await cluster.call("DELETE", subscription, status=204)
    await probes.until(unheard)
    await probes.send()
    assert probes.ids[-1] not in receiver.ids("/moved")
    assert receiver.ids("/witness") == dict.fromkeys(probes.ids, 1)
    assert repeats(receiver.ids("/made")) == repeats(receiver.ids("/moved")) == {}

    async def none_left() -> (
        bool
    ):  # of a slow request the row goes after what it stood for was committed
        left = "select from retries union all select from dead_letters"
        return await cluster.fetch(left) == []

    await eventually(none_left)
