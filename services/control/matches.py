"""Why and why not: which subscriptions of its project get an event of the log."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from services.control.access import Caller
from services.control.checks import parse_moment
from services.control.filters import Filters
from services.control.journal import Journal
from services.control.subscriptions import Subscriptions
from services.kernel.event import Event
from services.kernel.ids import ProjectId
from services.kernel.operation import is_about
from services.kernel.registration import Registration
from services.kernel.subscription import Status
from services.match.fences import Fences
from services.match.filters import Explanation, explain, stored
from services.match.types import asked_name


class Reason(StrEnum):
    """Why a subscription doesn't get an event."""

    TYPE = "type"  #: none of its patterns selects the type
    FILTER = "filter"  #: a clause of its filter says no
    BROKEN = "broken"  #: its filter can't be read any more
    ABOUT_ITSELF = "about_itself"  #: nobody is told of its own delivery
    CREATED_LATER = "created_later"  #: it began after the event
    PAUSED = "paused"  #: by its owner; it gets the event when it goes on
    DISABLED = "disabled"  #: by us


class Answered(NamedTuple):
    """What becomes of an event for one subscription."""

    registration: Registration
    asked: str | None
    """The name in which it is wanted; None: it isn't."""
    reason: Reason | None
    """None: it gets the event."""
    explanation: Explanation | None
    """Where its filter says no."""


class Matches:
    """Asks each subscription of a project."""

    def __init__(self, *, journal: Journal, subscriptions: Subscriptions, filters: Filters) -> None:
        self._journal = journal
        self._subscriptions = subscriptions
        self._filters = filters

    async def of(
        self, caller: Caller, topic: str, partition: str, offset: str
    ) -> tuple[Event, Sequence[Answered]]:
        """Return the event at a position and what becomes of it, who gets it first.

        Raises NotFoundError.
        """
        event = (await self._journal.get(caller, topic, partition, offset)).event
        project_id = ProjectId(event.project_id)
        rows, _ = await self._subscriptions.window(project_id, offset=0, limit=None)
        fences = await self._filters.fences(project_id)
        seen = [row for row in rows if caller.may_see_of(row.project_id, row.id)]
        answers = [answer(row, event, fences) for row in seen]
        return event, sorted(answers, key=lambda each: each.reason is not None)


def answer(registration: Registration, event: Event, fences: Fences) -> Answered:
    """Return what becomes of *event* for one subscription, as it is now."""
    asked = asked_name(registration.types, event.type, registration.profile)
    if asked is None:
        return Answered(registration, None, Reason.TYPE, None)
    if registration.filter is not None:
        tree = stored(registration.filter)
        if tree is None:
            return Answered(registration, asked, Reason.BROKEN, None)
        explanation = explain(tree, event.body, fences=fences)
        if not explanation.matched:
            return Answered(registration, asked, Reason.FILTER, explanation)
    return Answered(registration, asked, _held_back(registration, event), None)


def _held_back(registration: Registration, event: Event) -> Reason | None:
    if is_about(event, registration.id):
        return Reason.ABOUT_ITSELF
    if event.timestamp_ms < _begins_ms(registration):
        return Reason.CREATED_LATER
    if registration.status is Status.PAUSED:
        return Reason.PAUSED
    return Reason.DISABLED if registration.status is Status.DISABLED else None


def _begins_ms(registration: Registration) -> float:
    """Return from when on it gets events, Unix milliseconds."""
    if registration.start_from == "earliest":
        return 0.0
    begins = parse_moment(registration.start_from) or registration.created_at
    return begins.timestamp() * 1000
