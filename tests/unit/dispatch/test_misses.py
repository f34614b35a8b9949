"""Which clauses say no: counted of some events, at a bounded cost."""

from dataclasses import replace

import orjson
import pytest

from services.dispatch import misses as misses_
from services.dispatch.misses import MAX_EVENT_BYTES, SHARE, STRETCH_SECONDS, Misses
from services.kernel.clock import SystemClock
from services.kernel.event import Event
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store.counts import FILTER, Clause
from services.kernel.subscription import Subscription
from services.match.index import Matcher
from tests.support.factories import a_subscription, an_event


class Watch(SystemClock):
    """Goes on by *step* seconds at each look."""

    def __init__(self, step: float = 0.0) -> None:
        self.seconds = 0.0
        self.step = step

    def monotonic(self) -> float:
        self.seconds += self.step
        return self.seconds


def wants(id_: int, **data: object) -> Subscription:
    text = orjson.dumps({"data": data}).decode()
    return a_subscription("plan.*", id_=f"{id_:024x}", filter=text)


def a_plan(**data: object) -> Event:
    return an_event("plan.created", data=data)


def looking(*subscriptions: Subscription, watch: Watch | None = None) -> tuple[Misses, Matcher]:
    matcher = Matcher()
    matcher.replace_all(subscriptions)
    return Misses(refused=matcher.refused, clock=watch or Watch()), matcher


def look(found: tuple[Misses, Matcher], event: Event) -> None:
    misses, matcher = found
    matcher.match(event)
    misses.look_into(event)


@pytest.mark.parametrize("others", [0, 20], ids=["one by one", "in a tree"])
def test_each_clause_that_said_no_is_counted_of_those_who_didnt_want_the_event(others: int) -> None:
    picky = wants(1, status=["finished"], label=["x"])
    glad = wants(2, status=["planning"])
    found = looking(picky, glad, *(wants(n, label=["y"]) for n in range(3, 3 + others)))
    look(found, a_plan(status="planning", label="y"))
    look(found, a_plan(status="finished", label="y"))
    assert found[0].take() == {
        Clause(picky.id, FILTER): 2,
        Clause(picky.id, "/filter/data/status"): 1,
        Clause(picky.id, "/filter/data/label"): 2,
        Clause(glad.id, FILTER): 1,
        Clause(glad.id, "/filter/data/status"): 1,
    }
    assert found[0].take() == {}


def test_a_changed_filter_is_judged_as_it_is_and_a_deleted_one_is_not() -> None:
    rows = [wants(n, status=["finished"]) for n in range(1, 9)]
    found = looking(*rows)
    look(found, a_plan(status="planning"))
    found[0].take()
    changed = replace(rows[0], filter='{"data":{"label":["x"]}}')
    found[1].apply([changed], rows[1:])
    look(found, a_plan(status="planning"))
    clause = Clause(changed.id, "/filter/data/label")
    assert found[0].take() == {Clause(changed.id, FILTER): 1, clause: 1}


def test_of_an_or_the_branch_counts_that_came_nearest() -> None:
    either = {"$or": [
        {"data": {"a": [1], "b": [1]}},
        {"data": {"a": [1], "c": [1], "d": [1]}},
    ]}  # fmt: skip
    text = orjson.dumps(either).decode()
    found = looking(a_subscription("plan.*", id_="e" * 24, filter=text))
    look(found, a_plan(a=1, d=1))
    either_ = SubscriptionId("e" * 24)
    first = "/filter/$or/0/data/b"
    assert found[0].take() == {Clause(either_, FILTER): 1, Clause(either_, first): 1}


def test_of_many_filters_each_has_its_turn_and_the_rest_of_the_time_is_for_events() -> None:
    watch = Watch(step=STRETCH_SECONDS / 3.5)
    found = looking(*(wants(n, status=["finished"]) for n in range(10)), watch=watch)
    for _ in range(10):
        look(found, a_plan(status="planning"))
    assert sum(found[0].take().values()) == 2 * 4, "the first stretch, then a rest"
    tried: dict[SubscriptionId, int] = {}
    for _ in range(5):
        watch.seconds += STRETCH_SECONDS * 2 * SHARE
        look(found, a_plan(status="planning"))
        for clause, count in found[0].take().items():
            if clause.pointer == FILTER:
                tried[clause.subscription_id] = tried.get(clause.subscription_id, 0) + count
    assert sorted(tried.values()) == [2] * 10


def test_what_is_large_or_more_than_is_kept_is_not_looked_into(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = looking(wants(1, status=["finished"]))
    look(found, replace(a_plan(), size=MAX_EVENT_BYTES + 1))
    assert found[0].take() == {}
    monkeypatch.setattr(misses_, "MAX_CLAUSES", 2)
    for _ in range(3):
        look(found, a_plan())
    assert max(found[0].take().values()) == 1
    look(found, an_event("route.created"))  # nobody asks for it
    assert found[0].take() == {}
