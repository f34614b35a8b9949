"""What became of deliveries within a minute, an hour, a day: sums that can be added up further."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import product
from typing import NamedTuple

from services.kernel.delivery import Trigger
from services.kernel.histogram import count, merge
from services.kernel.recorded import Recorded

ALL = "*"
"""In place of a subscription or a type: all of the project. Who asks for a month of a project reads
thirty slots, not those of each of its subscriptions and types."""
UNCOUNTED = frozenset((Trigger.TEST, Trigger.PROBE))
AGAIN = frozenset((Trigger.REPLAY, Trigger.RESEND))
"""What somebody asked for long after: how long it took from the event on says nothing."""


class Step(StrEnum):
    """How long a point of the statistics is; in UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def seconds(self) -> int:
        """Return its length."""
        return {Step.MINUTE: 60, Step.HOUR: 3_600, Step.DAY: 86_400}[self]


class Slot(NamedTuple):
    """Whose deliveries, of which type, when; either may be ALL."""

    project_id: str
    subscription_id: str
    type: str
    step: Step
    at: datetime


@dataclass(slots=True)
class Sums:
    """What is counted of a slot."""

    delivered: int = 0
    """Deliveries that were acknowledged."""
    failed: int = 0
    """Attempts that were not."""
    retried: int = 0
    """Attempts after an earlier one had failed."""
    dead: int = 0
    """Deliveries that were given up."""
    bytes: int = 0
    """Of the bodies of all requests."""
    receiver: dict[int, int] = field(default_factory=dict)
    """Of milliseconds from the request's last byte to the head of the answer."""
    end_to_end: dict[int, int] = field(default_factory=dict)
    """Of milliseconds from produced to acknowledged."""

    def add(self, other: "Sums") -> None:
        """Take in what was counted elsewhere."""
        self.delivered += other.delivered
        self.failed += other.failed
        self.retried += other.retried
        self.dead += other.dead
        self.bytes += other.bytes
        merge(self.receiver, other.receiver)
        merge(self.end_to_end, other.end_to_end)

    def take(self, attempt: Recorded) -> None:
        """Count one attempt."""
        self.bytes += attempt.size
        trigger, first_byte = attempt.trigger, attempt.first_byte
        if trigger == "retry":
            self.retried += 1
        if first_byte is not None:
            count(self.receiver, first_byte * 1000)
        if attempt.verdict == "acknowledged":
            self.delivered += 1
            if trigger not in AGAIN:
                ended = attempt.started_at + attempt.seconds
                count(self.end_to_end, ended * 1000 - attempt.produced_ms)
            return
        self.failed += 1
        if attempt.verdict in ("dead", "disable"):
            self.dead += 1


def rolled_up(attempts: Iterable[Recorded]) -> Mapping[Slot, Sums]:
    """Return what *attempts* add to each slot; test calls and probes count nowhere."""
    minutes: dict[tuple[str, str, str, int], Sums] = {}
    for attempt in attempts:
        if attempt.trigger in UNCOUNTED:
            continue
        minute = int(attempt.started_at // 60)
        key = (attempt.project_id, attempt.subscription_id, attempt.type, minute)
        sums = minutes.get(key)
        if sums is None:
            sums = minutes[key] = Sums()
        sums.take(attempt)
    steps = {minute: list(_steps(minute * 60)) for minute in {key[3] for key in minutes}}
    found: dict[Slot, Sums] = {}
    for (project, subscription, type_, minute), sums in minutes.items():
        for one, of in product((subscription, ALL), (type_, ALL)):
            for step, at in steps[minute]:
                found.setdefault(Slot(project, one, of, step, at), Sums()).add(sums)
    return found


def _steps(seconds: int) -> Iterator[tuple[Step, datetime]]:
    for step in Step:
        yield step, datetime.fromtimestamp(seconds - seconds % step.seconds, UTC)
