"""The index says what evaluating every subscription one by one would say, only faster."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services import catalogue
from services.catalogue import OLDER, ROUTAL
from services.kernel.subscription import Profile, Status, Subscription
from services.match import index
from services.match.index import Match, Matcher
from tests.support.factories import a_subscription, an_event

PROJECTS = ["5e208446c97efa37d4830b01", "5e208446c97efa37d4830b02"]
TYPES = [
    "customer.created",
    "plan.created",
    "route.started",
    "route.survey.submitted",
    "route.track",  # a stream, with an older name
    "stop.created",
    "stop.report.completed",  # under an umbrella
    "stop.report.media_added",  # beside it
    "vehicle.geofence.entered",
    "vehicle.position",  # a stream
    "drone.launched",  # these nobody knows
    "stop.report",
    "stop.report.signed",
    "stop",
]
FAMILIES = sorted({type_.partition(".")[0] for type_ in TYPES} | {"driver", "service", "client"})


# What section 3 says, word by word: slow, and written without a look at the index.


def generations(type_: str) -> list[str]:
    """Return *type_* by today's name and by its older one."""
    older = [old + type_.removeprefix(new) for old, new in OLDER.items() if type_.startswith(new)]
    return [type_, *older]


def specificity(pattern: str, type_: str) -> tuple[int, int] | None:
    """Return how specifically *pattern* selects *type_*: kind, then segments; None: it doesn't."""
    short = pattern.removeprefix(ROUTAL)
    names = generations(type_)
    row = catalogue.event_types().get(type_)
    if short in (row.umbrellas if row else ()):
        return (1, 0)
    if short in names and short not in catalogue.umbrellas():
        return (2, 0)
    is_wildcard = short == "*" or short.endswith(".*")
    if is_wildcard and not (row and row.stream):
        prefix = short[:-1]
        if any(name.startswith(prefix) and name != prefix for name in names):
            return (0, prefix.count("."))
    return None


def wanted(subscription: Subscription, type_: str) -> str | None:
    """Return the name in which *subscription* wants *type_*."""
    ranked = [(specificity(pattern, type_), pattern) for pattern in subscription.types]
    found = [(rank, pattern) for rank, pattern in ranked if rank is not None]
    if not found:
        return None
    best = max(rank for rank, _ in found)
    pattern = next(pattern for rank, pattern in found if rank == best)
    if not pattern.endswith("*"):
        return pattern
    if pattern == "*":
        own = {Profile.PLANNER_V2: ("driver.", "client."), Profile.HIGHWAY_V1: ("service.",)}
        mine = (*own.get(subscription.profile, ()), "client.")
        older = [name for name in generations(type_)[1:] if name.startswith(mine)]
        return older[0] if older and subscription.profile in own else type_
    routal = ROUTAL if pattern.startswith(ROUTAL) else ""
    prefix = pattern.removeprefix(ROUTAL)[:-1]
    name = next(name for name in generations(type_) if name.startswith(prefix))
    return routal + name


def naive(held: list[Subscription], project: str, type_: str) -> list[Match]:
    ours = [subscription for subscription in held if subscription.project_id == project]
    asked = [(subscription, wanted(subscription, type_)) for subscription in ours]
    return [Match(subscription, name) for subscription, name in asked if name is not None]


names = st.sampled_from(TYPES).flatmap(lambda type_: st.sampled_from(generations(type_)))
prefixes = names.flatmap(
    lambda name: st.sampled_from([f"{name}.*", *_prefixes(name)])
) | st.sampled_from([f"{family}.*" for family in FAMILIES])
patterns = st.one_of(
    st.just("*"), names, prefixes, st.sampled_from(sorted(catalogue.umbrellas()))
) | st.one_of(names, prefixes, st.just("*")).map(lambda pattern: ROUTAL + pattern)
subscriptions = st.builds(
    lambda number, project, types, profile, status: a_subscription(
        *types, id_=f"{number:024x}", project=PROJECTS[project], profile=profile, status=status
    ),
    st.integers(0, 11),
    st.integers(0, 1),
    st.lists(patterns, min_size=1, max_size=5),
    st.sampled_from(Profile),
    st.sampled_from(Status),
)


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:n]) + ".*" for n in range(1, len(parts))] or [f"{name}.*"]


def in_one_project(subscription: Subscription) -> Subscription:
    """Return it in a project that follows from its id: nobody moves between projects."""
    number = int(subscription.id, 16)
    return a_subscription(
        *subscription.types,
        id_=subscription.id,
        project=PROJECTS[number % 2],
        profile=subscription.profile,
        status=subscription.status,
    )


