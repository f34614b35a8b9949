"""What a filter would have sent: counted event by event."""

from collections import Counter
from typing import NamedTuple

from services.kernel.clock import rfc3339_ms
from services.kernel.event import Event, Json
from services.kernel.subscription import Profile
from services.match.fences import Fences
from services.match.filters import Filter, evaluator, explain
from services.match.types import asked_name
from services.render import render

SAMPLES = 3
EXPLAINED = 2_000
"""Misses that are looked into: 50 µs each; beyond these the shares hardly change."""
CLAUSES = 10
DAY_MS, LEAST_MS = 86_400_000, 3_600_000
"""What happened within less than an hour says nothing of a day."""


class Wish(NamedTuple):
    """What a subscription asks for."""

    types: tuple[str, ...]
    tree: Filter | None
    """None: all events of these types."""
    readable: bool = True
    """Whether its filter is one; else it matches nothing."""


class Rehearsal:
    """Takes events of one project, and says what *wish* would have got, and *before* did not."""

    def __init__(self, wish: Wish, fences: Fences, *, before: Wish | None = None) -> None:
        self._wish, self._before = wish, before
        self._fences = fences
        self._holds = evaluator(wish.tree, fences) if wish.tree else None
        self._held = evaluator(before.tree, fences) if before and before.tree else None
        self.scanned = 0
        self._per_type: dict[str, list[int]] = {}
        self._matched = 0
        self._bytes = 0
        self._seconds: Counter[int] = Counter()
        self._samples: list[Json] = []
        self._misses: Counter[tuple[str, str]] = Counter()
        self._explained = 0
        self._gained: list[Json] = []
        self._lost: list[Json] = []
        self._gains = self._losses = 0
        self._first: int | None = None
        self._last = 0

    def take(self, event: Event) -> None:
        """Count one event."""
        self.scanned += 1
        moment = event.timestamp_ms
        self._first = moment if self._first is None else min(self._first, moment)
        self._last = max(self._last, moment)
        asked = asked_name(self._wish.types, event.type, Profile.PLANNER_2022)
        matched = asked is not None and (self._holds is None or self._holds(event.body))
        if asked is not None:
            counts = self._per_type.setdefault(event.type, [0, 0])
            counts[0] += 1
            counts[1] += matched
        if matched and asked is not None:
            self._match(event, asked)
        elif asked is not None:
            self._miss(event)
        if self._before is not None:
            self._compare(event, matched=matched, before=self._before)

    def result(self, *, complete: bool) -> Json:
        """Return what there is to say; *complete*: the end of the log was reached."""
        found: Json = {
            "scanned": self.scanned,
            "matched": self._matched,
            "complete": complete,
            "first_at": None if self._first is None else rfc3339_ms(self._first),
            "last_at": None if self._first is None else rfc3339_ms(self._last),
            "types": {
                type_: {"scanned": scanned, "matched": matched}
                for type_, (scanned, matched) in sorted(self._per_type.items())
            },
            "bytes": self._bytes,
            "peak_per_second": max(self._seconds.values(), default=0),
            "per_day": self._per_day(),
            "samples": self._samples,
            "misses": {
                "explained": self._explained,
                "clauses": [
                    {"pointer": pointer, "path": path, "count": count}
                    for (pointer, path), count in self._misses.most_common(CLAUSES)
                ],
            },
        }
        if self._before is not None:
            found["change"] = {
                "gains": {"count": self._gains, "samples": self._gained},
                "losses": {"count": self._losses, "samples": self._lost},
            }
        return found

    def _per_day(self) -> float | None:
        """Return what a day would have; None where too little was read for that to mean anything."""
        span = self._last - (self._first or self._last)
        return round(self._matched * DAY_MS / span, 1) if span >= LEAST_MS else None

    def _match(self, event: Event, asked: str) -> None:
        body, _ = render(event, profile=Profile.PLANNER_2022, asked=asked, expand=(), max_bytes=0)
        self._matched += 1
        self._bytes += len(body)
        self._seconds[event.timestamp_ms // 1000] += 1
        if len(self._samples) < SAMPLES:
            self._samples.append(_sample(event))

    def _miss(self, event: Event) -> None:
        if self._wish.tree is None or self._explained >= EXPLAINED:
            return
        self._explained += 1
        branches = explain(self._wish.tree, event.body, fences=self._fences).branches
        for miss in branches[0].misses if branches else ():
            self._misses[miss.pointer, miss.path] += 1

    def _compare(self, event: Event, *, matched: bool, before: Wish) -> None:
        asked = asked_name(before.types, event.type, Profile.PLANNER_2022)
        had = asked is not None and before.readable
        had = had and (self._held is None or self._held(event.body))
        if matched and not had:
            self._gains += 1
            _keep(self._gained, event)
        elif had and not matched:
            self._losses += 1
            _keep(self._lost, event)


def _keep(samples: list[Json], event: Event) -> None:
    if len(samples) < SAMPLES:
        samples.append(_sample(event))


def _sample(event: Event) -> Json:
    partition, offset = event.position
    where = {"topic": partition.topic, "partition": partition.number, "offset": offset}
    return {"id": event.id, "type": event.type, "created_at": event.created_at, **where}
