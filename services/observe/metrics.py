"""Every metric, declared once with its meaning; base units; labels from closed sets.

What is counted per delivery is a `Tally` or `Spread`: plain numbers that are read when somebody asks
for them. The library's own take a lock each time, and all of ours belong to one event loop: 0.3 µs
for an attempt instead of 1.9 (Python 3.11).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.samples import Exemplar

from services.kernel.attempt import Attempt, Outcome
from services.kernel.delivery import Delivery, Settlement
from services.kernel.lane import Reason

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)
LONG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600, 86400)


def _children(counter: Counter, values: Iterable[str]) -> dict[str, Counter]:
    return {value: counter.labels(value) for value in values}


class Tally:
    """A counter with one label of a closed set; count with `tally.counts[value] += 1`."""

    def __init__(self, name: str, meaning: str, label: str, values: Iterable[str]) -> None:
        self.counts: dict[str, int] = {str(value): 0 for value in values}
        self._name, self._meaning, self._label = name, meaning, label
        REGISTRY.register(self)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Return the counts, for the library."""
        family = CounterMetricFamily(self._name, self._meaning, labels=[self._label])
        for value, count in self.counts.items():
            family.add_metric([value], count)
        yield family


class Spread:
    """A histogram of seconds without labels; an example of a bucket is a trace that fell into it."""

    def __init__(self, name: str, meaning: str, bounds: Sequence[float]) -> None:
        self._name, self._meaning, self._bounds = name, meaning, bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._examples: dict[int, Exemplar] = {}
        REGISTRY.register(self)

    def observe(self, seconds: float) -> None:
        """Take in one duration."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def exemplify(self, seconds: float, *, trace: str, at: float) -> None:
        """Note the latest *trace* of a bucket; *at* is Unix seconds. The duration is observed already."""
        bucket = bisect_left(self._bounds, seconds)
        self._examples[bucket] = Exemplar({"trace_id": trace}, seconds, at)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Return the buckets, each with what lies below it, for the library."""
        buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        total = 0
        bounds = (*map(float, self._bounds), "+Inf")
        for n, (bound, count) in enumerate(zip(bounds, self._counts, strict=True)):
            total += count
            example = self._examples.get(n)
            buckets.append((str(bound), total, example) if example else (str(bound), total))
        family = HistogramMetricFamily(self._name, self._meaning, unit="seconds")
        family.add_metric([], buckets, self._sum)
        yield family


