"""What a lane reads past when it has begun anew."""

from services.dispatch.anew import Passed
from services.feed.settled_map import SettledMap
from tests.support.factories import a_subscription, an_event

KNOWN = SettledMap(4, 9, frozenset({5, 7}))
"""All up to 4, and 6 and 8."""


def holds(passed: Passed, type_: str = "plan.created") -> list[int]:
    return [offset for offset in range(12) if passed.holds(an_event(type_, offset=offset))]


def test_what_was_settled_is_read_past_and_what_was_open_is_not() -> None:
    passed = Passed(KNOWN, was=a_subscription("plan.*"))
    assert holds(passed) == [0, 1, 2, 3, 4, 6, 8]
    assert passed.end == 9


def test_what_is_settled_meanwhile_is_read_past_as_well() -> None:
    passed = Passed(KNOWN, was=a_subscription("plan.*"))
    passed.add(7)
    passed.add(10)
    assert holds(passed) == [0, 1, 2, 3, 4, 6, 7, 8, 10]
    assert passed.end == 11


def test_an_event_of_a_type_that_came_later_was_only_read_past() -> None:
    assert holds(Passed(KNOWN, was=a_subscription("route.*"))) == []


def test_after_a_rewind_only_what_has_a_row_is_read_past() -> None:
    assert holds(Passed(also=[3, 6])) == [3, 6]
    assert holds(Passed()) == []
