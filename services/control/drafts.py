"""What a body asks for: a new subscription, or changes of one. All faults at once; nothing is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from services.control import certificates
from services.control.access import Access, Caller
from services.control.checks import Checker
from services.control.fields import (
    AGES,
    CREATABLE,
    READ_ONLY,
    SETTABLE,
    Fields,
    clashes,
    merged_ages,
    merged_delivery,
    merged_headers,
    shown_filter,
)
from services.control.filters import Filters, with_marks
from services.deliver.signing import new_key, public_key
from services.kernel.clock import Clock
from services.kernel.errors import Fault, FaultsError
from services.kernel.ids import Entropy, ProjectId, SecretId, SubscriptionId, new_id
from services.kernel.ports.control import RegistrationStore
from services.kernel.registration import NewSecret, Registration
from services.kernel.subscription import Profile, SignatureScheme, Status

INVALID = "The subscription is not valid"
MAX_FILTER_BYTES = 8 << 20
"""Of all filters of a project, as they are stored."""


class Draft(NamedTuple):
    """What somebody wants to be a subscription."""

    body: object
    pointer: str
    """Where it stands in the request."""
    status: Status = Status.ACTIVE


class Drafts:
    """Judges what is asked for, by all rules: of fields, filters and projects."""

    def __init__(
        self,
        *,
        store: RegistrationStore,
        access: Access,
        fields: Fields,
        filters: Filters,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._access = access
        self._fields = fields
        self._filters = filters
        self._clock = clock
        self._entropy = entropy

    async def new(
        self,
        caller: Caller,
        drafts: Sequence[Draft],
        *,
        profile: Profile,
        noted: Sequence[Fault] = (),
    ) -> Sequence[tuple[Registration, NewSecret]]:
        """Return what all of them ask for. Raises FaultsError, with *noted* among the faults.

        *profile* is for those that don't name one.
        """
        faults: list[Fault] = []
        rows = []
        for draft in drafts:
            check = Checker(INVALID, draft.body, known=CREATABLE, pointer=draft.pointer)
            if isinstance(draft.body, dict):
                rows += await self._drafted(caller, check, profile, draft.status)
            faults += check.faults
        faults += noted
        if not faults:
            faults += await self._over_limits([registration for registration, _ in rows])
        if faults:
            raise FaultsError(INVALID, faults)
        return rows

    async def changes(
        self, before: Registration, body: object, noted: Sequence[Fault] = ()
    ) -> dict[str, Any]:
        """Return what *body* changes. Raises FaultsError."""
        if isinstance(body, dict) and "delivery" in body:
            body = {**body, "delivery": merged_delivery(before.delivery, body["delivery"])}
        if isinstance(body, dict) and "headers" in body:
            body = {**body, "headers": merged_headers(before.headers, body["headers"])}
        if isinstance(body, dict) and AGES in body:
            body = {**body, AGES: merged_ages(before.max_age_seconds, body[AGES])}
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
            check.faults += certificates.unused(after.url, after.client_certificate, check)
            check.faults += clashes(after, check)
            if values.get("filter") is not None:
                check.faults += await self._over_limits([after], instead_of=before)
        check.finish()
        return values

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
        registration, _ = made
        check.faults += certificates.unused(
            registration.url, registration.client_certificate, check
        )
        check.faults += clashes(registration, check)
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
            id=SubscriptionId(new_id(now=self._clock.time(), entropy=self._entropy)),
            project_id=project_id,
            signature=scheme,
            status=status,
            status_at=now,
            created_by=caller.id,
            created_at=now,
            updated_at=now,
            **values,
        )
        return registration, new_secret(scheme, clock=self._clock, entropy=self._entropy)


def new_secret(scheme: SignatureScheme, *, clock: Clock, entropy: Entropy) -> NewSecret:
    """Return a new secret of a subscription; for v1a a pair of keys."""
    key = new_key(scheme, entropy=entropy)
    public = public_key(key) if scheme is SignatureScheme.V1A else None
    id_ = SecretId(new_id(now=clock.time(), entropy=entropy))
    return NewSecret(id_, key, public, clock.now())


def _filter_bytes(registration: Registration) -> int:
    return len((registration.filter or "").encode())
