"""Every metric, declared once with its meaning; base units; labels from closed sets.

Children are looked up once: on the way of a delivery a count is one dictionary access and one `inc`.
"""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram

from services.kernel.attempt import Attempt, Outcome
from services.kernel.delivery import Delivery, Settlement

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)
LONG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600, 86400)


def _children(counter: Counter, values: Iterable[str]) -> dict[str, Counter]:
    return {value: counter.labels(value) for value in values}


RECORDS = Counter("webhooks_records", "Records read from the log.", ["topic"])
QUARANTINED = _children(
    Counter("webhooks_quarantined", "Records that are no events, by reason.", ["reason"]),
    ("null", "json", "oversize", "envelope", "cloudevent"),
)
TOMBSTONES = Counter("webhooks_tombstones", "Null records in planner.master, skipped.")
HEADER_MISMATCHES = Counter("webhooks_header_mismatches", "Headers that differ from the value.")
SCHEMA_VIOLATIONS = Counter(
    "webhooks_schema_violations", "Events, delivered all the same, whose data breaks its schema."
)
UNKNOWN_TYPES = Counter("webhooks_unknown_types", "Events of a type that the catalogue lacks.")
ATTEMPTS = _children(
    Counter("webhooks_attempts", "Requests made, by how they ended.", ["outcome"]), Outcome
)
ATTEMPT_SECONDS = Histogram(
    "webhooks_attempt_seconds", "From the start of a request to its end.", buckets=SECONDS
)
END_TO_END_SECONDS = Histogram(
    "webhooks_end_to_end_seconds",
    "From the record's timestamp to the acknowledgement, first attempts.",
    buckets=LONG_SECONDS,
)
SETTLED = _children(Counter("webhooks_settled", "Deliveries settled, by how.", ["how"]), Settlement)
COMMITS = _children(
    Counter("webhooks_commits", "Offset commits, by result.", ["result"]),
    ("ok", "refused", "failed"),
)
COMMIT_MAP_DROPPED = Counter(
    "webhooks_commit_map_dropped", "Commits whose map of settled offsets did not fit."
)
GAPS = _children(
    Counter("webhooks_gaps", "Ranges of the log that were not delivered.", ["reason"]),
    ("retention", "skipped", "recreated"),
)
REBALANCES = Counter("webhooks_rebalances", "Assignments taken from the group.")
PARTITIONS_OWNED = Gauge("webhooks_partitions_owned", "Partitions loaded and delivered.")
OPEN_OFFSETS = Gauge("webhooks_open_offsets", "Offsets read and not settled.")
LOOP_LAG = Gauge("webhooks_loop_lag_seconds", "How late the event loop was last found.")

_records: dict[str, Counter] = {}


def records_read(topic: str, count: int) -> None:
    """Count records of a topic."""
    child = _records.get(topic)
    if child is None:
        child = _records[topic] = RECORDS.labels(topic)
    child.inc(count)


def attempted(attempt: Attempt) -> None:
    """Count a request."""
    ATTEMPTS[attempt.outcome].inc()
    ATTEMPT_SECONDS.observe(attempt.seconds)


def acknowledged(delivery: Delivery, *, at: float) -> None:
    """Measure the whole way of a delivery that needed one attempt; *at* is Unix seconds."""
    if delivery.number == 1 and delivery.replay is None:
        END_TO_END_SECONDS.observe(max(0.0, at - delivery.timestamp_ms / 1000))
