"""Subscriptions: make, change, pause, resume, delete."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from services.control import certificates
from services.control.access import Caller, ForbiddenError
from services.control.audit import Audit, Change
from services.control.checks import Checker, parse_moment
from services.control.drafts import INVALID, Draft, Drafts
from services.control.fields import (
    compared,
)
from services.control.filters import Filters
from services.control.starts import Starts
from services.deliver.signing import secret_text
from services.kernel.clock import Clock, rfc3339
from services.kernel.errors import (
    Fault,
    FaultsError,
    NotFoundError,
    WebhooksError,
)
from services.kernel.event import Json
from services.kernel.ids import ProjectId, SubscriptionId, is_id
from services.kernel.lane import Start, StartKind
from services.kernel.ports.control import RegistrationStore
from services.kernel.registration import Page, Registration
from services.kernel.subscription import Profile, Status, Subscription

TRIES = 5
NOUN = "subscription"


class StaleError(WebhooksError):
    """The subscription was changed meanwhile: read it again."""


class Created(NamedTuple):
    """A new subscription, and what its owner is shown this once."""

    registration: Registration
    secret: str


class Deleted(NamedTuple):
    """A subscription as it last was."""

    registration: Registration
    at: datetime


class Subscriptions:
    """All that owners do with their subscriptions."""

    def __init__(
        self,
        *,
        store: RegistrationStore,
        drafts: Drafts,
        filters: Filters,
        starts: Starts,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._store = store
        self._drafts = drafts
        self._filters = filters
        self._starts = starts
        self._audit = audit
        self._clock = clock

    async def create(self, caller: Caller, body: object) -> Created:
        """Make a subscription. Raises FaultsError, NotFoundError."""
        if caller.webhooks is not None:
            raise ForbiddenError("this link shows existing webhooks and can't create new ones")
        (created,) = await self.create_many(caller, [body], pointers=[""])
        return created

    async def create_many(
        self,
        caller: Caller,
        bodies: Sequence[object],
        *,
        pointers: Sequence[str],
        paused: Sequence[bool] | None = None,
        profile: Profile = Profile.PLANNER_2022,
        noted: Sequence[Fault] = (),
    ) -> list[Created]:
        """Make all of them, or none. *profile* is for those that don't name one.

        *noted* is what a caller found already: told with the rest, and nothing is made then.
        """
        drafts = [
            Draft(body, pointer, Status.PAUSED if paused and paused[n] else Status.ACTIVE)
            for n, (body, pointer) in enumerate(zip(bodies, pointers, strict=True))
        ]
        rows = await self._drafts.new(caller, drafts, profile=profile, noted=noted)
        # Taken before the answer: what is produced after it is not missed.
        starts = await self._starts.of([registration for registration, _ in rows])
        async with self._audit.change(caller, NOUN) as change:
            await self._store.add(rows, starts=starts)
            for registration, _ in rows:
                _note(change, "create", None, registration)
        return [Created(registration, secret_text(new.key)) for registration, new in rows]

    async def get(self, caller: Caller, id_: str) -> Registration:
        """Return one. Raises NotFoundError, also for another project's."""
        found = await self._store.get(SubscriptionId(id_)) if is_id(id_) else None
        if found is None or not caller.may_see_of(found.project_id, id_):
            raise NotFoundError("subscription", id_)
        return found

    async def page(
        self, caller: Caller, *, filters: Mapping[str, str], page: Page
    ) -> Sequence[Registration]:
        """Return those that the caller may see, newest first."""
        project = caller.project_id
        named = filters.get("project_id")
        if project is None and named is not None:
            project = ProjectId(named)
        elif named is not None and named != project:
            return []
        return await self._store.page(
            project_id=project, among=caller.webhooks, filters=filters, page=page
        )

    async def window(
        self, project_id: ProjectId, *, offset: int, limit: int | None
    ) -> tuple[Sequence[Registration], int]:
        """Return some of a project, newest first, and how many there are."""
        return await self._store.window(project_id, offset=offset, limit=limit)

    async def update(
        self, caller: Caller, id_: str, body: object, *, if_version: int | None = None
    ) -> Registration:
        """Change what *body* names, as JSON merge patch. Raises FaultsError, StaleError."""
        before = await self.get(caller, id_)
        values = await self._drafts.changes(before, body)
        if caller.webhooks is not None and before.filter is not None:
            _keep_filter(before, values)
        return await self._change(
            caller, "update", before, lambda now: replace(now, **values), if_version
        )

    async def revise(
        self,
        caller: Caller,
        id_: str,
        body: object,
        *,
        enabled: bool | None,
        forgiven: bool,
        noted: Sequence[Fault] = (),
    ) -> Registration:
        """Change fields, switch and failure count at once: all that *body* names, or nothing.

        *enabled* False pauses what is active; what we disabled stays disabled, with its reason, so
        that a webhook sent back as it was read changes nothing. *forgiven* counts failures anew, and
        re-enables what we disabled, not what its owner paused. *noted* as with `create_many`.
        """
        before = await self.get(caller, id_)
        values = await self._drafts.changes(before, body, noted)

        def change(now: Registration) -> Registration:
            after = replace(now, **values)
            if forgiven:
                after = self._without_failures(after)
            if enabled:
                return self._with_status(after, Status.ACTIVE)
            if enabled is False and after.status is Status.ACTIVE:
                return self._with_status(after, Status.PAUSED)
            return after

        return await self._change(caller, "update", before, change)

    async def pause(self, caller: Caller, id_: str) -> Registration:
        """Stop sending; nothing is lost meanwhile. Pausing twice is fine."""
        before = await self.get(caller, id_)
        return await self._change(
            caller, "pause", before, lambda now: self._with_status(now, Status.PAUSED)
        )

    async def resume(self, caller: Caller, id_: str, body: Json | None = None) -> Registration:
        """Send again; re-enables a disabled one too. Raises FaultsError.

        From where it stopped, or from now or a time on: then what lies before and wasn't delivered is
        given up, and what lies behind was maybe delivered and is sent again.
        """
        before = await self.get(caller, id_)
        asked = _resumed_from(body, now=self._clock.now())
        starts: Sequence[Start] = ()
        if asked is not None:
            starts = await self._starts.anew(before.id, asked, kind=StartKind.REWIND)
        return await self._change(
            caller,
            "resume",
            before,
            lambda now: self._with_status(now, Status.ACTIVE),
            starts=starts,
            noted={"from": asked} if asked is not None else None,
        )

    async def delete(self, caller: Caller, id_: str, *, if_version: int | None = None) -> Deleted:
        """Delete it with what waits for it. Raises NotFoundError, also the second time; StaleError."""
        found = await self.get(caller, id_)
        if if_version is not None and found.version != if_version:
            raise StaleError
        at = self._clock.now()
        async with self._audit.change(caller, NOUN) as change:
            if not await self._store.delete(found.id, at=at):
                raise NotFoundError("subscription", id_)
            _note(change, "delete", found, None)
        return Deleted(found, at)

    async def warnings(self, registration: Registration) -> Sequence[Fault]:
        """Return what is odd about its filter now, and that its certificate ends."""
        odd = await self._filters.warnings(registration)
        return [*odd, *certificates.warnings(registration, now=self._clock.now())]

    async def as_sent_to(self, registration: Registration) -> Subscription:
        """Return a subscription as the sender needs it, secrets included."""
        return Subscription(
            id=registration.id,
            project_id=registration.project_id,
            url=registration.url,
            types=registration.types,
            keys=tuple(await self._store.signing_keys(registration.id)),
            profile=registration.profile,
            expand=registration.expand,
            headers=registration.headers,
            client_certificate=registration.client_certificate,
            timeout_seconds=registration.timeout_seconds,
        )

    async def _change(
        self,
        caller: Caller,
        action: str,
        before: Registration,
        change: Callable[[Registration], Registration],
        if_version: int | None = None,
        *,
        starts: Sequence[Start] = (),
        noted: Json | None = None,
    ) -> Registration:
        """Apply *change* to what is stored, again where somebody else was faster.

        Where there are *starts*, it begins anew there; where types come to it, from the present ends.
        *noted* is what the audit says beside what differs.
        """
        for _ in range(TRIES):
            if if_version is not None and before.version != if_version:
                raise StaleError
            after = change(before)
            if after == before and not starts:
                return before
            if not starts and set(after.types) - set(before.types):
                starts = await self._starts.anew(before.id, "now", kind=StartKind.TYPES)
            after = replace(after, updated_at=self._clock.now())
            async with self._audit.change(caller, NOUN) as entry:
                if await self._store.replace(after, version=before.version, starts=starts):
                    _note(entry, action, before, after, noted)
                    return replace(after, version=before.version + 1)
            again = await self._store.get(before.id)
            if again is None:
                raise NotFoundError("subscription", before.id)
            before = again
        raise StaleError

    def _with_status(self, now: Registration, status: Status) -> Registration:
        if now.status is status:
            return now
        at = self._clock.now()
        reason = "by its owner" if status is Status.PAUSED else None
        return replace(now, status=status, status_reason=reason, status_at=at)

    def _without_failures(self, now: Registration) -> Registration:
        if now.failure_count == 0 and now.status is not Status.DISABLED:
            return now  # callers send zero with all else that they were given
        enabled = self._with_status(now, Status.ACTIVE) if now.status is Status.DISABLED else now
        return replace(enabled, failures_reset_at=self._clock.now(), failure_count=0)


