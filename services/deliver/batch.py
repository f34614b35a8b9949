"""Several events in one request: a JSON array, signed once, under an id of its own. Pure.

A failed batch is sent again byte for byte, from memory or from its row: `joined` is called only once.
Each item carries its event's id, whatever the profile, so that a receiver can recognise repeats.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import orjson

from services.kernel.about import together
from services.kernel.delivery import Delivery, Member
from services.kernel.event import Partition
from services.kernel.subscription import Grouping, Ordered, Profile, Subscription

ORDER = "*"
"""The key shared by all batches of an ordered subscription on a partition: they go one after another."""
MIXED = "batch"
"""`planner-event-type` of a batch with events of more than one type."""
CLOUDEVENTS = "application/cloudevents-batch+json; charset=utf-8"
WITHOUT_ID = frozenset({Profile.ROUTAL_2, Profile.STANDARD_WEBHOOKS})
"""Profiles whose body doesn't contain the event's id."""
BRACKETS = 2


def batch_id(subscription_id: str, partition: Partition, offsets: Iterable[int]) -> str:
    """Return the `webhook-id`: 24 hex derived from its events, the same however often it is made.

    From all its events: when types are added and it is read again, more may lie between the same first
    and last.
    """
    held = ",".join(map(str, offsets))
    text = f"{subscription_id}|{partition.topic}|{partition.number}|{held}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def fits(grouping: Grouping, *, count: int, held: int, size: int) -> bool:
    """Tell whether an event of *size* bytes may join *count* of *held* bytes; the first always may."""
    if count == 0:
        return True
    whole = BRACKETS + held + count + size
    return count < (grouping.max_events or 1) and whole <= (grouping.max_bytes or 0)


def joined(deliveries: Sequence[Delivery], subscription: Subscription) -> Delivery:
    """Return one delivery of all of these, which are of one partition, ascending."""
    first = deliveries[0]
    types = {delivery.type for delivery in deliveries}
    members = tuple(Member(d.position.offset, len(d.body)) for d in deliveries)
    offsets = (member.offset for member in members)
    return replace(
        first,
        event_id=batch_id(subscription.id, first.position.partition, offsets),
        type=first.type if len(types) == 1 else MIXED,
        about=together([each.event_id for each in deliveries], [each.about for each in deliveries]),
        body=b"[" + b",".join(_item(each, subscription.profile) for each in deliveries) + b"]",
        content_type=_content_type(first, subscription.profile),
        traceparent=first.traceparent if len(deliveries) == 1 else None,
        order=None if subscription.ordered is Ordered.NONE else ORDER,
        conflated=sum(delivery.conflated for delivery in deliveries),
        members=members,
    )


def alone(delivery: Delivery, profile: Profile) -> Delivery:
    """Return *delivery* as a batch of one, under its own id: a replay's, or a test's."""
    return replace(
        delivery,
        body=b"[" + _item(delivery, profile) + b"]",
        content_type=_content_type(delivery, profile),
    )


def _item(delivery: Delivery, profile: Profile) -> bytes:
    if profile not in WITHOUT_ID:
        return delivery.body
    return b'{"id":' + orjson.dumps(delivery.event_id) + b"," + delivery.body[1:]


def _content_type(delivery: Delivery, profile: Profile) -> str:
    return CLOUDEVENTS if profile is Profile.CLOUDEVENTS else delivery.content_type
