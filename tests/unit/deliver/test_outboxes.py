"""Outboxes against receivers with manners, in virtual time."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from services.deliver.outbox import MAX_ENTRIES
from services.deliver.outboxes import Outboxes
from services.kernel.attempt import Attempt, Outcome
from services.kernel.condition import BreakerState, Trouble
from services.kernel.delivery import Delivery
from services.kernel.event import Partition, Position
from services.kernel.ids import SubscriptionId
from services.kernel.subscription import Ordered, Subscription
from tests.support.factories import a_subscription
from tests.support.virtual_time import VirtualClock, run_virtually

PARTITION = Partition("planner.events", 0)
Reply = tuple[float, Outcome, int | None]
OK: Reply = (0.05, Outcome.OK, 200)
REFUSED: Reply = (0.001, Outcome.CONNECT, None)
FAILED: Reply = (0.05, Outcome.HTTP, 500)
BUSY: Reply = (0.05, Outcome.HTTP, 429)
HANGS: Reply = (15.0, Outcome.TIMEOUT, None)


def a_delivery(
    id_: SubscriptionId, offset: int = 0, partition: Partition = PARTITION, body: bytes = b"{}"
) -> Delivery:
    return Delivery(
        position=Position(partition, offset),
        epoch=1,
        subscription_id=id_,
        event_id=f"{offset:024x}",
        type="plan.created",
        body=body,
        content_type="application/json",
        key=None,
        project_id="p",
        timestamp_ms=0,
    )


@dataclass
class Bench:
    """Outboxes, and what they do."""

    reply: Callable[[Delivery, int], Reply] = lambda _, __: OK
    """By delivery, and by how many requests are at the receiver."""
    retry_after: float | None = None
    sent: list[tuple[float, Delivery]] = field(default_factory=list)
    answers: list[tuple[float, Delivery, Attempt]] = field(default_factory=list)
    troubles: list[tuple[float, SubscriptionId, Trouble]] = field(default_factory=list)
    at_once: Counter[SubscriptionId] = field(default_factory=Counter)
    most_at_once: Counter[SubscriptionId] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.clock = VirtualClock()
        self.outboxes = self.make()

    def make(
        self,
        *,
        max_in_flight: int = 2000,
        ceiling: int = 64,
        may_begin: Callable[[float], bool] = lambda _: True,
    ) -> Outboxes:
        self.outboxes = Outboxes(
            sender=self,
            on_attempt=lambda d, a: self.answers.append((self.clock.monotonic(), d, a)),
            on_trouble=lambda id_, t: self.troubles.append((self.clock.monotonic(), id_, t)),
            clock=self.clock,
            chance=lambda: 0.0,
            may_begin=may_begin,
            ordered_seconds=6.0,
            max_in_flight=max_in_flight,
            max_in_flight_per_subscription=ceiling,
        )
        return self.outboxes

    async def deliver(
        self,
        delivery: Delivery,
        subscription: Subscription,
        *,
        waited: float = 0.0,  # noqa: ARG002 - kept with an attempt, and nothing else
    ) -> Attempt:
        id_ = subscription.id
        began = self.clock.monotonic()
        self.sent.append((began, delivery))
        self.at_once[id_] += 1
        self.most_at_once[id_] = max(self.most_at_once[id_], self.at_once[id_])
        seconds, outcome, status = self.reply(delivery, self.at_once[id_])
        await self.clock.sleep(seconds)
        self.at_once[id_] -= 1
        return Attempt(
            outcome=outcome,
            started_at=began,
            seconds=seconds,
            status=status,
            retry_after=self.retry_after,
        )

    def run(self, story: Callable[[], object]) -> None:
        """Run *story* while the outboxes run."""

        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                running = group.create_task(self.outboxes.run())
                await story()  # type: ignore[misc]
                running.cancel()

        run_virtually(main())

    async def feed(self, subscription: Subscription, *, rate: float, seconds: float) -> None:
        """Offer *rate* deliveries a second for *seconds*, but never more than there is room for."""
        until = self.clock.monotonic() + seconds
        offset = len(self.sent) + 100_000
        while self.clock.monotonic() < until:
            for _ in range(max(1, round(rate / 100))):
                condition = self.outboxes.condition(subscription.id)
                if condition is None or condition.queued < MAX_ENTRIES:
                    offset += 1
                    self.outboxes.deliver(a_delivery(subscription.id, offset), subscription)
            await self.clock.sleep(max(0.01, 1 / rate))

    def rate(self, begin: float, end: float) -> float:
        """Successes per second between two moments."""
        done = [at for at, _, a in self.answers if begin <= at < end and a.outcome is Outcome.OK]
        return len(done) / (end - begin)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_receiver_that_is_back_has_nine_tenths_of_its_rate_within_ten_seconds(
    bench: Bench,
) -> None:
    subscription = a_subscription()

    def reply(_: Delivery, __: int) -> Reply:
        return REFUSED if 10 <= bench.clock.monotonic() < 20 else OK

    bench.reply = reply
    bench.run(lambda: bench.feed(subscription, rate=1200, seconds=40))
    before = bench.rate(6, 10)
    assert before > 1000
    assert bench.rate(30, 34) >= 0.9 * before
    during = [at for at, _ in bench.sent if 12 <= at < 20]
    assert len(during) <= 4, "probes alone"


@pytest.mark.parametrize("kind", [FAILED, BUSY, REFUSED])
def test_a_receiver_that_fails_each_time_is_left_alone_within_two_seconds(
    bench: Bench, kind: Reply
) -> None:
    subscription = a_subscription()
    bench.reply = lambda _, __: kind if bench.clock.monotonic() >= 5 else OK
    bench.run(lambda: bench.feed(subscription, rate=1000, seconds=20))
    assert [t for at, _, t in bench.troubles if at <= 7][:1] == [Trouble.BREAKER_OPEN]
    assert len([at for at, _ in bench.sent if 7 <= at < 20]) <= 5


def test_a_receiver_that_takes_ten_at_once_and_says_so_is_sent_about_ten(bench: Bench) -> None:
    subscription = a_subscription()
    bench.reply = lambda _, at_once: BUSY if at_once > 10 else OK
    bench.run(lambda: bench.feed(subscription, rate=2000, seconds=60))
    late = [a.outcome for at, _, a in bench.answers if at > 20]
    assert late.count(Outcome.OK) / len(late) > 0.85
    assert bench.rate(20, 60) > 0.6 * 10 / 0.05


def test_who_only_waits_for_a_turn_is_no_trouble_it_is_us_who_have_too_much_to_do(
    bench: Bench,
) -> None:
    subscriptions = [a_subscription(id_=f"{n:024x}") for n in range(50)]
    bench.reply = lambda _, __: OK
    outboxes = bench.make(max_in_flight=10)

    async def story() -> None:
        for offset in range(40):
            for subscription in subscriptions:
                outboxes.deliver(a_delivery(subscription.id, offset), subscription)
        await bench.clock.sleep(9)

    bench.run(story)
    assert bench.sent[-1][0] > 8, "some of it has waited for eight seconds"
    assert bench.troubles == []


def test_of_those_that_take_nothing_who_has_the_most_in_line_comes_first(bench: Bench) -> None:
    well, hangs, fails = (a_subscription(id_=f"{n:024x}") for n in range(3))
    replies = {well.id: OK, hangs.id: HANGS, fails.id: FAILED}
    bench.reply = lambda delivery, _: replies[delivery.subscription_id]
    outboxes = bench.make(max_in_flight=70)
    found: list[list[SubscriptionId]] = []

    async def story() -> None:
        for offset in range(200):
            outboxes.deliver(a_delivery(well.id, offset), well)
        for subscription, count in ((hangs, 80), (fails, 120)):
            for offset in range(count):
                outboxes.deliver(a_delivery(subscription.id, offset), subscription)
        await bench.clock.sleep(1.6)
        outboxes.deliver(a_delivery(well.id, 1_000), well)
        outboxes.deliver(a_delivery(hangs.id, 1_000), hangs)
        found.append(outboxes.stuck(1.5, most=2))
        found.append(outboxes.stuck(1.5, most=1))

    bench.run(story)
    assert found == [[fails.id, hangs.id], [fails.id]]


def test_who_only_waits_for_a_turn_is_not_stuck(bench: Bench) -> None:
    subscriptions = [a_subscription(id_=f"{n:024x}") for n in range(6)]
    bench.reply = lambda _, __: (60.0, Outcome.OK, 200)
    outboxes = bench.make(max_in_flight=4)
    found: list[SubscriptionId] = []

    async def story() -> None:
        for subscription in subscriptions:
            for offset in range(20):
                outboxes.deliver(a_delivery(subscription.id, offset), subscription)
        await bench.clock.sleep(2)
        found.extend(outboxes.stuck(1.5, most=10))

    bench.run(story)
    asked = {delivery.subscription_id for _, delivery in bench.sent}
    assert set(found) == asked
    assert len(asked) == 4


def test_what_hangs_is_told_of_within_five_seconds_of_the_first_unanswered_request(
    bench: Bench,
) -> None:
    subscription = a_subscription()
    bench.reply = lambda _, __: HANGS
    bench.run(lambda: bench.feed(subscription, rate=2, seconds=14))
    at, id_, trouble = bench.troubles[0]
    assert (id_, trouble) == (subscription.id, Trouble.WAITED)
    assert at - bench.sent[0][0] <= 5.0
    assert len(bench.troubles) == 1, "once per spell"


def test_one_slow_answer_among_many_is_no_trouble(bench: Bench) -> None:
    subscription = a_subscription()
    bench.reply = lambda delivery, _: HANGS if delivery.position.offset % 100 == 50 else OK
    bench.run(lambda: bench.feed(subscription, rate=10, seconds=60))
    assert bench.troubles == []


def test_a_median_over_a_second_is_told_once_and_again_after_it_was_well(bench: Bench) -> None:
    subscription = a_subscription()

    def reply(_: Delivery, __: int) -> Reply:
        now = bench.clock.monotonic()
        return (1.5, Outcome.OK, 200) if now < 30 or now >= 60 else OK

    bench.reply = reply
    bench.run(lambda: bench.feed(subscription, rate=1, seconds=90))
    assert [t for _, _, t in bench.troubles] == [Trouble.SLOW, Trouble.SLOW]
    assert bench.troubles[1][0] > 60


def test_a_rate_below_arrival_is_told_and_the_rate_is_kept(bench: Bench) -> None:
    subscription = a_subscription(rate_limit=20.0)
    bench.run(lambda: bench.feed(subscription, rate=100, seconds=20))
    assert bench.troubles[0][2] is Trouble.RATE
    assert 19 <= len([at for at, _ in bench.sent if 5 <= at < 15]) / 10 <= 21


def test_a_rate_is_shared_by_the_part_of_the_partitions_that_is_ours(bench: Bench) -> None:
    subscription = a_subscription(rate_limit=40.0)

    async def story() -> None:
        bench.outboxes.set_share(0.25)
        await bench.feed(subscription, rate=200, seconds=10)
        bench.outboxes.set_share(1.0)
        await bench.feed(subscription, rate=200, seconds=10)

    bench.run(story)
    assert 9 <= len([at for at, _ in bench.sent if 2 <= at < 10]) / 8 <= 11
    assert 38 <= len([at for at, _ in bench.sent if 12 <= at < 20]) / 8 <= 42


def test_a_full_outbox_is_told_of_only_where_what_is_in_it_waits(bench: Bench) -> None:
    """Nor where concurrency still doubles: how much that receiver takes isn't known yet."""
    fast = a_subscription(id_="a" * 24)
    slow = a_subscription(id_="b" * 24, max_in_flight=4)
    growing = a_subscription(id_="c" * 24, max_in_flight=500)
    bench.reply = lambda d, _: OK if d.subscription_id == fast.id else (0.9, Outcome.OK, 200)

    async def story() -> None:
        for subscription in (fast, slow, growing):
            for offset in range(500):
                bench.outboxes.deliver(a_delivery(subscription.id, offset), subscription)
        await bench.clock.sleep(3)

    bench.run(story)
    assert [(id_, t) for _, id_, t in bench.troubles] == [(slow.id, Trouble.FULL)]


