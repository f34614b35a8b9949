"""How soon a worker goes by what people changed: on a clock that only moves where the code waits."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from typing import Any, cast

from services.dispatch.subscriptions import Subscriptions
from services.kernel.ids import SubscriptionId
from services.kernel.subscription import Status, Subscription
from services.match.index import Matcher
from tests.support.factories import a_subscription
from tests.support.virtual_time import VirtualClock, run_virtually

RELOAD_SECONDS = 60.0
CHANGED_AT = 7.3


class _Source:
    """A store that answers at once, so that what takes time is the code's: `FakeStore` takes its own."""

    def __init__(self, stored: Subscription) -> None:
        self.stored = stored
        self.told: asyncio.Queue[Collection[SubscriptionId]] = asyncio.Queue()

    async def load_all(self) -> AsyncIterator[Sequence[Subscription]]:
        yield [self.stored]

    async def load(self, ids: Collection[SubscriptionId]) -> Sequence[Subscription]:
        return [self.stored] if self.stored.id in ids else []

    async def changes(self) -> AsyncIterator[Collection[SubscriptionId] | None]:
        yield None
        while True:
            yield await self.told.get()


async def _seconds_until_it_holds(*, is_told: bool) -> float:
    """Pause a subscription; return how many seconds later a worker goes by it."""
    clock, holds = VirtualClock(), asyncio.Event()
    source = _Source(a_subscription())
    subscriptions = Subscriptions(
        source=cast("Any", source),
        matcher=Matcher(),
        clock=clock,
        reload_seconds=RELOAD_SECONDS,
        on_change=lambda *_: holds.set(),
    )
    await subscriptions.load()
    works = (subscriptions.follow, subscriptions.reread, subscriptions.rebuild)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work()) for work in works]
        await clock.sleep(CHANGED_AT)
        before = source.stored
        source.stored = replace(before, status=Status.PAUSED, version=before.version + 1)
        if is_told:
            source.told.put_nowait([before.id])
        async with asyncio.timeout(2 * RELOAD_SECONDS):  # of its own clock
            await holds.wait()
        took = clock.monotonic() - CHANGED_AT
        for task in tasks:
            task.cancel()
    known = subscriptions.get(before.id)
    assert known is not None
    assert known.status is Status.PAUSED
    return took


def test_a_change_holds_within_a_second() -> None:
    assert run_virtually(_seconds_until_it_holds(is_told=True)) < 1.0


def test_a_change_that_nobody_told_of_holds_within_a_minute() -> None:
    assert 0 < run_virtually(_seconds_until_it_holds(is_told=False)) <= RELOAD_SECONDS
