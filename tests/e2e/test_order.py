"""Ordered subscriptions on whole dispatchers: killed, stopped, failing; each key keeps its order."""

import time
from collections import Counter, defaultdict
from urllib.parse import quote

import pytest

from tests.support.cluster import Cluster, Receiver, Seen, a_key
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(120)

COUNT = 600


class Book:
    """What one receiver saw, and when it answered."""

    def __init__(self, *, failing: bool) -> None:
        self.failing = failing
        self.tries: Counter[str] = Counter()
        self.spans: dict[bytes, list[tuple[float, float, int]]] = defaultdict(list)
        self.taken: dict[bytes, list[int]] = defaultdict(list)
        """Numbers of events by key, in the order in which each was first acknowledged."""

    def answer(self, seen: Seen) -> int:
        """Fail each fortieth event twice, where this one fails."""
        number = int(seen.id, 16)
        key = a_key(number)
        self.tries[seen.id] += 1
        self.spans[key].append((seen.at, time.time(), number))
        if self.failing and number % 40 == 7 and self.tries[seen.id] <= 2:
            return 500
        if number not in self.taken[key]:
            self.taken[key].append(number)
        return 200


async def test_no_key_is_overtaken_through_failures_a_kill_and_a_graceful_restart(
    cluster: Cluster, receiver: Receiver
) -> None:
    book = Book(failing=True)
    receiver.answers["/ordered"] = book.answer
    receiver.delays["/ordered"] = 0.005
    await cluster.subscribe(
        f"{receiver.url}/ordered", ordered="key", retry_schedule=[1, 1, 1, 1, 1, 1]
    )
    worker = await cluster.start()
    await cluster.produce(COUNT // 3, rate=300)
    await worker.kill()
    worker = await cluster.start()
    await cluster.produce(COUNT // 3, rate=300)
    await eventually(lambda: sum(map(len, book.taken.values())) > COUNT // 2, within=40)
    assert await worker.terminate() == 0
    await cluster.start()
    await cluster.produce(COUNT // 3, rate=300)
    await eventually(lambda: sum(map(len, book.taken.values())) == COUNT, within=60)
    for key, numbers in book.taken.items():
        assert numbers == sorted(numbers), key
    for key, spans in book.spans.items():
        ends = 0.0
        for began, ended, number in sorted(spans):
            assert began >= ends, (key, number)
            ends = ended
    await cluster.all_committed()


async def test_an_exhausted_event_holds_its_key_alone_until_a_person_gives_it_up(
    cluster: Cluster, receiver: Receiver
) -> None:
    book = Book(failing=False)
    receiver.answers["/blocked"] = lambda seen: 500 if int(seen.id, 16) == 3 else book.answer(seen)
    id_ = await cluster.subscribe(
        f"{receiver.url}/blocked", ordered="key", on_exhausted="block", retry_schedule=[1]
    )
    await cluster.start()
    await cluster.produce(200)
    held = a_key(3)
    others = 200 - 4
    await eventually(lambda: sum(map(len, book.taken.values())) >= others - 5, within=30)

    async def blocked() -> bool:
        return bool(await cluster.fetch("select from retries where waits_for = 'person'"))

    await eventually(blocked, within=30)
    assert book.taken[held] == []
    (row,) = await cluster.fetch("select order_key from retries where waits_for = 'person'")
    key = quote(row["order_key"], safe="")
    await cluster.call("POST", f"/v1/subscriptions/{id_}/keys/{key}/release", {"action": "skip"})
    await eventually(lambda: book.taken[held] == [53, 103, 153], within=30)
    (dead,) = await cluster.fetch("select reason, attempts from dead_letters")
    assert (dead["reason"], dead["attempts"]) == ("skipped", 2)
