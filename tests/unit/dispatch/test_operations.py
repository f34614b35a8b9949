"""What is kept to be told is passed on, of each subscription in order; crossed out when Kafka has it."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import orjson
import pytest

from services.dispatch.operations import AT_ONCE, Operations
from services.kernel.errors import BrokerGoneError, BrokerRefusedError
from services.kernel.operation import Kept, Operation
from tests.support.rows import NOW, PROJECT
from tests.support.virtual_time import VirtualClock

Told = tuple[str, int]
"""Of whom, and which."""


class Kafka:
    """Takes its time, a different one for each record; *meets* sees a record before it is written."""

    def __init__(self, meets: Callable[[Told], Awaitable[None]]) -> None:
        self._meets = meets
        self.written: list[Told] = []
        self.ids: dict[Told, set[str]] = defaultdict(set)
        self.at_once = 0
        self.most_at_once = 0

    async def produce(self, topic: str, *, key: bytes, value: bytes) -> None:
        event = orjson.loads(value)
        told = event["data"]["subscription_id"], event["data"]["n"]
        assert (topic, key.decode()) == ("webhooks.ops", f"{PROJECT}:{told[0]}")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self._meets(told)
            self.ids[told].add(event["id"])
            self.written.append(told)
        finally:
            self.at_once -= 1


class Store:
    """What is kept, in its order."""

    def __init__(self, told: Sequence[Told]) -> None:
        self.kept = [a_kept(n, *each) for n, each in enumerate(told, start=1)]

    async def waiting(self, *, limit: int) -> Sequence[Kept]:
        return self.kept[:limit]

    async def told(self, numbers: Sequence[int]) -> None:
        self.kept = [kept for kept in self.kept if kept.number not in numbers]


def a_kept(number: int, of: str, n: int) -> Kept:
    operation = Operation(type="webhook.gap", project_id=PROJECT, subscription_id=of, data={"n": n})
    return Kept(number=number, operation=operation, at=NOW)


def passing_on(
    store: Store, kafka: Kafka, *, is_ours: Callable[[], bool] = lambda: True
) -> Operations:
    return Operations(
        store=store,
        producer=cast("Any", kafka),
        is_ours=is_ours,
        clock=VirtualClock(),
        chance=lambda: 0.5,
    )


async def the_first_are_the_slowest(told: Told) -> None:
    for _ in range(10 - told[1]):
        await asyncio.sleep(0)


async def test_what_is_told_of_one_subscription_keeps_its_order_and_others_do_not_wait_for_it() -> (
    None
):
    told = [(of, n) for n in range(8) for of in ("a", "b", "c")]
    store, kafka = Store(told), Kafka(the_first_are_the_slowest)
    await passing_on(store, kafka).pass_on()
    for of in ("a", "b", "c"):
        assert [n for who, n in kafka.written if who == of] == list(range(8))
    assert kafka.most_at_once == 3
    assert store.kept == []


async def test_many_are_passed_on_some_at_a_time() -> None:
    told = [(f"{n:024x}", 0) for n in range(2 * AT_ONCE + 1)]
    store, kafka = Store(told), Kafka(the_first_are_the_slowest)
    await passing_on(store, kafka).pass_on()
    assert sorted(kafka.written) == told
    assert kafka.most_at_once == AT_ONCE
    assert store.kept == []


async def test_while_kafka_is_gone_nothing_is_crossed_out_and_repeats_have_the_same_id() -> None:
    is_gone = True

    async def meets(told: Told) -> None:
        await the_first_are_the_slowest(told)
        if is_gone and told == ("b", 1):
            raise BrokerGoneError("gone")

    told = [(of, n) for n in range(3) for of in ("a", "b")]
    store, kafka = Store(told), Kafka(meets)
    operations = passing_on(store, kafka)
    with pytest.raises(BrokerGoneError, match="gone"):
        await operations.pass_on()
    assert len(store.kept) == 6
    assert kafka.at_once == 0  # nothing of it goes on beside the next try
    assert [n for who, n in kafka.written if who == "b"] == [0]
    is_gone = False
    await operations.pass_on()
    assert store.kept == []
    assert [n for who, n in kafka.written if who == "b"] == [0, 0, 1, 2]
    assert {len(ids) for ids in kafka.ids.values()} == {1}


async def test_what_kafka_refuses_holds_up_nothing_else() -> None:
    async def meets(told: Told) -> None:
        if told == ("a", 1):
            raise BrokerRefusedError("too large")

    store, kafka = Store([("a", 0), ("a", 1), ("b", 0), ("a", 2)]), Kafka(meets)
    await passing_on(store, kafka).pass_on()
    assert sorted(kafka.written) == [("a", 0), ("a", 2), ("b", 0)]
    assert store.kept == []


async def test_whoever_lost_the_partition_meanwhile_passes_no_more_on() -> None:
    ours = iter([True, False])
    store = Store([(f"{n:024x}", 0) for n in range(AT_ONCE + 5)])
    kafka = Kafka(the_first_are_the_slowest)
    await passing_on(store, kafka, is_ours=lambda: next(ours)).pass_on()
    assert (len(kafka.written), len(store.kept)) == (AT_ONCE, 5)
