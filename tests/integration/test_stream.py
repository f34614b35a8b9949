"""What happens, as it happens: nothing lost and nothing twice over a broken line, and a clean end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from aiohttp import ClientResponse, ClientSession
from aiokafka.errors import TopicAlreadyExistsError

from tests.support.cluster import (
    Cluster,
    Put,
    Receiver,
    a_cluster,
    an_event,
    create_topics,
    receiving,
)
from tests.support.native import Caller

pytestmark = pytest.mark.timeout(90)

OTHER = "5e208446c97efa37d4830bff"


class Message(NamedTuple):
    id: str
    name: str
    data: Any


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def cluster(kafka: str, database: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    with suppress(TopicAlreadyExistsError):
        await create_topics(kafka, ["webhooks.attempts"], partitions=2)
    async with a_cluster(kafka, database, tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def owner(cluster: Cluster) -> AsyncIterator[Caller]:
    body = {"name": "A key", "scopes": ["manage"]}
    made = await cluster.call("POST", f"/v1/projects/{cluster.project}/api-keys", body)
    async with ClientSession(cluster.api) as session:
        yield Caller(session, made["key"], cluster.project)


class Listener:
    """Reads one stream."""

    def __init__(self, response: ClientResponse) -> None:
        self._lines = response.content

    async def block(self) -> list[str] | None:
        """Return the lines up to the next empty one; None at the end."""
        found: list[str] = []
        while (line := (await self._lines.readline()).decode()) not in ("\n", ""):
            found.append(line.rstrip("\n"))
        return found if found or line == "\n" else None

    async def take(self, count: int) -> list[Message]:
        found = []
        while len(found) < count:
            block = await self.block()
            assert block is not None, f"it ended after {len(found)} messages"
            fields = dict(line.split(": ", 1) for line in block)
            if "data" in fields:
                found.append(Message(fields["id"], fields["event"], orjson.loads(fields["data"])))
        return found


@asynccontextmanager
async def listening(
    caller: Caller, query: str, *, after: str | None = None
) -> AsyncIterator[Listener]:
    """Listen; what happens after this began is told."""
    headers = {"Authorization": f"Bearer {caller.key}"}
    if after is not None:
        headers["Last-Event-ID"] = after
    async with caller.session.get(f"/v1/stream?{query}", headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        listener = Listener(response)
        first = await listener.block()
        assert first is not None
        assert first[0] == ": here"
        yield listener


async def put(cluster: Cluster, *ids: int, **fields: str) -> None:
    project = fields.get("project", cluster.project)
    await cluster.put(*(Put(an_event(f"{n:024x}", project=project), b"%d" % (n % 5)) for n in ids))


def numbers(messages: list[Message]) -> list[int]:
    return sorted(int(message.data["id"], 16) for message in messages)


async def test_who_comes_back_with_the_last_id_misses_nothing_and_hears_nothing_twice(
    cluster: Cluster, owner: Caller
) -> None:
    query = f"of=events&topic={cluster.topic}"
    await put(cluster, 999)  # before anybody listened
    async with listening(owner, query) as listener:
        await put(cluster, *range(20))
        await put(cluster, 500, project=OTHER)
        taken = await listener.take(13)
    await put(cluster, *range(20, 30))
    async with listening(owner, query, after=taken[-1].id) as listener:
        rest = await listener.take(17)
        await put(cluster, 30)
        rest += await listener.take(1)
    assert {message.name for message in taken + rest} == {"event"}
    assert numbers(taken + rest) == list(range(31))
    assert taken[0].data["event"]["type"] == "plan.created"


async def test_deliveries_are_told_with_what_came_of_them(
    cluster: Cluster, owner: Caller, receiver: Receiver
) -> None:
    receiver.answers["/bad"] = lambda _: 503
    good = (await owner.make(url=f"{receiver.url}/good"))["id"]
    bad = (await owner.make(url=f"{receiver.url}/bad"))["id"]
    await cluster.start()
    async with (
        listening(owner, f"of=deliveries&subscription={good}") as goods,
        listening(owner, "of=deliveries&verdict=retry&status=5xx&type=plan.*") as failures,
        listening(owner, f"of=deliveries&plan_id={1:024x}&state=acknowledged") as one,
        listening(owner, f"of=events&plan_id={2:024x}") as events,
    ):
        await put(cluster, *range(3))
        delivered, failed = await goods.take(3), await failures.take(3)
        assert {(m.data["plan_id"], m.data["outcome"]) for m in await one.take(1)} == {
            (f"{1:024x}", "ok")
        }
        assert numbers(await events.take(1)) == [2]
    assert {m.name for m in delivered + failed} == {"delivery"}
    assert {m.data["event_id"] for m in delivered} == {f"{n:024x}" for n in range(3)}
    assert {(m.data["outcome"], m.data["verdict"]) for m in delivered} == {("ok", "acknowledged")}
    assert {(m.data["status"], m.data["verdict"]) for m in failed} == {(503, "retry")}
    assert {m.data["subscription_id"] for m in failed} == {bad}


async def test_the_end_of_the_service_is_the_end_of_the_stream(
    cluster: Cluster, owner: Caller
) -> None:
    async with listening(owner, "of=events") as listener:
        api = cluster.processes[0]
        assert await api.terminate(within=10) == 0
        while (block := await listener.block()) is not None:
            assert block[0].startswith(":")


async def test_what_is_wrong_is_told_at_once_and_a_key_has_so_many_streams(
    cluster: Cluster, owner: Caller
) -> None:
    answer = await owner("GET", "/v1/stream?of=evnts&outcome=fine&tpye=x&type=nope", status=422)
    assert sorted(answer.faults) == [
        ("of", "choice"), ("outcome", "choice"), ("tpye", "unknown_parameter"),
        ("type", "unknown_type"),
    ]  # fmt: skip
    answer = await owner("GET", "/v1/stream?of=events&status=5xx&q=x", status=422)
    assert answer.faults == [("status", "conflict"), ("q", "conflict")]
    answer = await owner("GET", "/v1/stream", status=422, Last_Event_ID="nonsense")
    assert answer.faults == [("Last-Event-ID", "cursor")]
    query = f"of=events&topic={cluster.topic}"
    async with (
        listening(owner, query),
        listening(owner, query),
        listening(owner, query),
        listening(owner, query),
    ):
        await owner("GET", "/v1/stream", status=409)
