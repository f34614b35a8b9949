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


class Counts:
    """A look-up per event, and one per match."""

    def __init__(self, *, store: MatchCountStore, misses: Misses, clock: Clock) -> None:
        self._store = store
        self._misses = misses
        self._clock = clock
        self._seen: dict[tuple[str, str], list[int]] = {}
        """Events, bytes, the most of a second; that second, and its events so far."""
        self._matched: dict[SubscriptionId, int] = {}
        self._left_out = 0

    def note(self, event: Event, matches: Sequence[Match]) -> None:
        """Count an event of the feed, and who wants it."""
        seen, pair = self._seen, (event.project_id, event.type)
        tally, second = seen.get(pair), event.timestamp_ms // 1000
        if tally is None:
            if len(seen) >= MAX_PAIRS:
                self._left_out += 1
                return
            seen[pair] = [1, event.size, 1, second, 1]
            self._misses.look_into(event)  # what comes seldom is looked into each time
        else:
            tally[0] += 1
            if not tally[0] % SAMPLE:
                self._misses.look_into(event)
            tally[1] += event.size
            tally[4] = tally[4] + 1 if tally[3] == second else 1
            tally[3] = second
            tally[2] = max(tally[2], tally[4])
        matched = self._matched
        for match in matches:
            id_ = match.subscription.id
            matched[id_] = matched.get(id_, 0) + 1

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
        matched, self._matched = self._matched, {}
        missed = self._misses.take()
        try:
            told = {pair: Seen(*tally[:3]) for pair, tally in seen.items()}
            await self._store.add(told, matched, missed, at=self._clock.now())
        except StoreGoneError:
            for pair, (events, size, peak, *last) in seen.items():
                more = self._seen.get(pair, [0, 0, 0, *last])
                self._seen[pair] = [more[0] + events, more[1] + size, max(more[2], peak), *more[3:]]
            for id_, count in matched.items():
                self._matched[id_] = self._matched.get(id_, 0) + count
            self._misses.give_back(missed)
