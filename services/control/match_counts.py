"""How many events a subscription was tried on, how many it wants, and which clauses said no."""

from datetime import datetime, timedelta

from services.kernel.clock import Clock
from services.kernel.event import Json
from services.kernel.ports.store.counts import FILTER, MatchCountStore
from services.kernel.registration import Registration
from services.match.filters import clauses, stored
from services.match.types import asked_name

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SLOT = timedelta(minutes=5)
"""A slot is known by its begin: the one that a window begins in counts."""
CLAUSES = 10
"""Told of, those first that say no most often."""


class MatchCounts:
    """Counts of the workers, in slots of five minutes: a window begins up to one earlier.

    Misses are a sample of the last day's, in slots of an hour.
    """

    def __init__(self, *, store: MatchCountStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def of(self, registration: Registration) -> Json:
        """Return the events of its types that were seen, and those that it wanted."""
        now = self._clock.now()
        since = max(now - DAY, registration.created_at) - SLOT
        lately = max(now - HOUR - SLOT, since)
        by_type = await self._store.seen(registration.project_id, since=since, lately=lately)
        seen = [
            tally
            for type_, tally in by_type.items()
            if asked_name(registration.types, type_, registration.profile) is not None
        ]
        matched = await self._store.matched(registration.id, since=since, lately=lately)
        return {
            "last_hour": {"seen": sum(t.lately for t in seen), "matched": matched.lately},
            "last_day": {"seen": sum(t.all for t in seen), "matched": matched.all},
            "misses": await self._misses(registration, now - DAY),
        }

    async def _misses(self, registration: Registration, since: datetime) -> Json:
        """Return which clauses of the filter, as it is now, said no."""
        tree = None if registration.filter is None else stored(registration.filter)
        if tree is None:
            return {"explained": 0, "clauses": []}
        missed = await self._store.missed(registration.id, since=since)
        paths = clauses(tree)
        often = sorted(missed.items(), key=lambda pair: (-pair[1], pair[0]))
        return {
            "explained": missed.get(FILTER, 0),
            "clauses": [
                {"pointer": pointer, "path": paths[pointer], "count": count}
                for pointer, count in often
                if pointer in paths
            ][:CLAUSES],
        }
