"""Operational events: what the service says about itself, on `webhooks.ops`. The catalogue's shapes.

They are delivered like any other event, but never about their own delivery: what fails or dies of
`webhook.*` makes no further event, and nobody is told of themselves (`is_about`).

What changes in Postgres and is told of is kept there in the same transaction (`Kept`), until Kafka has
it: whoever is killed in between has told of it nevertheless.
"""

from datetime import datetime
from typing import Self

from services.kernel.clock import rfc3339
from services.kernel.dead_letter import Resend
from services.kernel.event import Event, Json, Partition
from services.kernel.geofence import Geofence
from services.kernel.ids import SubscriptionId
from services.kernel.replay import Replay
from services.kernel.subscription import Subscription
from services.kernel.value import value

OPS_TOPIC = "webhooks.ops"
OPERATIONAL = "webhook."
REASONS = {"gone": "http_410"}
"""Ours for switching one off, in the words of the catalogue."""


@value
class Operation:
    """One operational event, before it gets its id."""

    type: str
    """Of the catalogue: `webhook.disabled` …"""
    project_id: str
    subscription_id: str
    data: Json
    """Without `subscription_id`."""

    @property
    def key(self) -> bytes:
        """Return the record's key: about one subscription in order."""
        return f"{self.project_id}:{self.subscription_id}".encode()

    def event(self, *, id_: str, now: datetime) -> Json:
        """Return the event as it is written."""
        return {
            "id": id_,
            "type": self.type,
            "created_at": rfc3339(now),
            "project_id": self.project_id,
            "user": None,
            "data": {"subscription_id": self.subscription_id, **self.data},
            "meta": {"ordering_key": self.subscription_id, "origin": "system"},
        }


@value
class Kept:
    """An operational event that Postgres has, and Kafka not for sure."""

    number: int
    """In the order in which they are told."""
    operation: Operation
    at: datetime

    @property
    def id(self) -> str:
        """Return the event's id: the same however often it is written."""
        return f"{int(self.at.timestamp()):08x}{self.number:016x}"


@value
class About:
    """Which subscription it is about."""

    project_id: str
    subscription_id: str
    url: str = ""
    """Where the event names it."""

    @classmethod
    def of(cls, subscription: Subscription) -> Self:
        """Return what is said of *subscription*."""
        return cls(
            project_id=subscription.project_id,
            subscription_id=subscription.id,
            url=subscription.url,
        )


def is_about(event: Event, subscription_id: SubscriptionId) -> bool:
    """Tell whether *event* is about the very subscription it would go to: it would answer each
    failure with another request."""
    data = event.body["data"]
    return event.type.startswith(OPERATIONAL) and data.get("subscription_id") == subscription_id


def failing(
    about: About,
    *,
    reason: str,
    since: datetime,
    failure_count: int = 0,
    backlog: int = 0,
    oldest_age_seconds: float | None = None,
) -> Operation:
    """A first delivery was given up, nothing got through for minutes, or nothing can match."""
    age = {} if oldest_age_seconds is None else {"oldest_age_seconds": round(oldest_age_seconds, 1)}
    return _operation(
        "failing",
        about,
        url=about.url,
        reason=reason,
        failure_count=failure_count,
        since=rfc3339(since),
        backlog=backlog,
        **age,
    )


def vanished(about: About, geofence: Geofence) -> Operation:
    """What its filter names was deleted: there it matches nothing any more."""
    return failing(about, reason="geofence_deleted", since=geofence.changed_at)


def recovered(about: About, *, since: datetime, backlog: int) -> Operation:
    """What was failing *since* then is well, and its backlog is gone."""
    return _operation("recovered", about, url=about.url, since=rfc3339(since), backlog=backlog)


def disabled(about: About, *, reason: str, failure_count: int, since: datetime | None) -> Operation:
    """We switched it off."""
    begun = {} if since is None else {"since": rfc3339(since)}
    return _operation(
        "disabled",
        about,
        url=about.url,
        reason=REASONS.get(reason, reason),
        failure_count=failure_count,
        **begun,
    )


def gap(
    about: About,
    partition: Partition,
    *,
    from_offset: int,
    to_offset: int,
    from_time: datetime | None,
    to_time: datetime | None,
    reason: str,
) -> Operation:
    """[from_offset, to_offset) isn't delivered: of a lane, or of the feed of a whole partition.

    `retention` passed a cursor, a person `skipped` it, or the log was `recreated`: of what was in the
    one before nobody can say where it was, and the range is of the new one.
    """
    times = {"from_time": from_time, "to_time": to_time}
    return _operation(
        "gap",
        about,
        topic=partition.topic,
        partition=partition.number,
        from_offset=from_offset,
        to_offset=to_offset,
        **{name: rfc3339(time) for name, time in times.items() if time is not None},
        reason=reason,
    )


def replay_ended(replay: Replay) -> Operation:
    """A replay is done, cancelled or failed."""
    return _finished(
        About(project_id=replay.project_id, subscription_id=replay.subscription_id),
        replay_id=replay.id,
        state=replay.state.value,
        total=replay.sent + replay.dead,
        delivered=replay.sent,
        dead=replay.dead,
        started_at=replay.started_at or replay.created_at,
        finished_at=replay.ended_at or replay.created_at,
    )


def resend_ended(job: Resend, about: About) -> Operation:
    """A bulk resend to one subscription is done, cancelled or failed."""
    return _finished(
        about,
        replay_id=job.id,
        state=job.state.value,
        total=job.moved + job.missing,
        delivered=job.delivered,
        dead=job.dead,
        started_at=job.started_at or job.created_at,
        finished_at=job.finished_at or job.created_at,
    )


def secret_rotated(about: About, *, previous_expires_at: datetime) -> Operation:
    """A signing secret was rotated; the one before signs until then."""
    return _operation("secret_rotated", about, previous_expires_at=rfc3339(previous_expires_at))


def _finished(
    about: About,
    *,
    replay_id: str,
    state: str,
    total: int,
    delivered: int,
    dead: int,
    started_at: datetime,
    finished_at: datetime,
) -> Operation:
    return _operation(
        "replay_finished",
        about,
        replay_id=replay_id,
        state=state,
        total=total,
        delivered=delivered,
        dead=dead,
        started_at=rfc3339(started_at),
        finished_at=rfc3339(finished_at),
    )


def _operation(name: str, about: About, **data: object) -> Operation:
    return Operation(
        type=OPERATIONAL + name,
        project_id=about.project_id,
        subscription_id=about.subscription_id,
        data=data,
    )
