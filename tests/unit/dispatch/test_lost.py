"""Who is told that a whole partition lost a range of its log, and of which part of it."""

import asyncio
from collections.abc import Collection, Sequence

import jsonschema_rs
import pytest

from services import catalogue
from services.dispatch.lost import AT_ONCE, told_of
from services.feed.start import Gap
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import LaneRow, Reason, Start, StartKind
from services.kernel.operation import OPS_TOPIC, Operation
from services.kernel.ports.store.partitions import Assignment
from services.kernel.subscription import Status, Subscription
from tests.support.factories import a_subscription
from tests.support.rows import EVENTS, NOW, an_id

VALIDATOR = jsonschema_rs.Draft202012Validator(catalogue.schema(), validate_formats=True)
GAP = Gap(10, 20, "retention")
OWN_TOPIC = Partition("acme.events", 0)
POSITIONS = Partition("planner.positions", 0)
OPERATIONS = Partition(OPS_TOPIC, 0)
ID = SubscriptionId("5e208446c97efa37d4830b0c")
PASSED = ["retention", "skipped"]
REASONS = [*PASSED, "recreated"]


async def told(
    *subscriptions: Subscription,
    gap: Gap = GAP,
    partition: Partition = EVENTS,
    lanes: Sequence[LaneRow] = (),
    starts: Sequence[Start] = (),
) -> list[Operation]:
    assignment = Assignment(
        epoch=2, committed=10, committed_epoch=1, settled=(), usage={}, lanes=lanes, starts=starts
    )
    return await told_of(gap, partition, assignment, subscriptions)


async def range_told(**given: object) -> tuple[int, int] | None:
    """Return the range that a subscription is told of; None: it isn't told."""
    found = await told(a_subscription("*", id_=ID), **given)  # type: ignore[arg-type]
    ranges = [(each.data["from_offset"], each.data["to_offset"]) for each in found]
    assert len(ranges) <= 1
    return ranges[0] if ranges else None


async def who_is_told(partition: Partition, patterns: Collection[str]) -> set[str]:
    """Return those of *patterns* whose subscriptions are told of a gap of *partition*."""
    asking = {an_id(): pattern for pattern in patterns}
    subscriptions = [a_subscription(pattern, id_=id_) for id_, pattern in asking.items()]
    return {
        asking[each.subscription_id] for each in await told(*subscriptions, partition=partition)
    }


def a_lane(*, attach_at: int | None) -> LaneRow:
    return LaneRow(
        partition=EVENTS,
        subscription_id=ID,
        cursor=4,
        attach_at=attach_at,
        state="draining",
        reason=Reason.SLOW,
        since=NOW,
        cursor_at=NOW,
    )


def a_start(kind: StartKind, offset: int) -> Start:
    return Start(partition=EVENTS, subscription_id=ID, offset=offset, kind=kind)


@pytest.mark.parametrize("reason", REASONS)
async def test_what_is_told_is_an_event_of_the_catalogue(reason: str) -> None:
    subscription = a_subscription("plan.*", id_=ID)
    (operation,) = await told(subscription, gap=GAP._replace(reason=reason))
    event = operation.event(id_=an_id(), now=NOW)
    assert [error.message for error in VALIDATOR.iter_errors(event)] == []
    assert (event["type"], event["project_id"]) == ("webhook.gap", subscription.project_id)
    assert event["data"] == {
        "subscription_id": ID,
        "topic": EVENTS.topic,
        "partition": EVENTS.number,
        "from_offset": 10,
        "to_offset": 20,
        "reason": reason,
    }


@pytest.mark.parametrize("status", Status)
async def test_whoever_is_paused_or_disabled_is_told_too(status: Status) -> None:
    assert len(await told(a_subscription("*", status=status))) == 1


async def test_those_are_told_who_want_a_type_that_the_topic_has() -> None:
    patterns = ["*", "plan.*", "service.*", "vehicle.position", "vehicle.created", "webhook.gap"]
    assert await who_is_told(EVENTS, patterns) == {"*", "plan.*", "service.*"}
    assert await who_is_told(POSITIONS, patterns) == {"*", "vehicle.position"}
    assert await who_is_told(OPERATIONS, patterns) == {"*", "webhook.gap"}


async def test_a_topic_that_the_catalogue_lacks_may_have_all_but_what_the_service_says() -> None:
    patterns = ["*", "plan.*", "vehicle.position", "webhook.*", "webhook.gap"]
    assert await who_is_told(OWN_TOPIC, patterns) == {"*", "plan.*", "vehicle.position"}


async def test_a_type_that_the_catalogue_lacks_may_be_in_any_topic() -> None:
    for partition in (EVENTS, POSITIONS, OPERATIONS, OWN_TOPIC):
        assert await who_is_told(partition, ["plan.renamed_since"]) == {"plan.renamed_since"}


@pytest.mark.parametrize("reason", PASSED)
async def test_a_lane_tells_what_it_loses_by_itself_and_the_feed_what_lies_above_it(
    reason: str,
) -> None:
    gap = GAP._replace(reason=reason)
    for attach_at, expected in (
        (None, None),
        (25, None),
        (20, None),
        (19, (19, 20)),
        (14, (14, 20)),
        (10, (10, 20)),
        (8, (10, 20)),
    ):
        assert await range_told(gap=gap, lanes=[a_lane(attach_at=attach_at)]) == expected


@pytest.mark.parametrize("reason", PASSED)
async def test_a_new_subscription_begins_where_it_was_promised_to_and_lost_nothing(
    reason: str,
) -> None:
    for offset in (5, 15, 25):
        starts = [a_start(StartKind.NEW, offset)]
        assert await range_told(gap=GAP._replace(reason=reason), starts=starts) is None


@pytest.mark.parametrize("kind", [StartKind.TYPES, StartKind.REWIND])
async def test_from_a_promise_on_everything_is_read_again_and_lost_is_what_lies_below(
    kind: StartKind,
) -> None:
    for offset, expected in ((5, None), (10, None), (15, (10, 15)), (25, (10, 20))):
        assert await range_told(starts=[a_start(kind, offset)]) == expected
    both = {"lanes": [a_lane(attach_at=12)], "starts": [a_start(kind, 15)]}
    assert await range_told(**both) == (12, 15)


async def test_of_a_log_made_anew_everybody_is_told_though_it_is_empty() -> None:
    lanes = [a_lane(attach_at=None)]
    for to in (0, 3):
        gap = Gap(0, to, "recreated")
        assert await range_told(gap=gap, lanes=lanes) == (0, to)
        assert await range_told(gap=gap, starts=[a_start(StartKind.NEW, 1)]) == (0, to)


async def test_others_get_their_turn_while_many_are_looked_at() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    many = [a_subscription("*", id_=f"{n:024x}") for n in range(3 * AT_ONCE)]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(other())
        found = await told(*many)
        assert turns == 3
        task.cancel()
    assert [each.subscription_id for each in found] == [each.id for each in many]
