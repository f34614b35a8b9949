"""Subscriptions: make, change, pause, resume, delete; and their secrets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson

from services.control import certificates
from services.control.access import Access, Caller, ForbiddenError
from services.control.audit import Audit, Change
from services.control.checks import Checker, parse_moment
from services.control.fields import (
    CREATABLE,
    READ_ONLY,
    SETTABLE,
    Fields,
    compared,
    merged_delivery,
    merged_headers,
    shown_filter,
)
from services.control.filters import Filters, with_marks
from services.control.starts import Starts
from services.deliver.signing import new_key, public_key, secret_text
from services.kernel.clock import Clock, rfc3339
from services.kernel.errors import (
    ConflictError,
    Fault,
    FaultsError,
    NotFoundError,
    WebhooksError,
)
from services.kernel.event import Json
from services.kernel.ids import Entropy, ProjectId, SecretId, SubscriptionId, is_id, new_id
from services.kernel.lane import Start, StartKind
from services.kernel.ports.control import RegistrationStore
from services.kernel.registration import NewSecret, Page, Registration, Secret
from services.kernel.subscription import Profile, SignatureScheme, Status, Subscription

MAX_OVERLAP_HOURS = 168
OVERLAP_HOURS = 24
INVALID = "The subscription is not valid"
TRIES = 5
MAX_FILTER_BYTES = 8 << 20
"""Of all filters of a project, as they are stored."""
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


class Rotated(NamedTuple):
    """A new secret, and until when the one before signs as well."""

    id: SecretId
    secret: str
    previous_expires_at: Any


class Subscriptions:
    """All that owners do with their subscriptions."""

    def __init__(
        self,
        *,
        store: RegistrationStore,
        access: Access,
        fields: Fields,
        filters: Filters,
        starts: Starts,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._access = access
        self._fields = fields
        self._filters = filters
        self._starts = starts
        self._audit = audit
        self._clock = clock
        self._entropy = entropy

    async def create(self, caller: Caller, body: object) -> Created:
        """Make a subscription. Raises FaultsError, NotFoundError."""
        if caller.webhooks is not None:
            raise ForbiddenError("this link shows webhooks that are there, and makes no new ones")
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
        faults: list[Fault] = []
        rows = []
        for n, (body, pointer) in enumerate(zip(bodies, pointers, strict=True)):
            check = Checker(INVALID, body, known=CREATABLE, pointer=pointer)
            status = Status.PAUSED if paused and paused[n] else Status.ACTIVE
            if isinstance(body, dict):
                rows += await self._drafted(caller, check, profile, status)
            faults += check.faults
        faults += noted
        if not faults:
            faults += await self._over_limits([registration for registration, _ in rows])
        if faults:
            raise FaultsError(INVALID, faults)
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
        values = await self._values(before, body)
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
        values = await self._values(before, body, noted)

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

    async def rotate(self, caller: Caller, id_: str, body: Json) -> Rotated:
        """Make a new secret; the one before signs as well until the overlap ends."""
        found = await self.get(caller, id_)
        check = Checker("The rotation is not valid", body, known=("overlap_hours",))
        hours = check.number("overlap_hours", least=0, most=MAX_OVERLAP_HOURS)
        check.finish()
        hours = OVERLAP_HOURS if hours is None else hours
        new = self._secret(found.signature)
        ends = self._clock.now() + timedelta(hours=hours)
        async with self._audit.change(caller, NOUN) as change:
            await self._store.rotate(found.id, new, previous_expires_at=ends)
            made = {"secret_id": new.id, "previous_expires_at": rfc3339(ends)}
            change.note("rotate", found.id, project_id=found.project_id, after=made)
        return Rotated(new.id, secret_text(new.key), ends)

    async def secrets(self, caller: Caller, id_: str) -> Sequence[Secret]:
        """Return what is known of its secrets, never their values."""
        found = await self.get(caller, id_)
        return await self._store.secrets(found.id)

    async def end_secret(self, caller: Caller, id_: str, secret_id: str) -> None:
        """End a secret now. Raises NotFoundError; ConflictError for the last one."""
        found = await self.get(caller, id_)
        if not is_id(secret_id):
            raise NotFoundError("secret", secret_id)
        at = self._clock.now()
        async with self._audit.change(caller, NOUN) as change:
            if await self._store.end_secret(found.id, SecretId(secret_id), at=at):
                ended = {"secret_id": secret_id}
                change.note("end_secret", found.id, project_id=found.project_id, before=ended)
                return
        known = {secret.id: secret for secret in await self._store.secrets(found.id)}
        secret = known.get(SecretId(secret_id))
        if secret is None:
            raise NotFoundError("secret", secret_id)
        if secret.expires_at is None or secret.expires_at > at:
            raise ConflictError("the last secret can't end: rotate it instead")

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

    async def public_keys(self) -> Sequence[tuple[SubscriptionId, SecretId, bytes]]:
        """Return the public keys of all v1a secrets that sign."""
        return await self._store.public_keys()

    async def _drafted(
        self, caller: Caller, check: Checker, profile: Profile, status: Status
    ) -> list[tuple[Registration, NewSecret]]:
        """Return what a body asks for; nothing where it has faults, which are left in *check*."""
        values = {"profile": profile, **await self._fields.check(check, creating=True)}
        scheme = self._fields.signature(check)
        named, pointer = check.body.get("project_id"), f"{check.pointer}/project_id"
        try:
            project_id = await self._access.project_for(caller, named, pointer=pointer)
        except FaultsError as error:
            check.faults += error.faults
            check.faults[:] = with_marks(check)
            return []
        values["filter"] = await self._filter(
            check, project_id, values["types"], check.body.get("filter")
        )
        check.faults[:] = with_marks(check)
        if check.faults:
            return []
        made = self._new(caller, project_id, values, scheme, status)
        check.faults += certificates.unused(made[0], check)
        return [] if check.faults else [made]

    async def _filter(
        self, check: Checker, project_id: ProjectId, types: Sequence[str], written: object
    ) -> str | None:
        """Return a filter as it is stored; what is wrong with it is left in *check*."""
        judged = await self._filters.judge(check, project_id, types=types, written=written)
        return None if judged.normal is None else orjson.dumps(judged.normal).decode()

    async def _over_limits(
        self, asked: Sequence[Registration], *, instead_of: Registration | None = None
    ) -> list[Fault]:
        """Return in what a project would have too much; those who ask at once may go a little over."""
        found = []
        for project_id in {registration.project_id for registration in asked}:
            mine = [one for one in asked if one.project_id == project_id]
            usage = await self._store.usage(project_id)
            count, size = usage.subscriptions, usage.filter_bytes
            count += len(mine) - (instead_of is not None)
            size += sum(map(_filter_bytes, mine))
            if instead_of is None and count > usage.max_subscriptions:
                message = f"{count} subscriptions, {usage.max_subscriptions} are allowed"
                found.append(Fault("limit", f"{message} in this project", ""))
            if instead_of is not None:
                size -= _filter_bytes(instead_of)
            if size > MAX_FILTER_BYTES and any(one.filter for one in mine):
                message = f"{size} bytes of filters in this project, {MAX_FILTER_BYTES} are allowed"
                found.append(Fault("limit", message, "/filter"))
        return found

    async def _values(
        self, before: Registration, body: object, noted: Sequence[Fault] = ()
    ) -> dict[str, Any]:
        """Return what *body* changes. Raises FaultsError."""
        if isinstance(body, dict) and "delivery" in body:
            body = {**body, "delivery": merged_delivery(before.delivery, body["delivery"])}
        if isinstance(body, dict) and "headers" in body:
            body = {**body, "headers": merged_headers(before.headers, body["headers"])}
        body = certificates.kept(body, before.client_certificate)
        check = Checker(INVALID, body, known=(*SETTABLE, *READ_ONLY))
        for field in READ_ONLY:
            if field in check.body:
                check.fault(field, "read_only", f"{field} can't be changed here")
        values = await self._fields.check(check, creating=False)
        if "filter" in check.body:
            types = values.get("types", before.types)
            values["filter"] = await self._filter(
                check, before.project_id, types, check.body["filter"]
            )
        elif "types" in check.body and before.filter is not None:
            # What it asks for may be in none of the types any more.
            kept = shown_filter(before.filter)
            await self._filter(check, before.project_id, values["types"], kept)
        check.faults[:] = [*with_marks(check), *noted]
        if not check.faults:
            after = replace(before, **values)
            check.faults += certificates.unused(after, check)
            if values.get("filter") is not None:
                check.faults += await self._over_limits([after], instead_of=before)
        check.finish()
        return values

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

    def _new(
        self,
        caller: Caller,
        project_id: ProjectId,
        values: Mapping[str, Any],
        scheme: SignatureScheme,
        status: Status,
    ) -> tuple[Registration, NewSecret]:
        now = self._clock.now()
        registration = Registration(
            id=SubscriptionId(self._id()),
            project_id=project_id,
            signature=scheme,
            status=status,
            status_at=now,
            created_by=caller.id,
            created_at=now,
            updated_at=now,
            **values,
        )
        return registration, self._secret(scheme)

    def _secret(self, scheme: SignatureScheme) -> NewSecret:
        key = new_key(scheme, entropy=self._entropy)
        public = public_key(key) if scheme is SignatureScheme.V1A else None
        return NewSecret(SecretId(self._id()), key, public, self._clock.now())

    def _id(self) -> str:
        return new_id(now=self._clock.time(), entropy=self._entropy)


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


def _filter_bytes(registration: Registration) -> int:
    return len((registration.filter or "").encode())