def _resumed_from(body: Json | None, *, now: datetime) -> str | None:
    """Return from where to send again: `now` or a time; None: from where it stopped."""
    check = Checker("The request to resume is not valid", body or {}, known=("from",))
    asked = check.body.get("from")
    moment = parse_moment(asked) if isinstance(asked, str) else None
    if asked not in (None, "where_it_stopped", "now") and moment is None:
        check.fault("from", "time", 'expected "where_it_stopped", "now" or a time')
    elif moment is not None and moment > now:
        check.fault("from", "range", "from lies in the future: nothing is there yet")
    check.finish()
    if moment is not None:
        return rfc3339(moment)
    return "now" if asked == "now" else None


def _keep_filter(before: Registration, values: Mapping[str, Any]) -> None:
    """Raise FaultsError where a link would change which events of its project it may see."""
    if values.get("filter", before.filter) != before.filter:
        message = "a link can't change the filter: it says which events are for this webhook"
        raise FaultsError(INVALID, [Fault("forbidden", message, "/filter")])


def _note(
    change: Change,
    action: str,
    before: Registration | None,
    after: Registration | None,
    beside: Json | None = None,
) -> None:
    known = after or before
    assert known is not None  # noqa: S101 - one of them is there
    was, is_ = compared(before, after)
    if beside is not None:
        is_ = {**(is_ or {}), **beside}
    change.note(action, known.id, project_id=known.project_id, before=was, after=is_)
