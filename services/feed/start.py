"""Where a new owner of a partition begins. Pure; `tests/unit/feed/test_start.py` has the table."""

from enum import StrEnum
from typing import NamedTuple

from services.feed.settled_map import NOTHING_SETTLED, SettledMap, decode
from services.kernel.errors import StoreWentBackError
from services.kernel.event import Partition
from services.kernel.ports.broker import Bounds, Commit
from services.kernel.ports.store.partitions import Assignment, Floor


class Why(StrEnum):
    """What was found."""

    NEW = "new"  #: neither Kafka nor Postgres knows the partition: from its beginning
    RESUMED = "resumed"  #: at the group's offset, as the owner before left it
    EXPIRED = "expired"  #: the group's offset is gone from Kafka; Postgres kept a copy
    RESET_BACK = "reset_back"  #: a person moved the group back: what lies below is a replay
    RESET_FORWARD = "reset_forward"  #: a person moved the group forward: what was passed is a gap


class Gap(NamedTuple):
    """Offsets that will not be delivered."""

    from_offset: int
    to_offset: int
    reason: str
    """`retention`, `skipped`, `recreated`."""


class Start(NamedTuple):
    """Where to begin, and what to say about it."""

    offset: int
    why: Why
    settled: SettledMap
    trust_rows: bool
    """Whether retry rows and dead letters at or above the offset are settled deliveries."""
    trust_dead: bool
    """The same for dead letters: a person who moves back asks for those again."""
    replay_below: int | None
    """Events below this offset were delivered before and are marked as a replay."""
    gaps: tuple[Gap, ...]

    @property
    def moves_lanes_to(self) -> int | None:
        """Where lanes that stand above go back to; None: they stay where they are."""
        return self.offset if self.why is Why.RESET_BACK or not self.trust_rows else None


def floor(commit: Commit | None) -> Floor:
    """Return what Kafka says of a partition."""
    if commit is None:
        return Floor(0, 0)
    said = decode(commit.metadata, committed=commit.offset)
    return Floor(commit.offset, said.epoch or 0, said.writes)


def begin(
    partition: Partition, *, commit: Commit | None, assignment: Assignment, bounds: Bounds
) -> Start:
    """Decide where to begin.

    Raises StoreWentBackError where the commit was made under an epoch, or counts on writes, that
    Postgres doesn't know: then its rows are older than what was settled, and going on would lose what
    they stood for.
    """
    seen = floor(commit)
    if seen.epoch > assignment.committed_epoch or seen.writes > assignment.writes:
        raise StoreWentBackError(
            f"{partition}: the offset in Kafka was committed under epoch {seen.epoch} after"
            f" {seen.writes} writes, and Postgres knows epoch {assignment.committed_epoch} and"
            f" {assignment.writes} writes: it was restored from an older state."
            " Stop all workers and run `planner-webhooks reset-offsets --to-datetime"
            " <time of the dump - 10 min>`; nothing is lost, what was sent since is sent again"
        )
    return _within(bounds, _found(commit, assignment, bounds))


def _found(commit: Commit | None, assignment: Assignment, bounds: Bounds) -> Start:
    known = assignment.committed
    if commit is None:
        if known is None:
            return _start(bounds.start, Why.NEW)
        return _start(known, Why.EXPIRED)
    if commit.metadata:
        settled = decode(commit.metadata, committed=commit.offset).settled
        return _start(commit.offset, Why.RESUMED)._replace(settled=settled)
    if known is None or commit.offset == known:
        return _start(commit.offset, Why.RESUMED)
    if commit.offset < known:
        return _start(commit.offset, Why.RESET_BACK)._replace(replay_below=known, trust_dead=False)
    gap = Gap(known, commit.offset, "skipped")
    return _start(commit.offset, Why.RESET_FORWARD)._replace(gaps=(gap,))


def _start(offset: int, why: Why) -> Start:
    return Start(
        offset, why, NOTHING_SETTLED, trust_rows=True, trust_dead=True, replay_below=None, gaps=()
    )


def _within(bounds: Bounds, start: Start) -> Start:
    """Keep *start* inside of the log; what falls outside is a gap."""
    if start.offset > bounds.end:  # the topic was made anew, or lost its end
        gap = Gap(bounds.start, bounds.end, "recreated")
        return start._replace(
            offset=bounds.end,
            settled=NOTHING_SETTLED,
            trust_rows=False,
            trust_dead=False,
            replay_below=None,
            gaps=(*start.gaps, gap),
        )
    if start.offset < bounds.start:
        gap = Gap(start.offset, bounds.start, "retention")
        return start._replace(offset=bounds.start, gaps=(*start.gaps, gap))
    return start
