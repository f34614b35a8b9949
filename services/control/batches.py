"""Batches made anew from the log, byte for byte, to be looked at or sent again.

A batch is kept nowhere once it is acknowledged, but its id is the hash of its subscription, its partition
and the offsets of its events. So events are read on from the first, as long as they fit
into what was sent, until the id is that of the attempt. Who has changed filter, profile or names since
gets other bytes, or other events: where the length isn't that of the request, nothing is made up.
"""

from contextlib import aclosing

from services.control.journal import Journal
from services.control.view import as_matched
from services.control.written import written
from services.deliver.batch import batch_id, joined
from services.kernel.delivery import Delivery, Trigger
from services.kernel.event import Event
from services.kernel.operation import is_about
from services.kernel.recorded import Recorded
from services.kernel.registration import Registration
from services.kernel.subscription import Mode
from services.match.index import Matcher


class Batches:
    """Reads what they held."""

    def __init__(self, *, journal: Journal, max_body_bytes: int) -> None:
        self._journal = journal
        self._max_body_bytes = max_body_bytes

    async def again(self, registration: Registration, attempt: Recorded) -> Delivery | None:
        """Return the batch that *attempt* sent to its subscription.

        None: it is none, or can't be made any more. Raises BrokerGoneError and StoreGoneError.
        """
        position = attempt.position
        if position is None or registration.delivery.mode is not Mode.BATCH:
            return None
        if attempt.subscription_id != registration.id:
            return None
        matcher = await self._journal.matcher(registration)
        found: list[Delivery] = []
        held = 0
        async with aclosing(self._journal.following(position)) as events:
            async for event in events:
                delivery = self._delivery(event, registration, matcher)
                if delivery is None:
                    if not found:
                        return None  # it began with this one, which doesn't match any more
                    continue
                found.append(delivery)
                held += len(delivery.body)
                offsets = (each.position.offset for each in found)
                id_ = batch_id(registration.id, position.partition, offsets)
                if id_ == attempt.event_id:
                    batch = joined(found, as_matched(registration))
                    return batch if len(batch.body) == attempt.size else None
                if held > attempt.size:
                    return None
        return None

    def _delivery(
        self, event: Event, registration: Registration, matcher: Matcher
    ) -> Delivery | None:
        for subscription, name in matcher.match(event):
            if not is_about(event, subscription.id):
                return written(
                    event,
                    registration,
                    asked=name,
                    trigger=Trigger.RESEND,
                    max_body_bytes=self._max_body_bytes,
                    as_member=True,
                )
        return None
