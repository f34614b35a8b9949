"""What filters saw and let pass: nothing is counted twice, nothing is lost while Postgres is gone."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import pytest

from services.dispatch import counts
from services.dispatch.counts import Counts
from services.dispatch.misses import Misses
from services.kernel.clock import SystemClock
from services.kernel.errors import StoreGoneError
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.ports.store.counts import FILTER, Clause, Seen, Tally
from services.match.index import Matcher
from tests.support.factories import PROJECT, a_subscription, an_event

Added = tuple[dict[tuple[str, str], Seen], dict[SubscriptionId, int]]


class Still(SystemClock):
    """On which nothing takes any time."""

    def monotonic(self) -> float:
        return 0.0


class Store:
    """Keeps what was added; or is gone."""

    def __init__(self) -> None:
        self.added: list[Added] = []
        self.explained: dict[Clause, int] = {}
        self.gone = False

    async def add(
        self,
        seen: Mapping[tuple[str, str], Seen],
        matched: Mapping[SubscriptionId, int],
        missed: Mapping[Clause, int],
        *,
        at: datetime,  # noqa: ARG002 - now
    ) -> None:
        if self.gone:
            raise StoreGoneError("gone")
        self.added.append((dict(seen), dict(matched)))
        self.explained = dict(missed)

    async def seen(
        self, project_id: ProjectId, *, since: datetime, lately: datetime
    ) -> Mapping[str, Tally]:
        raise NotImplementedError

    async def volumes(self, project_id: ProjectId, *, since: datetime) -> Mapping[str, Seen]:
        raise NotImplementedError

    async def matched(self, id_: SubscriptionId, *, since: datetime, lately: datetime) -> Tally:
        raise NotImplementedError

    async def missed(self, id_: SubscriptionId, *, since: datetime) -> Mapping[str, int]:
        raise NotImplementedError


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def noted(store: Store) -> Counts:
    return counts_of(store, Matcher())


def counts_of(store: Store, matcher: Matcher) -> Counts:
    misses = Misses(refused=matcher.refused, clock=Still())
    return Counts(store=store, misses=misses, clock=SystemClock())


def see(noted: Counts, matcher: Matcher, *types: str) -> None:
    for type_ in types:
        event = replace(an_event(type_), size=100)
        noted.note(event, matcher.match(event))


async def test_who_never_matches_is_told_how_much_it_was_tried_on(
    store: Store, noted: Counts
) -> None:
    all_, none = (
        a_subscription("plan.*", id_="a" * 24),
        a_subscription("plan.*", id_="b" * 24, filter='{"data":{"status":["no such"]}}'),
    )
    matcher = Matcher()
    matcher.replace_all([all_, none])
    see(noted, matcher, "plan.created", "plan.created", "plan.deleted", "route.started")
    await noted.report()
    seen = {
        (PROJECT, "plan.created"): Seen(2, 200, 2),
        (PROJECT, "plan.deleted"): Seen(1, 100, 1),
        (PROJECT, "route.started"): Seen(1, 100, 1),
    }
    assert store.added == [(seen, {all_.id: 3})]


async def test_what_was_told_is_not_told_again(store: Store, noted: Counts) -> None:
    see(noted, Matcher(), "plan.created")
    await noted.report()
    await noted.report()
    assert len(store.added) == 1


async def test_while_postgres_is_gone_counts_wait(store: Store, noted: Counts) -> None:
    everything = a_subscription("*")
    matcher = Matcher()
    matcher.replace_all([everything])
    store.gone = True
    see(noted, matcher, "plan.created")
    await noted.report()
    see(noted, matcher, "plan.created")
    store.gone = False
    await noted.report()
    assert store.added == [({(PROJECT, "plan.created"): Seen(2, 200, 2)}, {everything.id: 2})]


async def test_names_made_up_by_a_producer_take_bounded_memory(
    store: Store, noted: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "MAX_PAIRS", 3)
    see(noted, Matcher(), *(f"drone.no{n}" for n in range(10)), "drone.no1")
    await noted.report()
    ((seen, _),) = store.added
    events = {type_: one.events for (_, type_), one in seen.items()}
    assert events == {f"drone.no{n}": 1 + (n == 1) for n in range(3)}


async def test_the_peak_is_of_the_busiest_second(store: Store, noted: Counts) -> None:
    for second, count in ((10, 3), (11, 5), (12, 2)):
        for n in range(count):
            event = replace(an_event("plan.created"), timestamp_ms=second * 1000 + n)
            noted.note(event, [])
    await noted.report()
    ((seen, _),) = store.added
    assert seen[PROJECT, "plan.created"].peak == 5


async def test_one_event_in_a_thousand_is_looked_into_and_what_waits_for_postgres_is_kept(
    store: Store,
) -> None:
    matcher = Matcher()
    never = a_subscription("plan.*", filter='{"data":{"status":["no such"]}}')
    matcher.replace_all([never])
    noted = counts_of(store, matcher)
    store.gone = True
    see(noted, matcher, *["plan.created"] * 2_500)
    await noted.report()
    store.gone = False
    see(noted, matcher, "plan.created")
    await noted.report()
    count = 1 + 2  # the first, and two in whole thousands
    status = "/filter/data/status"
    assert store.explained == {Clause(never.id, FILTER): count, Clause(never.id, status): count}


async def test_who_wants_many_events_in_a_row_is_counted_for_each_of_them(
    store: Store, noted: Counts
) -> None:
    first, second = (a_subscription("plan.*", id_=digit * 24) for digit in "ab")
    matcher = Matcher()
    matcher.replace_all([first])
    see(noted, matcher, *["plan.created"] * 3)
    matcher.replace_all([first, second])
    see(noted, matcher, *["plan.created", "plan.deleted"] * 2)
    await noted.report()
    ((_, matched),) = store.added
    assert matched == {first.id: 7, second.id: 4}
