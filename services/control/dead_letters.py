"""Deliveries that were given up: look at them, by cause too, and let go of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.control.access import Caller
from services.control.audit import Audit
from services.control.checks import Checker, near, parse_moment
from services.kernel.attempt import Outcome
from services.kernel.dead_letter import Cause, DeadFilter, DeadLetter
from services.kernel.errors import Fault
from services.kernel.event import Json
from services.kernel.ids import SubscriptionId, is_id
from services.kernel.ports.control import DeadLetterStore
from services.kernel.registration import Page

FIELDS = ("project_id", "subscription", "outcome", "status", "type", "from", "to")
"""What dead letters are filtered by, in a query and in a body."""
MAX_CAUSES = 500
MAX_REASON = 500
LEAST_STATUS, MOST_STATUS = 100, 599


class DeadLetters:
    """What was given up."""

    def __init__(self, *, store: DeadLetterStore, audit: Audit) -> None:
        self._store = store
        self._audit = audit

    async def page(self, caller: Caller, asked: DeadFilter, page: Page) -> Sequence[DeadLetter]:
        """Return those that the caller may see, newest first."""
        found: list[DeadLetter] = []
        for seen in _each(caller, asked):
            found += await self._store.page(seen, page)
        return sorted(found, key=lambda letter: letter.id, reverse=True)[: page.limit]

    async def causes(self, caller: Caller, asked: DeadFilter) -> Sequence[Cause]:
        """Return who failed how, the most first."""
        found: list[Cause] = []
        for seen in _each(caller, asked):
            found += await self._store.causes(seen, limit=MAX_CAUSES)
        return sorted(found, key=lambda cause: cause.count, reverse=True)[:MAX_CAUSES]

    async def discard(self, caller: Caller, body: object) -> int:
        """Let go of those that a filter names, for a reason. Raises FaultsError."""
        title = "The request to discard is not valid"
        check = Checker(title, body, known=(*FIELDS, "reason"))
        asked = filter_of(check)
        check.text("reason", required=True, longest=MAX_REASON)  # kept in the audit
        check.finish()
        seen = visible(caller, asked)
        if seen is None:
            return 0
        async with self._audit.change(caller, "dead_letters") as change:
            count = await self._store.discard(seen)
            written = {**check.body, "discarded": count}
            id_ = seen.subscription_id or seen.project_id or "all"
            change.note("discard", id_, project_id=seen.project_id, before=written, after=None)
        return count


def visible(caller: Caller, asked: DeadFilter) -> DeadFilter | None:
    """Return the filter as far as the caller may see; None: nothing. Raises as `the_one` does."""
    if caller.project_id is None:
        return asked
    if asked.project_id not in (None, caller.project_id):
        return None
    subscription_id = caller.the_one(asked.subscription_id, pointer="/subscription")
    return asked._replace(project_id=caller.project_id, subscription_id=subscription_id)


def _each(caller: Caller, asked: DeadFilter) -> Sequence[DeadFilter]:
    """Return the filter as far as the caller may see: one for each subscription of a link."""
    if caller.project_id is None:
        return [asked]
    if asked.project_id not in (None, caller.project_id):
        return []
    mine = asked._replace(project_id=caller.project_id)
    return [mine._replace(subscription_id=id_) for id_ in caller.narrowed(asked.subscription_id)]


def filter_of(check: Checker) -> DeadFilter:
    """Return what a body asks for; faults are left in *check*."""
    found, faults = parse({name: check.body.get(name) for name in FIELDS})
    for name, code, message in faults:
        check.fault(name, code, message)
    return found


def filter_of_query(query: Mapping[str, str]) -> tuple[DeadFilter, list[Fault]]:
    """Return what a query asks for, and what is wrong with it."""
    found, faults = parse({name: query.get(name) for name in FIELDS})
    return found, [Fault(code, message, parameter=name) for name, code, message in faults]


def parse(values: Json) -> tuple[DeadFilter, list[tuple[str, str, str]]]:
    """Return the filter that *values* name, and (field, code, message) of what is wrong."""
    faults: list[tuple[str, str, str]] = []
    for name in ("project_id", "subscription"):
        value = values[name]
        if value is not None and not (isinstance(value, str) and is_id(value)):
            faults.append((name, "id", "an id is 24 hex characters"))
    outcome = values["outcome"]
    if outcome is not None and outcome not in list(Outcome):
        message = (
            f"{outcome!r} is not one of {', '.join(Outcome)}{near(str(outcome), list(Outcome))}"
        )
        faults.append(("outcome", "choice", message))
    if values["type"] is not None and not isinstance(values["type"], str):
        faults.append(("type", "type", "expected a string: the name as the webhook asked for it"))
    status, status_class = _status(values["status"], faults)
    since, until = (_moment(name, values[name], faults) for name in ("from", "to"))
    if since is not None and until is not None and since >= until:
        faults.append(("to", "range", "from must lie before to"))
    if faults:
        return DeadFilter(), faults
    return DeadFilter(
        project_id=values["project_id"],
        subscription_id=values["subscription"] and SubscriptionId(values["subscription"]),
        outcome=outcome,
        status=status,
        status_class=status_class,
        type=values["type"],
        since=since,
        until=until,
    ), []


Wrong = list[tuple[str, str, str]]


def _status(value: object, faults: Wrong) -> tuple[int | None, int | None]:
    """Return a status, or the class that `5xx` names."""
    text = str(value)
    if value is None:
        return None, None
    if len(text) == len("5xx") and text[0] in "12345" and text[1:] == "xx":
        return None, int(text[0])
    if text.isascii() and text.isdigit() and LEAST_STATUS <= int(text[:4]) <= MOST_STATUS:
        return int(text), None
    faults.append(("status", "status", "write a status as 503, or a class of them as 5xx"))
    return None, None


def _moment(name: str, value: object, faults: Wrong) -> datetime | None:
    found = parse_moment(value)
    if value is not None and found is None:
        faults.append((name, "time", "write a time as 2026-03-17T09:40:51.000Z"))
    return found
