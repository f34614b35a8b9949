"""How many events filters saw and let pass, for people to see: added to Postgres every few seconds.

Counted where the feed matches, so that an event counts once however often lanes and replays read it.
What a crash takes is the last seconds of a statistic. While Postgres is gone counts wait, within a
bound: names of types come from producers.
"""

from collections.abc import Sequence

import structlog

from services.kernel.clock import Clock
from services.kernel.errors import StoreGoneError
from services.kernel.event import Event
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store import MatchCountStore
from services.match.index import Match

log = structlog.get_logger()

REPORT_SECONDS = 5.0
MAX_PAIRS = 20_000
"""Projects and types between two reports; what goes beyond isn't counted, and said so."""


class Counts:
    """A look-up per event, and one per match."""

    def __init__(self, *, store: MatchCountStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._seen: dict[tuple[str, str], int] = {}
        self._matched: dict[SubscriptionId, int] = {}
        self._left_out = 0

    def note(self, event: Event, matches: Sequence[Match]) -> None:
        """Count an event of the feed, and who wants it."""
        seen, pair = self._seen, (event.project_id, event.type)
        count = seen.get(pair, 0)
        if not count and len(seen) >= MAX_PAIRS:
            self._left_out += 1
            return
        seen[pair] = count + 1
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
        try:
            await self._store.add(seen, matched, at=self._clock.now())
        except StoreGoneError:
            for pair, count in seen.items():
                self._seen[pair] = self._seen.get(pair, 0) + count
            for id_, count in matched.items():
                self._matched[id_] = self._matched.get(id_, 0) + count