def all_matches(matcher: Matcher) -> dict[tuple[str, str], list[Match]]:
    return {
        (project, type_): list(matcher.match(an_event(type_, project=project)))
        for project in PROJECTS
        for type_ in TYPES
    }


def all_naive(held: list[Subscription]) -> dict[tuple[str, str], list[Match]]:
    return {(p, type_): naive(held, p, type_) for p in PROJECTS for type_ in TYPES}


@given(st.lists(subscriptions, max_size=8, unique_by=lambda one: one.id))
def test_the_index_says_what_every_subscription_by_itself_says(held: list[Subscription]) -> None:
    matcher = Matcher()
    matcher.replace_all(held)
    assert all_matches(matcher) == all_naive(held)
    assert all_matches(matcher) == all_naive(held), "the second look-up is another path"


class Changing(RuleBasedStateMachine):
    """Subscriptions come, change and go while events are matched."""

    def __init__(self) -> None:
        super().__init__()
        self.matcher = Matcher()
        self.held: dict[str, Subscription] = {}

    @rule(given_=st.lists(subscriptions.map(in_one_project), max_size=4, unique_by=lambda s: s.id))
    def all_are_read_again(self, given_: list[Subscription]) -> None:
        self.matcher.replace_all(given_)
        self.held = {one.id: one for one in given_}

    @rule(
        changed=st.lists(subscriptions.map(in_one_project), max_size=3, unique_by=lambda s: s.id),
        data=st.data(),
    )
    def some_change(self, changed: list[Subscription], data: st.DataObject) -> None:
        known = list(self.held.values())
        removed = data.draw(st.lists(st.sampled_from(known), max_size=2)) if known else []
        removed = [one for one in removed if one.id not in {c.id for c in changed}]
        self.matcher.apply(changed, removed)
        for one in removed:
            self.held.pop(one.id, None)
        for one in changed:
            self.held[one.id] = one

    @invariant()
    def the_index_agrees(self) -> None:
        assert all_matches(self.matcher) == all_naive(list(self.held.values()))


TestChanging = Changing.TestCase
TestChanging.settings = settings(max_examples=60, stateful_step_count=8)


def test_an_event_is_one_delivery_however_many_patterns_match() -> None:
    matcher = Matcher()
    greedy = a_subscription("*", "stop.*", "stop.report", "stop.report.completed")
    matcher.replace_all([greedy])
    assert list(matcher.match(an_event("stop.report.completed"))) == [
        Match(greedy, "stop.report.completed")
    ]


@pytest.mark.parametrize("status", Status)
def test_paused_and_disabled_ones_match_as_well(status: Status) -> None:
    matcher = Matcher()
    held = a_subscription("plan.*", status=status)
    matcher.replace_all([held])
    assert [match.subscription for match in matcher.match(an_event("plan.created"))] == [held]


def test_nobody_is_told_of_another_projects_events() -> None:
    matcher = Matcher()
    matcher.replace_all([a_subscription("*", project=PROJECTS[0])])
    assert not matcher.match(an_event("plan.created", project=PROJECTS[1]))


def test_a_changed_subscription_is_matched_by_its_new_patterns_at_the_next_event() -> None:
    matcher = Matcher()
    matcher.replace_all([a_subscription("plan.*")])
    assert len(matcher.match(an_event("plan.created"))) == 1
    matcher.apply([a_subscription("route.*")], [])
    assert len(matcher.match(an_event("plan.created"))) == 0
    assert len(matcher.match(an_event("route.started"))) == 1


def test_names_made_up_by_a_producer_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MAX_TYPES", 5)
    matcher = Matcher()
    held = a_subscription("*")
    matcher.replace_all([held])
    for n in range(50):
        assert list(matcher.match(an_event(f"drone.no{n}"))) == [Match(held, f"drone.no{n}")]
        assert len(matcher._projects[held.project_id].entries) <= 5


def test_the_type_that_is_dropped_is_the_one_used_longest_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index, "MAX_TYPES", 5)
    matcher = Matcher()
    held = a_subscription("*")
    matcher.replace_all([held])
    for n in range(50):
        matcher.match(an_event("plan.created"))
        matcher.match(an_event(f"drone.no{n}"))
    kept = list(matcher._projects[held.project_id].entries)
    assert kept == [*(f"drone.no{n}" for n in (46, 47, 48)), "plan.created", "drone.no49"]


def test_projects_without_subscriptions_take_no_memory() -> None:
    matcher = Matcher()
    matcher.replace_all([a_subscription("*")])
    for n in range(50):
        assert not matcher.match(an_event("plan.created", project=f"{n:024x}"))
    assert list(matcher._projects) == [PROJECTS[0]]
