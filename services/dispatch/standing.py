"""How far behind this worker is, as metrics: the promises that alerts are on."""

from collections import defaultdict
from collections.abc import Sequence

from services.dispatch.owned import Owned
from services.kernel.clock import Clock
from services.kernel.event import Partition
from services.observe import metrics


class Standing:
    """Measured every two seconds, over all partitions that are loaded."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._due_since: dict[Partition, float] = {}
        self._topics: set[str] = set()

    def measure(self, loaded: Sequence[Owned]) -> None:
        """Set the gauges. A topic whose last partition has moved away stands at 0."""
        oldest: dict[str, float] = defaultdict(float)
        now = self._clock.time()
        for owned in loaded:
            age = _age(owned, now)
            oldest[owned.partition.topic] = max(oldest[owned.partition.topic], age)
        self._topics |= set(oldest)
        for topic in self._topics:
            metrics.OLDEST_OPEN_SECONDS.labels(topic).set(oldest[topic])
        metrics.COMMIT_AGE_SECONDS.set(self._commit_age(loaded))

    def _commit_age(self, loaded: Sequence[Owned]) -> float:
        now = self._clock.monotonic()
        due = [owned.partition for owned in loaded if owned.committed != owned.tracker.lowest]
        self._due_since = {partition: self._due_since.get(partition, now) for partition in due}
        return max((now - since for since in self._due_since.values()), default=0.0)


def _age(owned: Owned, now: float) -> float:
    if not owned.tracker.open_count:
        return 0.0
    oldest = owned.ages.oldest_ms(owned.tracker.lowest)
    return 0.0 if oldest is None else max(0.0, now - oldest / 1000)
