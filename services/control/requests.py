"""A request as it went out, written again: from the log, or from what is kept of a failure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from services.control.access import Caller
from services.control.batches import Batches
from services.control.fields import mask
from services.control.journal import Journal
from services.control.subscriptions import Subscriptions
from services.control.view import Asked
from services.control.written import written
from services.kernel.delivery import Delivery, Trigger
from services.kernel.errors import NotFoundError
from services.kernel.event import Event
from services.kernel.ids import SubscriptionId
from services.kernel.ports.history import HistoryStore
from services.kernel.recorded import Recorded
from services.kernel.registration import Registration
from services.kernel.subscription import Subscription

Headers = Callable[[Delivery, Subscription, float], Mapping[str, str]]
"""The headers of a request that is made at a moment, Unix seconds."""


class Request(NamedTuple):
    """What was sent."""

    url: str
    headers: Mapping[str, str]
    """Signed with the secrets of today; static ones masked."""
    body: bytes


class Requests:
    """Writes requests again."""

    def __init__(
        self,
        *,
        subscriptions: Subscriptions,
        journal: Journal,
        batches: Batches,
        store: HistoryStore,
        headers: Headers,
        max_body_bytes: int,
    ) -> None:
        self._subscriptions = subscriptions
        self._journal = journal
        self._batches = batches
        self._store = store
        self._headers = headers
        self._max_body_bytes = max_body_bytes

    async def of(
        self, caller: Caller, attempts: Sequence[Recorded], *, signed_at: float | None = None
    ) -> tuple[Event | None, Request | None]:
        """Return the event of a delivery, and its newest request.

        It is signed for the moment of that attempt, or for *signed_at* (Unix seconds).

        None: its subscription is deleted, retention passed the event, or it was a test call.
        """
        newest = attempts[-1]
        event = await self._event(caller, newest)
        try:
            registration = await self._subscriptions.get(caller, newest.subscription_id)
        except NotFoundError:
            return event, None
        delivery = await self._delivery(caller, registration, event, newest)
        if delivery is None:
            return event, None
        delivery = replace(
            delivery,
            number=newest.number,
            trigger=Trigger(newest.trigger),
            replay=newest.replay,
            retry_reason=attempts[-2].outcome if newest.number > 1 < len(attempts) else None,
        )
        subscription = await self._subscriptions.as_sent_to(registration)
        headers = dict(self._headers(delivery, subscription, signed_at or newest.started_at))
        headers |= {name: mask(text) for name, text in registration.headers}
        return event, Request(registration.url, headers, delivery.body)

    async def _event(self, caller: Caller, attempt: Recorded) -> Event | None:
        if attempt.position is None or attempt.trigger == Trigger.TEST:
            return None
        partition, offset = attempt.position
        try:
            entry = await self._journal.get(
                caller, partition.topic, str(partition.number), str(offset)
            )
        except NotFoundError:
            return None
        return entry.event if entry.event.id == attempt.event_id else None

    async def _delivery(
        self, caller: Caller, registration: Registration, event: Event | None, attempt: Recorded
    ) -> Delivery | None:
        """Return what went out, from the row of a failure or the log."""
        row = await self._store.body(attempt.subscription_id, attempt.event_id)
        if row is not None:
            return _of_row(attempt, *row)
        if event is None:
            return await self._batches.again(registration, attempt)
        view = await self._journal.view(caller, Asked(subscription=registration.id))
        entry = view.entry(event)
        return written(
            event,
            registration,
            asked=event.type if entry is None else entry.type,
            trigger=Trigger.RESEND,
            max_body_bytes=self._max_body_bytes,
        )


def _of_row(attempt: Recorded, type_: str, body: bytes, content_type: str) -> Delivery | None:
    if attempt.position is None:
        return None
    return Delivery(
        position=attempt.position,
        epoch=0,
        subscription_id=SubscriptionId(attempt.subscription_id),
        event_id=attempt.event_id,
        type=type_,
        body=body,
        content_type=content_type,
        key=attempt.key,
        project_id=attempt.project_id,
        timestamp_ms=attempt.produced_ms,
    )