@pytest.mark.parametrize(
    ("count", "size", "full"), [(258, 1, True), (6, 1 << 20, True), (100, 1 << 10, False)]
)
def test_an_outbox_is_full_by_count_or_by_bytes(
    bench: Bench, count: int, size: int, *, full: bool
) -> None:
    subscription = a_subscription(max_in_flight=1)
    bench.reply = lambda _, __: (0.9, Outcome.OK, 200)

    async def story() -> None:
        for offset in range(count):
            delivery = a_delivery(subscription.id, offset, body=b"x" * size)
            bench.outboxes.deliver(delivery, subscription)
        await bench.clock.sleep(1.75)

    bench.run(story)
    assert (Trouble.FULL in {t for _, _, t in bench.troubles}) == full


def test_a_receiver_that_is_down_needs_no_more_than_two_events_until_its_next_probe(
    bench: Bench,
) -> None:
    subscription = a_subscription()
    bench.reply = lambda _, __: REFUSED

    async def story() -> None:
        for offset in range(6):
            bench.outboxes.deliver(a_delivery(subscription.id, offset), subscription)
        assert not bench.outboxes.rests_until(subscription.id)
        await bench.clock.sleep(0.5)  # all were tried
        bench.outboxes.deliver(a_delivery(subscription.id, 6), subscription)
        assert not bench.outboxes.rests_until(subscription.id), "there is one, and it may be poison"
        bench.outboxes.deliver(a_delivery(subscription.id, 7), subscription)
        until = bench.outboxes.rests_until(subscription.id)
        sent = len(bench.sent)
        await bench.clock.sleep(until - bench.clock.monotonic() - 0.01)
        assert len(bench.sent) == sent
        await bench.clock.sleep(0.2)
        assert len(bench.sent) == sent + 1

    bench.run(story)


