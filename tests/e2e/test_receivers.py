"""Receivers with bad manners: each gets the verdict it earned, and no other notices anything."""

import asyncio
import itertools
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import NamedTuple, TypeAlias

import orjson
import pytest
from aiohttp import web
from standardwebhooks import Webhook

from tests.support.certificates import Authority
from tests.support.cluster import (
    Cluster,
    Receiver,
    Seen,
    by_id,
    free_port,
    repeats,
)
from tests.support.eventually import eventually

COUNT = 20
FEW = 4
"""Of failures in a row: the breaker would leave the receiver alone after the fifth."""
HOUR = 3600

pytestmark = pytest.mark.timeout(180)


# Servers that speak no proper HTTP, or none at all.

Misbehave: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def a_server(
    misbehave: Misbehave, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Serve every request by *misbehave*; yield the port, and the requests as they come."""
    got: list[bytes] = []
    open_tasks: set[asyncio.Task[object]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_tasks.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                )
                got.append(head + await reader.readexactly(length))
                await misbehave(writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the sender has had enough of us, or the test is over
        finally:
            open_tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], got
    finally:
        server.close()
        for task in open_tasks:
            task.cancel()


def saying(*parts: bytes, every: float = 0.0, forever: bool = False) -> Misbehave:
    """Answer with *parts*, the last one again and again if *forever*; close after them if not."""

    async def say(writer: asyncio.StreamWriter) -> None:
        for part in itertools.chain(parts, itertools.repeat(parts[-1], 1 << 30 if forever else 0)):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(every)
        writer.close()

    return say


async def reset(writer: asyncio.StreamWriter) -> None:
    """Break the connection as a crashed machine does."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hang(_: asyncio.StreamWriter) -> None:
    """Say nothing."""
    await asyncio.sleep(HOUR)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Verdict(NamedTuple):
    """What a dead letter says of the only attempt."""

    reason: str
    outcome: str
    status: int | None = None


def exhausted(outcome: str, status: int | None = None) -> Verdict:
    return Verdict("exhausted", outcome, status)


HOSTILE: Mapping[str, tuple[Misbehave, Verdict | None]] = {
    "a body without end": (
        saying(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n", forever=True),
        None,
    ),
    "a body that drips": (
        saying(CHUNKED, b"1\r\nx\r\n", every=0.05, forever=True),
        exhausted("timeout"),
    ),
    "headers without end": (
        saying(b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"x" * 4000 + b"\r\n", forever=True),
        exhausted("reset"),
    ),
    "one header without end": (
        saying(b"HTTP/1.1 200 OK\r\nx-more: ", b"x" * 4096, forever=True),
        exhausted("reset"),
    ),
    "continue without end": (
        saying(b"HTTP/1.1 100 Continue\r\n\r\n", every=0.01, forever=True),
        exhausted("timeout"),
    ),
    "reset": (reset, exhausted("reset")),
    "closed without an answer": (saying(b""), exhausted("reset")),
    "an answer that breaks off": (saying(FINE[:-1]), exhausted("reset")),
    "no HTTP": (saying(b"SSH-2.0-OpenSSH_9.6\r\n"), exhausted("reset")),
    "a length that is none": (
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
        exhausted("reset"),
    ),
    "silence": (hang, exhausted("timeout")),
    "an error with a body without end": (
        saying(CHUNKED.replace(b"200", b"500"), b"1000\r\n" + b"x" * 4096 + b"\r\n", forever=True),
        exhausted("http", 500),
    ),
}


async def verdicts(cluster: Cluster) -> dict[str, Counter[Verdict]]:
    """Count the dead letters of each subscription by what they say."""
    found: dict[str, Counter[Verdict]] = {}
    for row in await cluster.fetch("select * from dead_letters where attempts = 1"):
        verdict = Verdict(row["reason"], row["outcome"], row["status"])
        found.setdefault(row["subscription_id"], Counter())[verdict] += 1
        assert (row["outcome"] == "http") == (row["error"] is None)
    return found


async def all_dead(cluster: Cluster, expected: Mapping[str, Verdict]) -> None:
    """Wait until each of these subscriptions has a dead letter of each event, and compare."""

    async def done() -> bool:
        return sum(n.total() for n in (await verdicts(cluster)).values()) >= FEW * len(expected)

    await eventually(done, within=40)
    found = await verdicts(cluster)
    assert found == {id_: Counter({verdict: FEW}) for id_, verdict in expected.items()}


async def test_whatever_a_receiver_does_ends_as_its_outcome_and_costs_others_nothing(
    cluster: Cluster, receiver: Receiver
) -> None:
    expected: dict[str, Verdict] = {}
    served: dict[str, list[bytes]] = {}
    once = {"types": ["plan.*"], "retry_schedule": [], "timeout_seconds": 5}
    await cluster.subscribe(f"{receiver.url}/healthy", types=["plan.*"])
    async with AsyncExitStack() as stack:
        for name, (misbehave, verdict) in HOSTILE.items():
            port, served[name] = await stack.enter_async_context(a_server(misbehave))
            id_ = await cluster.subscribe(f"http://127.0.0.1:{port}/", **once)
            if verdict is not None:
                expected[id_] = verdict
        refused = await cluster.subscribe(f"http://127.0.0.1:{free_port()}/", **once)
        expected[refused] = exhausted("connect")
        nameless = await cluster.subscribe("http://nobody.invalid/", **once)
        expected[nameless] = exhausted("dns")
        receiver.delays["/slow"] = 10
        slow = await cluster.subscribe(f"{receiver.url}/slow", **once)
        expected[slow] = exhausted("timeout")
        await cluster.start()
        await cluster.fed_live()
        await cluster.produce(FEW)
        await all_dead(cluster, expected)
        assert {name: len(got) for name, got in served.items()} == dict.fromkeys(HOSTILE, FEW)
        await cluster.all_committed()
    assert receiver.ids("/healthy") == dict.fromkeys(cluster.produced, 1)
    await eventually(lambda: none_left(cluster))


async def test_an_answer_that_is_no_success_ends_as_its_status_and_is_not_followed(
    cluster: Cluster, receiver: Receiver
) -> None:
    def redirect(_: Seen) -> web.Response:
        return web.Response(
            status=307, headers={"Location": f"{receiver.url}/target"}, text="there"
        )

    receiver.answers |= {
        "/redirect": redirect,
        "/unmodified": lambda _: 304,
        "/teapot": lambda _: 418,
        "/broken": lambda _: 500,
        "/accepted": lambda _: 202,
        "/nothing": lambda _: 204,
    }
    statuses = {"/redirect": 307, "/unmodified": 304, "/teapot": 418, "/broken": 500}
    expected = {
        await cluster.subscribe(
            f"{receiver.url}{path}", types=["plan.*"], retry_schedule=[]
        ): exhausted("http", status)
        for path, status in statuses.items()
    }
    for path in ("/accepted", "/nothing"):
        await cluster.subscribe(f"{receiver.url}{path}", types=["plan.*"])
    # The API refuses such a URL; a name can point there later. What counts is where it leads.
    blocked = await cluster.subscribe(
        f"{receiver.url}/blocked", types=["plan.*"], retry_schedule=[]
    )
    await cluster.fetch("update subscriptions set url = 'http://10.0.0.1/' where id = $1", blocked)
    expected[blocked] = exhausted("blocked")
    await cluster.start()
    await cluster.fed_live()
    await cluster.produce(FEW)
    await all_dead(cluster, expected)
    await cluster.all_committed()
    for path in ("/accepted", "/nothing", *statuses):
        assert receiver.ids(path) == dict.fromkeys(cluster.produced, 1)
    assert not receiver.ids("/target")
    assert not receiver.ids("/blocked")
    (shown,) = await cluster.fetch("select distinct response from dead_letters where status = 307")
    assert shown["response"] == b"there"
    (row,) = await cluster.fetch(
        "select distinct error from dead_letters where outcome = 'blocked'"
    )
    assert "10.0.0.1" in row["error"]


async def test_a_certificate_that_does_not_verify_gets_no_event_and_one_that_does_gets_all(
    cluster: Cluster, receiver: Receiver, tmp_path: Path
) -> None:
    trusted, stranger = Authority(tmp_path, "trusted"), Authority(tmp_path, "stranger")
    old = trusted.server()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    none_to_share = trusted.server()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        none_to_share.maximum_version = ssl.TLSVersion.TLSv1_1
    right = {"TLS 1.3": trusted.server(), "TLS 1.2": old}
    wrong = {
        "self-signed": stranger.server(),
        "of another name": trusted.server("receiver.example"),
        "expired": trusted.server(expired=True),
        "TLS 1.1": none_to_share,
    }
    served: dict[str, list[bytes]] = {}
    expected = {}
    once = {"types": ["plan.*"], "retry_schedule": []}
    await cluster.subscribe(f"{receiver.url}/healthy", types=["plan.*"])
    async with AsyncExitStack() as stack:
        for name, context in (right | wrong).items():
            serving = a_server(saying(FINE), tls=context)
            port, served[name] = await stack.enter_async_context(serving)
            id_ = await cluster.subscribe(f"https://127.0.0.1:{port}/", **once)
            if name in wrong:
                expected[id_] = exhausted("tls")
        plain = receiver.url.replace("http:", "https:")
        id_ = await cluster.subscribe(f"{plain}/plain", **once)
        expected[id_] = exhausted("tls")
        await cluster.start(WEBHOOKS_DELIVER__CA_FILE=str(trusted.file))
        await cluster.fed_live()
        await cluster.produce(FEW)
        await all_dead(cluster, expected)
        await cluster.all_committed()
    assert {name: len(got) for name, got in served.items()} == {
        **dict.fromkeys(right, FEW),
        **dict.fromkeys(wrong, 0),
    }
    assert receiver.ids("/healthy") == dict.fromkeys(cluster.produced, 1)


def busy_at_first(status: int, *, as_date: bool) -> Callable[[Seen], web.Response]:
    """Answer the first request with *status* and a `Retry-After` of three seconds or four."""
    answers = itertools.count()

    def answer(seen: Seen) -> web.Response:
        if next(answers):
            return web.Response()
        until = datetime.fromtimestamp(int(seen.at) + 4, UTC)
        after = format_datetime(until, usegmt=True) if as_date else "3"
        return web.Response(status=status, headers={"Retry-After": after})

    return answer


async def test_retry_after_holds_the_subscription_and_then_everything_arrives(
    cluster: Cluster, receiver: Receiver
) -> None:
    receiver.answers = {
        f"/{status}/{kind}": busy_at_first(status, as_date=kind == "date")
        for status in (429, 503)
        for kind in ("seconds", "date")
    }
    for path in receiver.answers:
        await cluster.subscribe(f"{receiver.url}{path}", retry_schedule=[1], max_in_flight=1)
    await cluster.subscribe(f"{receiver.url}/healthy")
    await cluster.start()
    await cluster.fed_live()
    await cluster.produce(COUNT)
    await cluster.all_committed()

    def all_came() -> bool:  # what a lane still has to read has no row
        every = cluster.produced.keys()
        return all(receiver.ids(path).keys() == every for path in receiver.answers)

    await eventually(all_came, within=60)
    await eventually(lambda: none_left(cluster), within=40)
    for path in receiver.answers:
        first, second, *rest = [seen for seen in receiver.seen if seen.path == path]
        assert second.at - first.at >= 3.0
        assert repeats(receiver.ids(path)) == {first.id: 1}
        (again,) = [seen for seen in (second, *rest) if seen.id == first.id]
        assert (again.attempt, again.headers["planner-retry-reason"]) == (2, "http")
    assert receiver.ids("/healthy") == dict.fromkeys(cluster.produced, 1)


async def none_left(cluster: Cluster) -> bool:
    return await cluster.fetch("select from retries") == []


async def test_a_receiver_that_wants_to_be_left_alone_for_days_is_asked_again_within_an_hour(
    cluster: Cluster, receiver: Receiver
) -> None:
    receiver.answers["/days"] = lambda _: web.Response(
        status=429, headers={"Retry-After": "999999"}
    )
    receiver.answers["/nonsense"] = lambda _: web.Response(
        status=503, headers={"Retry-After": "soon"}
    )
    days = await cluster.subscribe(f"{receiver.url}/days", retry_schedule=[1], max_in_flight=1)
    nonsense = await cluster.subscribe(f"{receiver.url}/nonsense", retry_schedule=[600])
    await cluster.start()
    await cluster.fed_live()
    await cluster.produce(COUNT)
    await cluster.all_committed()  # those that wait for their turn are covered by lanes by now
    rows = await cluster.fetch(
        "select *, due_at - now() as wait from retries where subscription_id = $1", days
    )
    (failed,) = rows
    assert (failed["outcome"], failed["status"], failed["number"]) == ("http", 429, 2)
    assert timedelta(minutes=55) < failed["wait"] <= timedelta(hours=1)
    assert await cluster.fetch("select from lanes where subscription_id = $1", days)
    assert receiver.ids("/days").total() == 1
    waits = await cluster.fetch(
        "select due_at - parked_at as wait, number, outcome, status from retries"
        " where subscription_id = $1",
        nonsense,
    )
    assert len(waits) == COUNT
    assert {(row["number"], row["outcome"], row["status"]) for row in waits} == {(2, "http", 503)}
    # A fifth longer at most, so that those that failed together don't come back together.
    assert all(590 < row["wait"].total_seconds() < 725 for row in waits)
    assert len({row["wait"] for row in waits}) > 1


async def test_gone_disables_at_once_and_nothing_is_lost_for_who_comes_back(
    cluster: Cluster, receiver: Receiver
) -> None:
    receiver.answers["/gone"] = lambda _: 410
    id_ = await cluster.subscribe(f"{receiver.url}/gone", max_in_flight=1)
    await cluster.subscribe(f"{receiver.url}/healthy", types=["plan.*"])
    await cluster.subscribe(f"{receiver.url}/operations", types=["webhook.disabled"])
    await cluster.start()
    await cluster.fed_live()
    await cluster.produce(COUNT)
    await cluster.all_committed()
    assert receiver.ids("/healthy") == dict.fromkeys(cluster.produced, 1)
    assert receiver.ids("/gone").total() == 1
    (dead,) = await cluster.fetch("select * from dead_letters")
    assert (dead["subscription_id"], dead["reason"], dead["status"]) == (id_, "gone", 410)

    async def disabled() -> bool:
        shown = await cluster.call("GET", f"/v1/subscriptions/{id_}")
        return (shown["status"], shown["status_reason"]) == ("disabled", "gone")

    await eventually(disabled)
    await eventually(lambda: receiver.ids("/operations").total() == 1)
    (told,) = [orjson.loads(seen.body) for seen in receiver.seen if seen.path == "/operations"]
    assert (told["type"], told["data"]["subscription_id"]) == ("webhook.disabled", id_)
    del receiver.answers["/gone"]
    await cluster.call("POST", f"/v1/subscriptions/{id_}/resume")
    await cluster.produce(1)
    rest = cluster.produced.keys() - {dead["event_id"]}
    await eventually(lambda: receiver.ids("/gone").keys() >= rest, within=30)
    assert repeats(receiver.ids("/gone")) == {}  # the dead letter stays one


async def test_a_slow_receiver_is_written_down_meanwhile_and_gets_everything_once(
    cluster: Cluster, receiver: Receiver
) -> None:
    receiver.delays["/slow"] = 4
    await cluster.subscribe(f"{receiver.url}/slow", timeout_seconds=20)
    await cluster.subscribe(f"{receiver.url}/healthy")
    await cluster.start()
    await cluster.fed_live()
    await cluster.produce(COUNT)

    await cluster.all_committed()  # so none of these holds up its partition
    await eventually(lambda: receiver.ids("/slow").keys() >= cluster.produced.keys(), within=60)
    await eventually(lambda: none_left(cluster), within=20)
    for path in ("/slow", "/healthy"):
        assert receiver.ids(path) == dict.fromkeys(cluster.produced, 1)
    assert await cluster.fetch("select from dead_letters") == []


async def test_a_flapping_receiver_gets_everything_with_the_same_id_and_a_growing_number(
    cluster: Cluster, receiver: Receiver
) -> None:
    answers = itertools.cycle([200, 500, 200, 503, 200, 200, 429])
    receiver.answers["/flapping"] = lambda _: next(answers)
    subscription = await cluster.subscribed(f"{receiver.url}/flapping", retry_schedule=[1] * 20)
    await cluster.subscribe(f"{receiver.url}/healthy")
    await cluster.start()
    await cluster.fed_live()
    await cluster.produce(3 * COUNT, rate=50)
    await cluster.all_committed()
    # What a lane still has to read has no row.
    await eventually(lambda: receiver.ids("/flapping").keys() == cluster.produced.keys(), within=60)
    await eventually(lambda: none_left(cluster), within=60)
    assert receiver.ids("/healthy") == dict.fromkeys(cluster.produced, 1)
    assert await cluster.fetch("select from dead_letters") == []
    for tries in by_id(receiver, "/flapping").values():
        assert [seen.attempt for seen in tries] == list(range(1, len(tries) + 1))
        assert len({seen.body for seen in tries}) == 1
        reasons = [seen.headers.get("planner-retry-reason") for seen in tries]
        assert reasons == [None] + ["http"] * (len(tries) - 1)
        for seen in tries:
            Webhook(subscription["secret"]).verify(seen.body, dict(seen.headers))
