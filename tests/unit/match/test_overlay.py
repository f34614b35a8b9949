"""Many filters: a change takes effect between two events, and a tree built anew says the same."""

import json
import random
from typing import Any

from services.kernel.event import Event, Json
from services.kernel.subscription import Subscription
from services.match.entry import Entry, Filtered, Match, Single
from services.match.filters import Filter, evaluator
from services.match.filters.bitmap import build
from services.match.filters.places import Held
from services.match.filters.tree import Leaf, Pattern, Range
from services.match.index import MAX_FAILURES, Matcher
from tests.support.factories import a_subscription, an_event
from tests.support.rules import a_rule, parsed, random_event

MANY = 60


def a_filtered(chance: random.Random, number: int, event: Json | None) -> Subscription:
    rule = None if chance.random() < 0.1 else {"data": a_rule(chance, event)}
    return a_subscription(
        chance.choice(["plan.*", "*", "plan.created", "route.*"]),
        id_=f"{number:024x}",
        filter=None if rule is None else json.dumps(rule),
    )


def wanted(held: dict[str, Subscription], event: Event) -> list[str]:
    """Return who wants an event, each asked by itself."""
    matcher = Matcher()
    found = []
    for one in held.values():
        matcher.replace_all([one])
        found += [match.subscription.id for match in matcher.match(event)]
    return sorted(found)


def told(matcher: Matcher, event: Event) -> list[str]:
    return [match.subscription.id for match in matcher.match(event)]


def test_whatever_changes_an_entry_with_its_overlay_is_as_one_built_anew() -> None:
    chance = random.Random(1)
    events = [an_event("plan.created", data=random_event(chance)) for _ in range(6)]
    bodies = [event.body["data"] for event in events]
    held = {f"{n:024x}": a_filtered(chance, n, chance.choice(bodies)) for n in range(MANY)}
    matcher = Matcher()
    matcher.replace_all(held.values())
    for round_ in range(25):
        for event in events:
            expected = wanted(held, event)
            assert told(matcher, event) == expected, round_
            anew = Matcher()
            anew.replace_all(held.values())
            assert told(anew, event) == expected, round_
        if round_ % 5 == 4:
            steps = matcher.rebuild()
            next(steps, None)  # and something changes while a tree is built
        changed = [
            a_filtered(chance, chance.randrange(MANY + 5), chance.choice(bodies)) for _ in range(3)
        ]
        removed = chance.sample(sorted(held), 2)
        gone = [held.pop(id_) for id_ in removed if id_ not in {one.id for one in changed}]
        held.update({one.id: one for one in changed})
        matcher.apply(list({one.id: one for one in changed}.values()), gone)
        if round_ % 5 == 4:
            list(steps)


def test_what_was_seen_and_matched_is_counted_through_changes() -> None:
    matcher = Matcher()
    everything = a_subscription("plan.*", id_="a" * 24)
    picky = [
        a_subscription("plan.*", id_=f"{n:024x}", filter=json.dumps({"data": {"n": [n]}}))
        for n in range(10)
    ]
    matcher.replace_all([everything, *picky])
    for n in range(20):
        matcher.match(an_event("plan.created", data={"n": n}))
        if n == 15:
            matcher.apply([picky[3]], [])
    seen: dict[str, int] = {}
    matched: dict[str, int] = {}
    for counts in matcher.take_seen():
        for id_ in (*counts.always, *counts.filtered):
            seen[id_] = seen.get(id_, 0) + counts.events
        for id_ in counts.always:
            matched[id_] = matched.get(id_, 0) + counts.events
        for id_, count in counts.matched.items():
            matched[id_] = matched.get(id_, 0) + count
    assert matched == {everything.id: 20, **{one.id: 1 for one in picky}}
    assert seen == {one.id: 20 for one in (everything, *picky)}
    assert not list(matcher.take_seen())


def a_failing_filter() -> Filter:
    """Return one that no parser makes: it raises on every number."""
    bound: Any = "no number"
    leaf = Leaf(
        "/filter/a",
        ("a",),
        (Range(bound, low_included=True, high=float("inf"), high_included=True),),
    )
    return Filter(Pattern((("a", leaf),)))


def test_a_filter_that_fails_on_an_event_fails_for_its_own_subscription_alone() -> None:
    good = [parsed({"a": [{"prefix": "x"}]}) for _ in range(6)]
    trees = [tree for tree in good if tree is not None]
    trees.insert(3, a_failing_filter())
    subscriptions = [a_subscription("*", id_=f"{n:024x}") for n in range(7)]
    filtered = [
        Filtered(Match(one, "*"), tree) for one, tree in zip(subscriptions, trees, strict=True)
    ]
    bitmap = build([tree.rows for tree in trees], Held())
    singles = tuple(Single(match, evaluator(tree)) for match, tree in filtered)
    for entry in (
        Entry((), filtered=filtered, bitmap=bitmap, rows=bitmap.every),
        Entry((), singles=singles),
    ):
        failed: list[Subscription] = []
        found = entry.match({"a": ["xyz", 5]}, Held(), failed.append)
        assert failed == [subscriptions[3]]
        assert [m.subscription for m in found] == [s for s in subscriptions if s not in failed]


def test_a_filter_that_fails_again_and_again_is_switched_off_and_told_of() -> None:
    broken: list[str] = []
    matcher = Matcher(on_broken=lambda one: broken.append(one.id))
    bad = a_subscription("*", id_="b" * 24, filter='{"data":{"a":["x"]}}')
    matcher.replace_all([bad])
    matcher._trees[bad.id] = (bad.filter or "", a_failing_filter())
    event = an_event("plan.created")
    event.body["a"] = 5
    for _ in range(MAX_FAILURES + 5):
        assert not matcher.match(event)
    assert broken[:1] == [bad.id]
