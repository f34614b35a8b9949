"""Many filters: a change takes effect between two events, and a tree built anew says the same."""

import json
import random
from typing import Any

from services.kernel.event import Event, Json
from services.kernel.subscription import Subscription
from services.match.entry import Entry, Filtered, Match, Single, Tree
from services.match.filters import Filter, evaluator
from services.match.filters.bitmap import build
from services.match.filters.places import Held
from services.match.filters.tree import Leaf, Pattern, Range
from services.match.index import IN_ONE_GO, MAX_FAILURES, MAX_OVERLAY, Matcher
from tests.support.factories import PROJECT, a_subscription, an_event
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


def picky(number: int, *, at: int | None = None) -> Subscription:
    """Return who wants plans whose `n` is *number*, or what *at* says."""
    wanted = {"data": {"n": [number if at is None else at]}}
    return a_subscription("plan.*", id_=f"{number:024x}", filter=json.dumps(wanted))


def a_plan(number: int) -> Event:
    return an_event("plan.created", data={"n": number})


def test_a_big_project_is_prepared_in_steps_and_hears_of_what_changes_meanwhile() -> None:
    matcher = Matcher()
    matcher.replace_all(picky(n) for n in range(IN_ONE_GO * 5))
    assert not matcher.is_ready(a_plan(1))
    steps = matcher.prepare(PROJECT, "plan.created")
    next(steps)
    matcher.apply([picky(7, at=-7)], [picky(8)])
    assert len(list(steps)) > 3, "so that others may go on"
    assert matcher.is_ready(a_plan(1))
    assert told(matcher, a_plan(-7)) == [picky(7).id]
    assert told(matcher, a_plan(9)) == [picky(9).id]
    assert told(matcher, a_plan(7)) == told(matcher, a_plan(8)) == []
    assert list(matcher.rebuild()), "what changed meanwhile lies beside the tree for a second"


def test_two_types_are_prepared_at_once_and_both_hear_of_a_change() -> None:
    matcher = Matcher()
    matcher.replace_all(picky(n) for n in range(IN_ONE_GO * 5))
    ways = [matcher.prepare(PROJECT, type_) for type_ in ("plan.created", "plan.updated")]
    for steps in ways:
        next(steps)
    matcher.apply([picky(7, at=-7)], [])
    for steps in ways:
        list(steps)
    for type_ in ("plan.created", "plan.updated"):
        assert told(matcher, an_event(type_, data={"n": -7})) == [picky(7).id]
        assert told(matcher, an_event(type_, data={"n": 7})) == []


def test_a_small_project_needs_no_preparation() -> None:
    matcher = Matcher()
    matcher.replace_all(picky(n) for n in range(IN_ONE_GO))
    assert matcher.is_ready(a_plan(1))
    assert told(matcher, a_plan(1)) == [picky(1).id]


def test_what_lies_beside_a_tree_is_bounded_however_much_changes() -> None:
    matcher = Matcher()
    matcher.replace_all(picky(n) for n in range(IN_ONE_GO * 5))
    list(matcher.prepare(PROJECT, "plan.created"))
    for n in range(MAX_OVERLAY):
        matcher.apply([picky(n, at=-n)], [])
    assert matcher.is_ready(a_plan(1))
    matcher.apply([picky(MAX_OVERLAY, at=-MAX_OVERLAY)], [])
    assert not matcher.is_ready(a_plan(1)), "a hundred filters one by one cost more than a tree"
    list(matcher.prepare(PROJECT, "plan.created"))
    assert told(matcher, a_plan(-MAX_OVERLAY)) == [picky(MAX_OVERLAY).id]
    assert told(matcher, a_plan(MAX_OVERLAY)) == []


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
        Entry((), tree=Tree.of(filtered, bitmap), rows=bitmap.every),
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
