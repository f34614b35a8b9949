"""Batches: the id, the bytes, what fits."""

from dataclasses import replace

import orjson
import pytest

from services.deliver.batch import CLOUDEVENTS, MIXED, ORDER, alone, batch_id, fits, joined
from services.kernel.delivery import Delivery, Member
from services.kernel.event import Position
from services.kernel.subscription import Grouping, Mode, Ordered, Profile
from services.render import render
from tests.support.factories import PARTITION, a_subscription, an_event

SUBSCRIPTION = a_subscription("*", delivery=Grouping(Mode.BATCH, max_events=3, max_bytes=100))


def a_delivery(offset: int, type_: str = "plan.created", *, profile: Profile) -> Delivery:
    event = an_event(type_, offset=offset, id=f"{offset:024x}")
    body, content_type = render(event, profile=profile, asked=type_, expand=(), max_bytes=1 << 20)
    return Delivery(
        position=Position(PARTITION, offset),
        epoch=1,
        subscription_id=SUBSCRIPTION.id,
        event_id=event.id,
        type=type_,
        body=body,
        content_type=content_type,
        key="k",
        project_id=event.project_id,
        timestamp_ms=0,
        traceparent="00-1-2-01",
    )


@pytest.mark.parametrize("profile", list(Profile))
def test_each_item_carries_its_events_id_in_the_order_of_the_log(profile: Profile) -> None:
    subscription = replace(SUBSCRIPTION, profile=profile)
    batch = joined([a_delivery(n, profile=profile) for n in (3, 5, 9)], subscription)
    items = orjson.loads(batch.body)
    assert [item["id"] for item in items] == [f"{n:024x}" for n in (3, 5, 9)]
    assert batch.content_type.startswith("application/")
    assert (batch.content_type == CLOUDEVENTS) is (profile is Profile.CLOUDEVENTS)


def test_its_id_is_of_its_subscription_partition_and_offsets() -> None:
    parts = [a_delivery(n, profile=Profile.PLANNER_2022) for n in (3, 5, 9)]
    batch = joined(parts, SUBSCRIPTION)
    assert batch.event_id == batch_id(SUBSCRIPTION.id, PARTITION, (3, 5, 9))
    assert batch.event_id != joined(parts[:2], SUBSCRIPTION).event_id
    assert len(batch.event_id) == 24
    assert batch.position == parts[0].position
    assert [part.offset for part in batch.members] == [3, 5, 9]
    assert batch.parts == batch.members
    assert set(batch.about.also) == {f"e:{n:024x}" for n in (3, 5, 9)}
    assert parts[0].parts == (Member(3, len(parts[0].body)),)


def test_what_it_holds_between_first_and_last_counts() -> None:
    parts = [a_delivery(n, profile=Profile.PLANNER_2022) for n in (3, 5, 9)]
    narrow = joined([parts[0], parts[2]], SUBSCRIPTION)  # before types were added
    assert joined(parts, SUBSCRIPTION).event_id != narrow.event_id


def test_batches_of_an_ordered_one_go_one_after_the_other() -> None:
    parts = [a_delivery(3, profile=Profile.PLANNER_2022)]
    assert joined(parts, SUBSCRIPTION).order is None
    assert joined(parts, replace(SUBSCRIPTION, ordered=Ordered.KEY)).order == ORDER


def test_its_type_is_that_of_its_events_where_they_agree() -> None:
    profile = Profile.PLANNER_2022
    same = [a_delivery(n, profile=profile) for n in (3, 5)]
    assert joined(same, SUBSCRIPTION).type == "plan.created"
    mixed = [*same, a_delivery(6, "route.started", profile=profile)]
    assert joined(mixed, SUBSCRIPTION).type == MIXED


def test_a_batch_of_one_keeps_the_events_id() -> None:
    delivery = a_delivery(3, profile=Profile.STANDARD_WEBHOOKS)
    batch = alone(delivery, Profile.STANDARD_WEBHOOKS)
    assert batch.event_id == delivery.event_id
    assert batch.is_batch
    assert not delivery.is_batch
    assert [item["id"] for item in orjson.loads(batch.body)] == [delivery.event_id]


@pytest.mark.parametrize(
    ("sizes", "size", "joins"),
    [
        ([], 5_000, True),  # too large for any: alone
        ([10, 10], 10, True),
        ([10, 10, 10], 1, False),  # three events are enough
        ([40], 57, True),  # 2 brackets, a comma: 100
        ([40], 58, False),
    ],
)
def test_what_fits_is_bounded_in_count_and_bytes(sizes: list[int], size: int, joins: bool) -> None:  # noqa: FBT001
    found = fits(SUBSCRIPTION.delivery, count=len(sizes), held=sum(sizes), size=size)
    assert found is joins