def test_while_a_probe_is_under_way_no_further_event_is_needed(bench: Bench) -> None:
    subscription = a_subscription()
    bench.reply = lambda _, __: REFUSED if bench.clock.monotonic() < 0.5 else HANGS

    async def story() -> None:
        for offset in range(6):
            bench.outboxes.deliver(a_delivery(subscription.id, offset), subscription)
        await bench.clock.sleep(0.4)
        for offset in (6, 7):
            bench.outboxes.deliver(a_delivery(subscription.id, offset), subscription)
        due = bench.outboxes.rests_until(subscription.id)
        await bench.clock.sleep(due + 0.5 - bench.clock.monotonic())
        assert bench.outboxes.in_flight(PARTITION)
        assert bench.outboxes.rests_until(subscription.id) == due

    bench.run(story)


def test_what_was_under_way_before_the_breaker_opened_is_no_probe(bench: Bench) -> None:
    subscription = a_subscription()
    bench.reply = lambda delivery, _: HANGS if delivery.position.offset < 2 else REFUSED

    async def story() -> None:
        for offset in range(8):
            bench.outboxes.deliver(a_delivery(subscription.id, offset), subscription)
        await bench.clock.sleep(0.5)
        assert len(bench.outboxes.in_flight(PARTITION)) == 2
        assert bench.outboxes.is_probing(subscription.id)
        assert not bench.outboxes.rests_until(subscription.id), "otherwise nobody would probe"

    bench.run(story)


