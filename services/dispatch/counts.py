"""How many events filters saw and let pass, for people to see: added to Postgres every few seconds.

Counted where the feed matches, so that an event counts once however often lanes and replays read it.
What a crash takes is the last seconds of a statistic. While Postgres is gone counts wait, within a
bound: names of types come from producers.
"""

from collections.abc import Sequence

import structlog

from services.dispatch.misses import Misses
from services.kernel.clock import Clock
from services.kernel.errors import StoreGoneError
from services.kernel.event import Event
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store.counts import MatchCountStore, Seen
from services.match.index import Match

log = structlog.get_logger()

REPORT_SECONDS = 5.0
MAX_PAIRS = 20_000
"""Projects and types between two reports; what goes beyond isn't counted, and said so."""
SAMPLE = 1_000
"""Of so many events of a type one is looked into, and the first between two reports."""


class _Stretch:
    """Events of a project and type between two reports."""

    __slots__ = ("bytes", "events", "matches", "of_second", "peak", "run", "second")

    def __init__(self, event: Event, second: int) -> None:
        self.events = 1
        self.bytes = event.size
        self.peak = 1
        """The most of a second."""
        self.second = second
        self.of_second = 1
        self.matches: Sequence[Match] = ()
        """Who wanted the last event, and how many in a row exactly these have wanted: without filters
        the matcher returns the same object each time, and nobody goes through it per event."""
        self.run = 0

    def add(self, event: Event, second: int) -> None:
        """Count one more."""
        self.events += 1
        self.bytes += event.size
        self.of_second = self.of_second + 1 if self.second == second else 1
        self.second = second
        self.peak = max(self.peak, self.of_second)


class Counts:
    """A look-up per event, and where filters decide one per match."""

    def __init__(self, *, store: MatchCountStore, misses: Misses, clock: Clock) -> None:
        self._store = store
        self._misses = misses
        self._clock = clock
        self._seen: dict[tuple[str, str], _Stretch] = {}
        self._matched: dict[SubscriptionId, int] = {}
        self._left_out = 0

    def note(self, event: Event, matches: Sequence[Match]) -> None:
        """Count an event of the feed, and who wants it."""
        seen, pair = self._seen, (event.project_id, event.type)
        stretch, second = seen.get(pair), event.timestamp_ms // 1000
        if stretch is None:
            if len(seen) >= MAX_PAIRS:
                self._left_out += 1
                return
            stretch = seen[pair] = _Stretch(event, second)
            self._misses.look_into(event)  # what comes seldom is looked into each time
        else:
            stretch.add(event, second)
            if not stretch.events % SAMPLE:
                self._misses.look_into(event)
        if matches is not stretch.matches:
            self._end_run(stretch)
            stretch.matches = matches
        stretch.run += 1

    def _end_run(self, stretch: _Stretch) -> None:
        matched, run = self._matched, stretch.run
        for match in stretch.matches:
            id_ = match.subscription.id
            matched[id_] = matched.get(id_, 0) + run
        stretch.matches, stretch.run = (), 0

    async def run(self) -> None:
        """Report until cancelled, and once more then."""
        try:
            while True:
                await self._clock.sleep(REPORT_SECONDS)
                await self.report()
        finally:
            await self.report()

    async def report(self) -> None:
        """Add what was counted. What can't be written is kept."""
        if self._left_out:
            log.warning("matches_not_counted", events=self._left_out, more_types_than=MAX_PAIRS)
            self._left_out = 0
        if not self._seen:
            return
        seen, self._seen = self._seen, {}
        for stretch in seen.values():
            self._end_run(stretch)
        matched, self._matched = self._matched, {}
        missed = self._misses.take()
        try:
            told = {pair: Seen(each.events, each.bytes, each.peak) for pair, each in seen.items()}
            await self._store.add(told, matched, missed, at=self._clock.now())
        except StoreGoneError:
            for pair, stretch in seen.items():
                more = self._seen.setdefault(pair, stretch)
                if more is not stretch:
                    more.events += stretch.events
                    more.bytes += stretch.bytes
                    more.peak = max(more.peak, stretch.peak)
            for id_, count in matched.items():
                self._matched[id_] = self._matched.get(id_, 0) + count
            self._misses.give_back(missed)
