"""Who is failing: what counts, what is told, and when we give up."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from services.dispatch.trouble import FAILING, Troubles, in_words
from services.kernel.attempt import Attempt, Outcome
from services.kernel.delivery import Delivery
from services.kernel.subscription import Subscription
from tests.support.factories import a_subscription
from tests.support.fake_store import FakeDatabase
from tests.support.fake_trouble import FakeTrouble
from tests.support.rows import a_delivery
from tests.support.server import State
from tests.support.virtual_time import VirtualClock, run_virtually

DAY = 86_400.0


class Worker:
    """What a worker notes of one subscription."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.database = FakeDatabase(clock=self.clock)
        self.subscription = a_subscription("*", version=1)
        self.database.subscribe(self.subscription)
        self.disabled: list[tuple[Subscription, str]] = []
        self.open_seconds = 0.0
        self.troubles = Troubles(
            store=FakeTrouble(self.database),
            known={self.subscription.id: self.subscription}.get,
            disable=lambda subscription, reason: self.disabled.append((subscription, reason)),
            open_for=lambda _: self.open_seconds,
            give_up_after=timedelta(days=5),
            clock=self.clock,
        )

    def delivery(self, type_: str) -> Delivery:
        return a_delivery(self.subscription.id, type=type_)

    def fails(self, type_: str = "plan.created", *, last: bool = False) -> None:
        attempt = self.attempt(Outcome.TIMEOUT)
        self.troubles.note(self.delivery(type_), attempt)
        if last:
            self.troubles.exhausted(self.delivery(type_), attempt)

    def succeeds(self) -> None:
        self.troubles.note(self.delivery("plan.created"), self.attempt(Outcome.OK))

    def attempt(self, outcome: Outcome) -> Attempt:
        return Attempt(outcome=outcome, started_at=self.clock.time(), seconds=0.0)

    async def told(self) -> list[str]:
        """Report, and return what was told so far."""
        await self.troubles.report()
        return [kept.operation.type for kept in self.database.tables.operations]


def on_virtual_time(test: Callable[[Worker], Awaitable[None]]) -> Callable[[], None]:
    async def main() -> None:
        await test(Worker())

    def run() -> None:
        run_virtually(main())

    run.__name__ = test.__name__
    return run


@on_virtual_time
async def test_what_is_given_up_makes_it_failing_and_a_later_success_recovered(
    worker: Worker,
) -> None:
    worker.fails(last=True)
    assert await worker.told() == ["webhook.failing"]
    await worker.clock.sleep(1)
    worker.fails(last=True)
    assert await worker.told() == ["webhook.failing"]
    await worker.clock.sleep(1)
    worker.succeeds()
    assert await worker.told() == ["webhook.failing", "webhook.recovered"]
    failing, _ = worker.database.tables.operations
    assert failing.operation.data["reason"] == "timeout"


@on_virtual_time
async def test_a_failure_that_a_retry_mends_is_told_to_nobody(worker: Worker) -> None:
    worker.fails()
    assert await worker.told() == []
    await worker.clock.sleep(1)
    worker.succeeds()
    assert await worker.told() == []


@on_virtual_time
async def test_a_breaker_that_is_open_for_five_minutes_makes_it_failing(worker: Worker) -> None:
    worker.open_seconds = 301.0
    worker.fails("webhook.gap")  # what is told in vain is not told of
    worker.troubles.look()
    assert await worker.told() == []
    worker.fails()
    worker.open_seconds = 299.0
    worker.troubles.look()
    assert await worker.told() == []
    worker.open_seconds = 301.0
    worker.troubles.look()
    assert await worker.told() == ["webhook.failing"]
    assert worker.database.tables.operations[0].operation.data["reason"] == "breaker_open"


@on_virtual_time
async def test_of_deliveries_about_webhooks_nothing_is_told(worker: Worker) -> None:
    worker.fails("webhook.failing", last=True)
    assert await worker.told() == []
    assert worker.database.tables.trouble == {}


@on_virtual_time
async def test_five_days_of_failures_switch_it_off(worker: Worker) -> None:
    for _ in range(5):
        worker.fails()
        await worker.troubles.report()
        await worker.troubles.give_up(timedelta(days=5))
        assert worker.disabled == []
        await worker.clock.sleep(DAY)
    worker.fails()
    await worker.troubles.report()
    await worker.troubles.give_up(timedelta(days=5))
    assert worker.disabled == [(worker.subscription, FAILING)]


@on_virtual_time
async def test_positions_that_nobody_takes_switch_nothing_off(worker: Worker) -> None:
    for _ in range(8):
        worker.fails("vehicle.position", last=True)
        await worker.troubles.report()
        await worker.clock.sleep(DAY)
    await worker.troubles.give_up(timedelta(days=5))
    assert worker.disabled == []
    assert await worker.told() == ["webhook.failing"]


@on_virtual_time
async def test_what_postgres_did_not_take_is_told_when_it_is_back(worker: Worker) -> None:
    worker.fails(last=True)
    worker.database.go(State.REFUSING)
    assert await worker.told() == []
    worker.database.go(State.UP)
    assert await worker.told() == ["webhook.failing"]


def test_a_failure_has_a_word_of_the_catalogue() -> None:
    http = Attempt(outcome=Outcome.HTTP, status=503, started_at=0, seconds=0)
    refused = Attempt(outcome=Outcome.CONNECT, started_at=0, seconds=0)
    assert [in_words(http), in_words(refused)] == ["http_503", "connect"]