def test_probes_take_one_event_after_the_other_so_that_none_holds_the_breaker_open(
    bench: Bench,
) -> None:
    subscription = a_subscription()
    poison = 30

    def reply(delivery: Delivery, _: int) -> Reply:
        well = bench.clock.monotonic() > 5 and delivery.position.offset != poison
        return OK if well else FAILED

    bench.reply = reply

    async def story() -> None:
        for offset in range(20):
            bench.outboxes.deliver(a_delivery(subscription.id, offset), subscription)
        await bench.clock.sleep(2)
        condition = bench.outboxes.condition(subscription.id)
        assert condition is not None
        assert condition.breaker is BreakerState.OPEN
        assert condition.reason is Trouble.BREAKER_OPEN
        await bench.clock.sleep(4)
        for offset in range(poison, 60):
            bench.outboxes.deliver(a_delivery(subscription.id, offset), subscription)
        await bench.clock.sleep(60)
        condition = bench.outboxes.condition(subscription.id)
        assert condition is not None
        assert condition.breaker is BreakerState.CLOSED
        assert condition.reason is None
        assert condition.queued == condition.in_flight == 0

    bench.run(story)


@pytest.mark.parametrize("status", [200, 400, 429, 503])
def test_retry_after_holds_the_subscription_whatever_the_status(bench: Bench, status: int) -> None:
    subscription, other = a_subscription(id_="a" * 24), a_subscription(id_="b" * 24)
    outcome = Outcome.OK if status == 200 else Outcome.HTTP
    bench.reply = lambda _, __: (0.01, outcome, status)

    async def story() -> None:
        bench.retry_after = 20.0
        bench.outboxes.deliver(a_delivery(subscription.id), subscription)
        await bench.clock.sleep(1)
        bench.retry_after = None
        for each in (subscription, other):
            bench.outboxes.deliver(a_delivery(each.id, 1), each)
        assert list(bench.outboxes.busy()) == [subscription.id]
        await bench.clock.sleep(30)

    bench.run(story)
    began = {(d.subscription_id, d.position.offset): at for at, d in bench.sent}
    assert began[other.id, 1] < 2
    assert 20 <= began[subscription.id, 1] <= 20.3


