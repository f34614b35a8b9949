"""Who listens is told that we are there when nothing happens, and what was missed when it was slow."""

from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, cast

import orjson

from services.control.access import SCOPES, Caller
from services.control.journal import Gap, Journal
from services.control.readers import Readers
from services.control.tail import EVENTS, HEARTBEAT_SECONDS, Message, Tail, Wanted
from services.control.view import Entry
from services.feed.decode import Decoder
from services.kernel.event import Partition
from services.record import codec
from tests.support.factories import PROJECT
from tests.support.fake_kafka import FakeKafka, FakeLogReader, FakeOffsets
from tests.support.server import State
from tests.support.virtual_time import VirtualClock, run_virtually

TOPIC = "planner.events"
LOG = Partition(TOPIC, 0)
OPERATOR = Caller("admin", None, frozenset(SCOPES))


def an_event(n: int) -> bytes:
    return orjson.dumps({
        "id": f"{n:024x}", "type": "plan.created", "created_at": "2026-03-17T09:40:51.000Z",
        "project_id": PROJECT, "data": {"id": f"{n:024x}", "project_id": PROJECT},
    })  # fmt: skip


def put(kafka: FakeKafka, *numbers: int) -> None:
    for n in numbers:
        kafka.append(LOG, an_event(n), timestamp_ms=n)


def a_tail(kafka: FakeKafka) -> Tail:
    nothing = cast("Any", None)
    offsets, clock = FakeOffsets(kafka), VirtualClock()
    journal = Journal(
        readers=Readers(lambda: FakeLogReader(kafka)),
        offsets=offsets,
        topics=[TOPIC],
        subscriptions=nothing,
        geofences=nothing,
        decoder=Decoder(max_bytes=1 << 20),
        max_body_bytes=1 << 20,
        clock=clock,
    )
    return Tail(
        make_reader=lambda: FakeLogReader(kafka),
        offsets=offsets,
        journal=journal,
        attempts_topic=None,
        decode=codec.decode,
        clock=clock,
    )


async def listening(tail: Tail, after: str | None = None) -> AsyncGenerator[Message, None]:
    """Listen; the first message, which says that we are there, is taken."""
    messages = await tail.listen(OPERATOR, Wanted(EVENTS, after=after))
    first = await anext(messages)
    assert first.what is None
    return messages


def ids(messages: list[Message]) -> list[int]:
    return [int(m.what.event.id, 16) for m in messages if isinstance(m.what, Entry)]


def run(story: Coroutine[Any, Any, None]) -> None:
    run_virtually(story)


def test_while_nothing_happens_the_line_is_kept_alive_and_its_id_goes_on_from_there() -> None:
    async def story() -> None:
        kafka = FakeKafka({TOPIC: 1})
        tail, clock = a_tail(kafka), VirtualClock()
        put(kafka, 1)
        async with aclosing(await listening(tail)) as messages:
            began = clock.monotonic()
            beats = [await anext(messages) for _ in range(2)]
            took = clock.monotonic() - began
        assert [beat.what for beat in beats] == [None, None]
        assert 2 * HEARTBEAT_SECONDS <= took <= 2 * HEARTBEAT_SECONDS + 3
        put(kafka, 2)
        async with aclosing(await listening(tail, after=beats[-1].at)) as messages:
            assert ids([await anext(messages)]) == [2]

    run(story())


def test_what_retention_took_from_a_slow_listener_is_told_and_it_goes_on_behind_that() -> None:
    async def story() -> None:
        kafka = FakeKafka({TOPIC: 1})
        tail = a_tail(kafka)
        async with aclosing(await listening(tail)) as messages:
            put(kafka, *range(5))
            taken = [await anext(messages) for _ in range(2)]
        put(kafka, *range(5, 20))
        log = kafka.logs[LOG]
        log.start, log.records = 12, log.records[12:]
        async with aclosing(await listening(tail, after=taken[-1].at)) as messages:
            missed = await anext(messages)
            rest = [await anext(messages) for _ in range(8)]
        assert missed.what == Gap(LOG, 2, 12)
        assert ids(taken + rest) == [0, 1, *range(12, 20)]

    run(story())


def test_while_kafka_is_away_the_line_is_kept_alive_and_nothing_is_lost() -> None:
    async def story() -> None:
        kafka = FakeKafka({TOPIC: 1})
        tail = a_tail(kafka)
        async with aclosing(await listening(tail)) as messages:
            put(kafka, 1)
            kafka.go(State.REFUSING)
            beats = [await anext(messages) for _ in range(2)]
            assert [beat.what for beat in beats] == [None, None]
            kafka.go(State.UP)
            assert ids([await anext(messages)]) == [1]

    run(story())
