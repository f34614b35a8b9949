"""How far behind, why, and for how long still: put together of what Postgres and Kafka know."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.control.backlog import Part, eta, headroom, parts_of, standing
from services.kernel.backlog import LaneSeen, Waiting
from services.kernel.event import Partition
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.lane import LaneRow, Reason, Start, StartKind
from services.kernel.ports.broker import Bounds
from services.kernel.registration import Registration
from services.kernel.subscription import Status

NOW = datetime(2026, 3, 17, 9, 0, tzinfo=UTC)
ID = SubscriptionId("5e208446c97efa37d4830b0c")
FIRST, SECOND = Partition("planner.events", 0), Partition("planner.events", 1)


def a_lane(partition: Partition = FIRST, **fields: object) -> LaneRow:
    return LaneRow(
        **{
            "partition": partition,
            "subscription_id": ID,
            "cursor": 10,
            "state": "catching_up",
            "reason": Reason.SLOW,
            "since": NOW - timedelta(minutes=5),
            "cursor_at": NOW - timedelta(hours=1),
            **fields,
        }
    )


def a_registration(status: Status = Status.ACTIVE) -> Registration:
    return Registration(
        id=ID,
        project_id=ProjectId("5e208446c97efa37d4830b01"),
        url="https://example.com/hook",
        types=("*",),
        status=status,
        status_reason="by its owner" if status is Status.PAUSED else None,
        status_at=NOW - timedelta(days=1),
        created_by="admin",
        created_at=NOW - timedelta(days=2),
        updated_at=NOW,
    )


def parts(waiting: Waiting) -> list[Part]:
    bounds = {FIRST: Bounds(5, 110), SECOND: Bounds(0, 40)}
    return parts_of(waiting, committed={FIRST: 100}, bounds=bounds, now=NOW)


def test_what_is_fed_live_stands_where_the_group_does() -> None:
    first, second = parts(Waiting())
    assert (first.cursor, first.lag, first.state) == (100, 10, "attached")
    assert (second.cursor, second.lag) == (0, 40)  # nothing was ever committed there
    assert standing(a_registration(), [first, second]) == ("attached", None, None)


def test_a_lane_stands_at_its_cursor_and_says_why_and_since_when() -> None:
    lanes = [
        LaneSeen(a_lane(state="draining", attach_at=90), NOW),
        LaneSeen(a_lane(SECOND, state="detaching", cursor=7, reason=Reason.BREAKER_OPEN), NOW),
    ]
    first, second = found = parts(Waiting(lanes=lanes))
    assert (first.cursor, first.state) == (10, "draining")
    assert (second.cursor, second.lag, second.state) == (7, 33, "detached")  # its row is durable
    assert standing(a_registration(), found) == (
        "detached",
        "breaker_open",
        NOW - timedelta(minutes=5),
    )


def test_who_takes_batches_is_well_in_a_lane() -> None:
    lane = a_lane(reason=Reason.BATCH, cursor=110)
    found = parts(Waiting(lanes=[LaneSeen(lane, NOW)]))
    assert (found[0].state, found[0].lag) == ("attached", 0)
    assert standing(a_registration(), found) == ("attached", None, None)


def test_what_no_owner_has_taken_over_yet_begins_where_it_was_promised() -> None:
    start = Start(partition=FIRST, subscription_id=ID, offset=60, kind=StartKind.NEW)
    found = parts(Waiting(starts=[start]))
    assert (found[0].cursor, found[0].lag) == (60, 50)
    assert standing(a_registration(), found) == ("detached", "new", a_registration().created_at)


def test_what_is_paused_says_so_whatever_its_lanes_do() -> None:
    paused = a_registration(Status.PAUSED)
    found = parts(Waiting(lanes=[LaneSeen(a_lane(), NOW)]))
    assert standing(paused, found) == ("paused", "by its owner", paused.status_at)


@pytest.mark.parametrize(
    ("speed", "before", "seconds"),
    [
        (50.0, 110, 2.0),  # nothing arrives
        (50.0, 110 - 60 * 25, 4.0),  # 25 a second arrive
        (50.0, 110 - 60 * 50, None),  # as many arrive as it takes
        (0.0, 110, None),
    ],
)
def test_the_time_to_catch_up_is_what_it_gains_on_the_log(
    speed: float, before: int, seconds: float | None
) -> None:
    (part, _) = parts(Waiting(lanes=[LaneSeen(a_lane(speed=speed), NOW)]))
    assert eta([part], {FIRST: before}) == seconds


def test_a_lane_that_nobody_wrote_of_lately_does_not_move() -> None:
    lane = a_lane(speed=50.0)
    (part, _) = parts(Waiting(lanes=[LaneSeen(lane, NOW - timedelta(seconds=11))]))
    assert eta([part], {FIRST: 110}) is None
    assert eta([replace_cursor(part, part.end)], {FIRST: 110}) == 0.0


def replace_cursor(part: Part, cursor: int) -> Part:
    assert part.lane is not None
    return part._replace(cursor=cursor, lane=replace(part.lane, cursor=cursor))


def test_the_headroom_is_that_of_the_first_to_go() -> None:
    heads = {FIRST: NOW - timedelta(hours=20), Partition("other", 0): NOW - timedelta(hours=1)}
    kept = {"planner.events": timedelta(days=1), "other": timedelta(hours=2), "third": None}
    assert headroom(heads, kept, NOW) == timedelta(hours=1).total_seconds()
    assert headroom({FIRST: NOW - timedelta(days=3)}, kept, NOW) == 0.0
    assert headroom({}, kept, NOW) == timedelta(hours=2).total_seconds()
    assert headroom(heads, {"planner.events": None, "other": None}, NOW) is None