def test_turns_are_fair_between_projects_and_then_between_their_subscriptions(
    bench: Bench,
) -> None:
    outboxes = bench.make(max_in_flight=4)
    big = [a_subscription(id_=f"{n:024x}", project="a" * 24) for n in range(9)]
    small = a_subscription(id_="f" * 24, project="b" * 24)

    async def story() -> None:
        for subscription in (*big, small):
            for offset in range(40):
                outboxes.deliver(a_delivery(subscription.id, offset), subscription)
        await bench.clock.sleep(0.95)

    bench.run(story)
    by_project: dict[bool, int] = defaultdict(int)
    for _, delivery in bench.sent:
        by_project[delivery.subscription_id == small.id] += 1
    assert abs(by_project[True] - by_project[False]) <= 8
    counts = Counter(d.subscription_id for _, d in bench.sent if d.subscription_id != small.id)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_no_more_at_once_than_its_owner_allows_not_even_while_the_breaker_closes_again(
    bench: Bench,
) -> None:
    subscription = a_subscription(max_in_flight=6)
    chance = iter(range(10**9))

    def reply(_: Delivery, __: int) -> Reply:
        if bench.clock.monotonic() < 30:
            return (REFUSED, REFUSED, HANGS)[next(chance) % 3]
        return OK

    bench.reply = reply
    bench.run(lambda: bench.feed(subscription, rate=500, seconds=60))
    assert bench.most_at_once[subscription.id] <= 6
    assert bench.rate(50, 60) > 100


def test_of_one_key_one_is_sent_at_a_time_and_other_keys_do_not_wait(bench: Bench) -> None:
    subscription = a_subscription(ordered=Ordered.KEY)

    async def story() -> None:
        for offset in range(30):
            delivery = a_delivery(subscription.id, offset)
            bench.outboxes.deliver(replace(delivery, order=f"k{offset % 3}"), subscription)
        for _ in range(200):
            await bench.clock.sleep(0.01)
            for _, delivery, _ in bench.answers:
                bench.outboxes.through(delivery)

    bench.run(story)
    assert bench.most_at_once[subscription.id] == 3
    for key in ("k0", "k1", "k2"):
        offsets = [d.position.offset for _, d in bench.sent if d.order == key]
        assert len(offsets) == 10
        assert offsets == sorted(offsets)


def test_an_ordered_request_begins_only_while_its_partition_stays_ours_until_it_ends(
    bench: Bench,
) -> None:
    ordered = a_subscription(id_="a" * 24, ordered=Ordered.KEY, timeout_seconds=15.0)
    other = a_subscription(id_="b" * 24)
    asked: list[float] = []

    def may_begin(seconds: float) -> bool:
        asked.append(seconds)
        return bench.clock.monotonic() >= 5

    outboxes = bench.make(may_begin=may_begin)

    async def story() -> None:
        for subscription in (ordered, other):
            delivery = replace(a_delivery(subscription.id), order="k")
            if subscription is other:
                delivery = replace(delivery, order=None)
            outboxes.deliver(delivery, subscription)
        await bench.clock.sleep(10)

    bench.run(story)
    began = {delivery.subscription_id: at for at, delivery in bench.sent}
    assert began[other.id] < 0.1
    assert 5 <= began[ordered.id] <= 5.5
    assert set(asked) == {6.0}, "its time limit is cut to what a session allows"


@pytest.mark.parametrize(
    ("wanted", "taken"), [({}, 4), ({"max_in_flight": 2}, 2), ({"rate_limit": 5.0}, 1)]
)
def test_there_is_room_for_what_can_be_sent_about_now(wanted: dict[str, float], taken: int) -> None:
    bench, subscription = Bench(), a_subscription(**wanted)

    async def main() -> None:
        outboxes = Outboxes(
            sender=bench,
            on_attempt=lambda _, __: None,
            clock=VirtualClock(),
            chance=lambda: 0.0,
            max_in_flight=64,
            max_in_flight_per_subscription=64,
        )
        offset = 0
        while outboxes.has_room(subscription.id):
            outboxes.deliver(a_delivery(subscription.id, offset), subscription)
            offset += 1
        assert offset == taken

    run_virtually(main())
