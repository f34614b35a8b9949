"""All subscriptions in memory: loaded at start, notified of changes, re-read in full every minute."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from itertools import islice

import structlog

from services.dispatch.wake import Wake
from services.kernel.clock import Clock
from services.kernel.errors import StoreGoneError
from services.kernel.event import Event
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store.sources import SubscriptionSource
from services.kernel.subscription import Status, Subscription
from services.match.index import Match, Matcher

log = structlog.get_logger()

RETRY_SECONDS = 1.0
READ_AT_ONCE = 2_000
"""Subscriptions: an import may change 100,000 within a minute."""
SKEW_SECONDS = 60.0
"""By which clocks of the API and of Postgres may differ."""
REBUILD_SECONDS = 1.0


class Subscriptions:
    """Who wants what, as of at most a second ago; as of when Postgres went away, while it is gone.

    *on_change* is called synchronously with (before, after) where a subscription changed; before is None
    where it is new, but not in the first load, and after is None where it was deleted.
    """

    def __init__(
        self,
        *,
        source: SubscriptionSource,
        matcher: Matcher,
        clock: Clock,
        reload_seconds: float,
        on_change: Callable[[Subscription | None, Subscription | None], None],
    ) -> None:
        self._source = source
        self._matcher = matcher
        self._clock = clock
        self._reload_seconds = reload_seconds
        self._on_change = on_change
        self._by_id: dict[SubscriptionId, Subscription] = {}
        self._loaded = False
        self._read_at = clock.monotonic()
        """When everything was last read."""
        self._to_prepare: dict[tuple[str, str], None] = {}
        self._to_disable: deque[tuple[Subscription, str]] = deque()
        self._wake = Wake()
        self._reading = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, id_: SubscriptionId) -> Subscription | None:
        """Return a subscription as it is now; None: deleted."""
        return self._by_id.get(id_)

    def all(self) -> Sequence[Subscription]:
        """Return all of them as they are now, in no order, paused and disabled ones too."""
        return list(self._by_id.values())

    def match(self, event: Event) -> Sequence[Match]:
        """Return who wants *event*, paused and disabled ones too."""
        return self._matcher.match(event)

    def wants(self, id_: SubscriptionId, event: Event) -> Match | None:
        """Return whether one subscription wants *event*, and in which name."""
        return self._matcher.wants(id_, event)

    def is_ready(self, event: Event) -> bool:
        """Tell whether `match` answers at once; else have it prepared first."""
        if self._matcher.is_ready(event):
            return True
        self._to_prepare[event.project_id, event.type] = None
        return False

    async def prepare(self) -> None:
        """Let others go on; build what `match` was not ready for, in steps of a few milliseconds."""
        await asyncio.sleep(0)
        for project_id, type_ in list(self._to_prepare):
            for _ in self._matcher.prepare(project_id, type_):
                await asyncio.sleep(0)
            self._to_prepare.pop((project_id, type_), None)

    def disable(self, subscription: Subscription, *, reason: str) -> None:
        """Switch *subscription* off: here at once, in Postgres as soon as it takes it."""
        if subscription.status is not Status.ACTIVE:
            return
        log.warning("subscription_disabled", subscription_id=subscription.id, reason=reason)
        self._take([replace(subscription, status=Status.DISABLED)], removed=())
        self._to_disable.append((subscription, reason))
        self._wake.set()

    async def load(self) -> None:
        """Read all of them. Raises StoreGoneError."""
        async with self._reading:
            began = self._clock.monotonic()
            read: set[SubscriptionId] = set()
            news: list[Subscription] = []
            async for page in self._source.load_all():  # never held twice: there may be 100,000
                read.update(subscription.id for subscription in page)
                news += [each for each in page if self._news(each) is not None]
            await self._learn(news)
            self._read_at = began
            if self._loaded:
                changed = [now for each in news if (now := self._news(each)) is not None]
                self._take(changed, removed=[id_ for id_ in self._by_id if id_ not in read])
            else:
                self._by_id = {subscription.id: subscription for subscription in news}
                self._matcher.replace_all(news)
                self._loaded = True

    async def catch_up(self) -> None:
        """Read what may have changed since everything was read, if word of it was lost on the way.

        Whoever takes a partition may be the only one to tell new subscriptions of its events from now
        on: it must know all that the owner before knew. Raises StoreGoneError.
        """
        seconds = self._clock.monotonic() - self._read_at + SKEW_SECONDS
        if ids := await self._source.changed_within(seconds):
            await self._read(ids)

    async def follow(self) -> None:
        """Take changes as they are notified, until cancelled."""
        async for ids in self._source.changes():
            try:
                await (self.load() if ids is None else self._read(ids))
            except StoreGoneError as error:  # the next connection begins with a full load
                log.warning("subscriptions_wait", error=str(error))

    async def reread(self) -> None:
        """Read all of them every minute, in case a notification was lost, until cancelled."""
        while True:
            await self._clock.sleep(self._reload_seconds)
            try:
                await self.load()
            except StoreGoneError as error:
                log.warning("subscriptions_wait", error=str(error))

    async def rebuild(self) -> None:
        """Keep matching fast while subscriptions change, until cancelled: between events."""
        while True:
            await self._clock.sleep(REBUILD_SECONDS)
            for _ in self._matcher.rebuild():
                await asyncio.sleep(0)

    async def write_disabled(self) -> None:
        """Write to Postgres what was switched off, until cancelled."""
        while True:
            await self._wake.wait()
            while self._to_disable:
                subscription, reason = self._to_disable[0]
                try:
                    await self._source.disable(subscription.id, reason=reason, at=self._clock.now())
                except StoreGoneError:
                    await self._clock.sleep(RETRY_SECONDS)
                    continue
                self._to_disable.popleft()

    async def _learn(self, read: Sequence[Subscription]) -> None:
        """Have their filters understood before they are used: a thousand take 40 ms."""
        for _ in self._matcher.learn(read):
            await asyncio.sleep(0)

    async def _read(self, ids: Collection[SubscriptionId]) -> None:
        asked = iter(ids)
        async with self._reading:
            while some := list(islice(asked, READ_AT_ONCE)):
                found = await self._source.load(some)
                await self._learn(found)
                self._take(found, removed=set(some) - {subscription.id for subscription in found})

    def _news(self, read: Subscription) -> Subscription | None:
        """Return what a full read says that wasn't known; None where that is nothing."""
        before = self._by_id.get(read.id)
        if before is None or before.version != read.version:
            return read
        if before.keys != read.keys:  # a rotation is no new version
            # While a disabling is on its way to Postgres a full read still finds it active there.
            return replace(before, keys=read.keys)
        return None

    def _take(self, changed: Sequence[Subscription], *, removed: Iterable[SubscriptionId]) -> None:
        pairs = [(self._by_id.get(after.id), after) for after in changed]
        gone = [(before, None) for id_ in removed if (before := self._by_id.pop(id_, None))]
        self._by_id.update((after.id, after) for after in changed)
        self._matcher.apply(changed, [before for before, _ in gone])
        for before, after in (*pairs, *gone):
            self._on_change(before, after)
