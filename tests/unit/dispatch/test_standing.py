"""What alerts are on: how old the oldest open record is, how long progress waits to be committed."""

from prometheus_client import REGISTRY

from services.dispatch.owned import Owned
from services.dispatch.standing import Standing
from services.feed.ages import Ages
from services.feed.tracker import Tracker
from services.kernel.event import Partition
from tests.support.factories import a_record

PARTITION = Partition("standing.events", 0)
START_MS = 1_700_000_000_000


class Moving:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = START_MS / 1000

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def an_owned(clock: Moving, *offsets: int) -> Owned:
    owned = Owned(PARTITION)
    owned.loaded = True
    owned.tracker = Tracker(start=0)
    owned.committed = 0
    for offset in offsets:
        read(owned, offset, at_ms=int(clock.now * 1000))
        clock.now += 60
    return owned


def read(owned: Owned, offset: int, *, at_ms: int) -> None:
    record = a_record(b"{}", offset=offset, partition=PARTITION, timestamp_ms=at_ms)
    owned.tracker.register([offset], next_offset=offset + 1)
    owned.ages.note([record])
    owned.tracker.open(offset, "s")
    owned.tracker.matched(offset)


def gauge(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def oldest() -> float | None:
    return gauge("webhooks_oldest_open_seconds", topic=PARTITION.topic)


def test_the_oldest_open_record_is_what_counts() -> None:
    clock = Moving()
    owned = an_owned(clock, 0, 1, 2)
    standing = Standing(clock=clock)  # type: ignore[arg-type]
    standing.measure([owned])
    assert oldest() == 180
    owned.tracker.settle(1, "s")  # not the oldest
    standing.measure([owned])
    assert oldest() == 180
    owned.tracker.settle(0, "s")
    standing.measure([owned])
    assert oldest() == 60
    owned.tracker.settle(2, "s")
    standing.measure([owned])
    assert oldest() == 0


def test_what_moved_to_another_worker_is_not_our_age_any_more() -> None:
    clock = Moving()
    standing = Standing(clock=clock)  # type: ignore[arg-type]
    standing.measure([an_owned(clock, 0)])
    assert oldest() == 60
    standing.measure([])
    assert oldest() == 0


def test_progress_that_is_not_committed_ages() -> None:
    clock = Moving()
    owned = an_owned(clock, 0)
    standing = Standing(clock=clock)  # type: ignore[arg-type]
    standing.measure([owned])
    assert gauge("webhooks_commit_age_seconds") == 0  # an open record is nothing to commit
    owned.tracker.settle(0, "s")
    standing.measure([owned])
    clock.now += 30
    standing.measure([owned])
    assert gauge("webhooks_commit_age_seconds") == 30
    owned.committed = 1
    standing.measure([owned])
    assert gauge("webhooks_commit_age_seconds") == 0


def test_one_entry_a_poll_is_remembered_and_those_below_are_forgotten() -> None:
    ages = Ages()
    assert ages.oldest_ms(0) is None
    for offset in range(0, 1_000, 10):
        ages.note([a_record(b"", offset=offset + n, timestamp_ms=offset) for n in range(10)])
    ages.note([])
    assert ages.oldest_ms(15) == 10
    assert ages.oldest_ms(990) == 990
    assert len(ages._polls) == 1