RECORDS = Counter("webhooks_records", "Records read from the log.", ["topic"])
QUARANTINED = _children(
    Counter("webhooks_quarantined", "Records that are not events, by reason.", ["reason"]),
    ("null", "json", "oversize", "envelope", "cloudevent"),
)
TOMBSTONES = Counter("webhooks_tombstones", "Null records in planner.master, skipped.")
HEADER_MISMATCHES = Counter("webhooks_header_mismatches", "Headers that differ from the value.")
FILTER_ERRORS = Counter(
    "webhooks_filter_errors",
    "Evaluations of a filter that failed: the event wasn't due to that subscription.",
)
SCHEMA_VIOLATIONS = Counter(
    "webhooks_schema_violations", "Events, delivered all the same, whose data breaks its schema."
)
UNKNOWN_TYPES = Counter("webhooks_unknown_types", "Events of a type that the catalogue lacks.")
ATTEMPTS = Tally("webhooks_attempts", "Requests made, by how they ended.", "outcome", Outcome)
ATTEMPT_SECONDS = Spread(
    "webhooks_attempt_seconds", "From the start of a request to its end.", SECONDS
)
END_TO_END_SECONDS = Spread(
    "webhooks_end_to_end_seconds",
    "From the record's timestamp to the acknowledgement, first attempts.",
    LONG_SECONDS,
)
ATTEMPTS_LOGGED = Counter("webhooks_attempts_logged", "Attempts written to the log of attempts.")
ATTEMPTS_LOST = Counter(
    "webhooks_attempts_lost",
    "Attempts that history lacks: Kafka was away for longer than memory lasts.",
)
ATTEMPTS_RECORDED = Counter("webhooks_attempts_recorded", "Attempts stored in Postgres.")
RECORDER_SKIPPED = _children(
    Counter(
        "webhooks_recorder_skipped",
        "What the log of attempts held and was not stored: records of nobody's, attempts of a time"
        " that isn't kept.",
        ["reason"],
    ),
    ("unreadable", "time"),
)
RECORDER_GAPS = _children(
    Counter("webhooks_recorder_gaps", "Ranges of the log of attempts that are gone.", ["reason"]),
    ("retention", "recreated"),
)
SETTLED = Tally("webhooks_settled", "Deliveries settled, by how.", "how", Settlement)
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
GEOFENCES = _children(
    Counter("webhooks_geofences", "Events about geofences, by what became of them.", ["result"]),
    ("taken", "known", "refused"),
)
POSITIONS_JUDGED = Tally(
    "webhooks_positions_judged",
    "Positions that the geofence role read, by what became of them.",
    "verdict",
    ("judged", "first", "late", "future", "inaccurate", "unreadable"),
)
GEOFENCE_TRANSITIONS = Tally(
    "webhooks_geofence_transitions",
    "Vehicles that entered or left a geofence; a repeat after a crash counts again.",
    "kind",
    ("entered", "exited"),
)
DEAD_LETTERS_EVICTED = Counter(
    "webhooks_dead_letters_evicted", "Dead letters dropped since their project had too many bytes."
)
REBALANCES = Counter("webhooks_rebalances", "Assignments taken from the group.")
PARTITIONS_OWNED = Gauge("webhooks_partitions_owned", "Partitions loaded and delivered.")
LANES = Gauge("webhooks_lanes", "Subscriptions of a partition that aren't fed live.")
LANES_DETACHED = Tally(
    "webhooks_lanes_detached", "Detachings from the feed of a partition, by why.", "reason", Reason
)
_NEAR_EDGE = Gauge(
    "webhooks_lanes_near_edge",
    "Lanes whose cursor has used up so many percent of the log's retention.",
    ["percent"],
)
LANES_NEAR_EDGE = {share: _NEAR_EDGE.labels(str(share)) for share in (50, 80)}
RECORDS_SCANNED = Counter("webhooks_records_scanned", "Records read again, for lanes.")
OPEN_OFFSETS = Gauge("webhooks_open_offsets", "Offsets read and not settled.")
OLDEST_OPEN_SECONDS = Gauge(
    "webhooks_oldest_open_seconds",
    "Age of the oldest record that is not settled, by topic; 0 where none is open.",
    ["topic"],
    unit="seconds",
)
COMMIT_AGE_SECONDS = Gauge(
    "webhooks_commit_age_seconds",
    "How long what could be committed has waited for it.",
    unit="seconds",
)
LOOP_LAG = Gauge(
    "webhooks_loop_lag_seconds", "How late the event loop was last found.", unit="seconds"
)
ANSWERS = Tally(
    "webhooks_answers",
    "What the API and its pages answered, by class of status.",
    "status",
    ("2xx", "3xx", "4xx", "5xx"),
)
ANSWER_SECONDS = Spread(
    "webhooks_answer_seconds",
    "From a request to the API to its answer; without streams, which last as long as somebody reads.",
    SECONDS,
)

_records: dict[str, Counter] = {}


def records_read(topic: str, count: int) -> None:
    """Count records of a topic."""
    child = _records.get(topic)
    if child is None:
        child = _records[topic] = RECORDS.labels(topic)
    child.inc(count)


def attempted(attempt: Attempt) -> None:
    """Count a request."""
    ATTEMPTS.counts[attempt.outcome] += 1
    ATTEMPT_SECONDS.observe(attempt.seconds)


def acknowledged(delivery: Delivery, *, at: float) -> None:
    """Measure the whole way of a delivery that needed one attempt; *at* is Unix seconds."""
    if delivery.number == 1 and delivery.replay is None:
        END_TO_END_SECONDS.observe(max(0.0, at - delivery.timestamp_ms / 1000))


def exemplify(delivery: Delivery, attempt: Attempt, *, trace: str) -> None:
    """Note *trace* as an example of how long an attempt takes, and of the whole way."""
    at = attempt.started_at + attempt.seconds
    ATTEMPT_SECONDS.exemplify(attempt.seconds, trace=trace, at=at)
    if attempt.outcome is Outcome.OK and delivery.number == 1 and delivery.replay is None:
        whole = max(0.0, at - delivery.timestamp_ms / 1000)
        END_TO_END_SECONDS.exemplify(whole, trace=trace, at=at)
