"""What a chaos run came to, as a table, as JSON and as sentences."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from services.dev.ledger import Cause, Ends, Repeat

SHOWN = 10
"""Of a kind of fault, in sentences."""


@dataclass
class Report:
    """What a run came to."""

    events: int
    due: int
    delivered: int
    ends: Ends
    lost: list[tuple[int, int]]
    repeats: Counter[Cause]
    unexplained: list[Repeat]
    violations: list[tuple[int, int, str]]
    latencies: Mapping[str, Mapping[str, tuple[float, float]]]
    """p50 and p99 in seconds: by personality, then by phase."""
    taken_over: Mapping[str, float]
    """Seconds that some partition was served by nobody, at most: by fault."""
    highest_bytes: int
    faults: Counter[str]
    broken: list[str] = field(default_factory=list)
    """What else is not as it should be."""

    @property
    def holds(self) -> bool:
        """Whether all was as promised."""
        return not (
            self.lost or self.unexplained or self.violations or self.ends.waiting or self.broken
        )

    def as_json(self) -> dict[str, object]:
        """Return all of it as one object; times in milliseconds, of workers in seconds."""
        return {
            "events": self.events,
            "due": self.due,
            "delivered": self.delivered,
            "dead_letters": len(self.ends.dead),
            "gaps": len(self.ends.gaps),
            "held_by_disabled": len(self.ends.held),
            "still_waiting": len(self.ends.waiting),
            "lost": len(self.lost),
            "repeats": {cause.name.lower(): self.repeats[cause] for cause in Cause},
            "order_violations": len(self.violations),
            "latency_ms": {
                name: {
                    phase: {"p50": round(p50 * 1000, 1), "p99": round(p99 * 1000, 1)}
                    for phase, (p50, p99) in phases.items()
                }
                for name, phases in self.latencies.items()
            },
            "taken_over_seconds": {what: round(s, 2) for what, s in self.taken_over.items()},
            "highest_memory_mb": round(self.highest_bytes / 1e6, 1),
            "faults": dict(self.faults),
            "holds": self.holds,
        }

    def as_rows(self) -> Iterator[Mapping[str, object]]:
        """Yield what and figure, as people read it."""
        figures = {
            "events": f"{self.events:,}",
            "due deliveries": f"{self.due:,}",
            "delivered": f"{self.delivered:,}",
            "dead letters": f"{len(self.ends.dead):,}",
            "in gaps": f"{len(self.ends.gaps):,}",
            "held, since disabled": f"{len(self.ends.held):,}",
            "still under way": f"{len(self.ends.waiting):,}",
            "lost": f"{len(self.lost):,}",
            **{f"repeats, {cause.value}": f"{self.repeats[cause]:,}" for cause in Cause},
            "order violations": f"{len(self.violations):,}",
        }
        for name, phases in self.latencies.items():
            figures[f"p50/p99 ms, {name}"] = "; ".join(
                f"{phase} {p50 * 1000:,.0f}/{p99 * 1000:,.0f}"
                for phase, (p50, p99) in phases.items()
            )
        for what, seconds in self.taken_over.items():
            figures[f"partition without a worker, {what}"] = f"{seconds:.1f} s at most"
        figures["highest memory of a worker"] = f"{self.highest_bytes / 1e6:,.0f} MB"
        figures["faults"] = ", ".join(f"{what} x{count}" for what, count in self.faults.items())
        for what, figure in figures.items():
            yield {"what": what, "figure": figure}

    def complaints(self) -> Iterator[str]:
        """Yield a sentence for each thing that is not as promised, the first few of a kind."""
        yield from self.broken
        for slot, number in self.lost[:SHOWN]:
            yield f"lost: event {number} of receiver {slot}"
        for slot, number in sorted(self.ends.waiting)[:SHOWN]:
            yield f"still under way: event {number} of receiver {slot}"
        for slot, number, why in self.violations[:SHOWN]:
            yield f"out of order: event {number} of receiver {slot} {why}"
        for each in self.unexplained[:SHOWN]:
            yield f"repeated for no reason that is known: {each}"
