"""Replays: ask for one, count it without sending, look at it, cancel it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from services.control.access import Caller
from services.control.audit import Audit
from services.control.checks import Checker, kind
from services.control.log_begins import Log, log_begins
from services.control.replay_counts import Counted, Counts
from services.control.subscriptions import Subscriptions
from services.kernel.clock import Clock, rfc3339
from services.kernel.errors import ConflictError, Fault, FaultsError, NotFoundError
from services.kernel.event import Json
from services.kernel.ids import Entropy, ProjectId, SubscriptionId, is_id, new_id
from services.kernel.ports.control import ReplayStore
from services.kernel.registration import Page, Registration
from services.kernel.replay import ENDED, Replay, ReplayState, Wanted
from services.kernel.subscription import Status
from services.match import types
from services.replay.plan import key_of, ranges, span_faults

INVALID = "The replay is not valid"
NOUN = "replay"
MAX_ID, MAX_KEY = 256, 1_024
LEAST_RATE, MOST_RATE = 0.1, 10_000
LEAST_SPEED, MOST_SPEED = 0.01, 100_000
MAX_TYPES = 50
FIELDS = (
    "from", "to", "types", "key", "plan_id", "route_id", "vehicle_id", "rate", "speed", "dry_run",
)  # fmt: skip


class Replays:
    """All that owners do with replays."""

    def __init__(
        self,
        *,
        store: ReplayStore,
        log: Log,
        subscriptions: Subscriptions,
        counts: Counts,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._log = log
        self._subscriptions = subscriptions
        self._counts = counts
        self._audit = audit
        self._clock = clock
        self._entropy = entropy

    async def create(self, caller: Caller, subscription_id: str, body: object) -> Replay | Counted:
        """Begin a replay, or only count it. Raises FaultsError, ConflictError, NotFoundError."""
        registration = await self._subscriptions.get(caller, subscription_id)
        check = Checker(INVALID, body, known=FIELDS)
        replay = self._asked(check, caller, registration)
        dry_run = check.body.get("dry_run", False)
        if not isinstance(dry_run, bool):
            check.fault("dry_run", "type", "expected true or false")
        check.finish()
        replay = await self._within_log(replay)
        if dry_run:
            subscription = await self._subscriptions.as_sent_to(registration)
            return await self._counts.count(replay, subscription)
        if registration.status is not Status.ACTIVE:
            raise ConflictError(f"the subscription is {registration.status}: resume it first")
        async with self._audit.change(caller, NOUN) as change:
            if not await self._store.add(replay):
                message = "a replay of the same over this span is under way: wait, or cancel it"
                raise FaultsError(INVALID, [Fault("overlap", message, "/from")])
            change.note(
                "create",
                replay.id,
                project_id=replay.project_id,
                after=shown(replay, now=replay.created_at),
            )
        return replay

    async def get(self, caller: Caller, id_: str) -> Replay:
        """Return one. Raises NotFoundError, also for another project's."""
        found = await self._store.get(id_) if is_id(id_) else None
        if found is None or not caller.may_see_of(found.project_id, found.subscription_id):
            raise NotFoundError(NOUN, id_)
        return found

    async def page(
        self, caller: Caller, *, project_id: str | None, subscription_id: str | None, page: Page
    ) -> Sequence[Replay]:
        """Return those that the caller may see, newest first."""
        project = caller.project_id
        if project is None and project_id is not None:
            project = ProjectId(project_id)
        elif project_id not in (None, project):
            return []
        found: list[Replay] = []
        for id_ in caller.narrowed(subscription_id):
            among = None if id_ is None else SubscriptionId(id_)
            found += await self._store.page(project_id=project, subscription_id=among, page=page)
        return sorted(found, key=lambda replay: replay.id, reverse=True)[: page.limit]

    async def cancel(self, caller: Caller, id_: str) -> Replay:
        """Cancel it; one that has ended stays as it is. Raises NotFoundError."""
        before = await self.get(caller, id_)
        if before.state in ENDED:
            return before
        async with self._audit.change(caller, NOUN) as change:
            cancelled = await self._store.cancel(id_, at=self._clock.now())
            after = await self.get(caller, id_)
            if cancelled:
                change.note(
                    "cancel",
                    id_,
                    project_id=after.project_id,
                    before=shown(before, now=self._clock.now()),
                    after=shown(after, now=self._clock.now()),
                )
        return after

    def _asked(self, check: Checker, caller: Caller, registration: Registration) -> Replay:
        """Return what the body asks for; faults are left in *check*."""
        now = self._clock.now()
        since, until = check.moment("from"), check.moment("to")
        if check.body.get("from") is None:
            check.fault("from", "required", "from is required")
        check.faults += span_faults(since, until, now=now, oldest=None)
        key = check.text("key", longest=MAX_KEY)
        if key is not None and key_of(key, registration.project_id) is None:
            check.fault("key", "other_project", "this is a key of another project")
        wanted = Wanted(
            types=_types(check),
            key=None if key is None else key_of(key, registration.project_id),
            plan_id=check.text("plan_id", longest=MAX_ID),
            route_id=check.text("route_id", longest=MAX_ID),
            vehicle_id=check.text("vehicle_id", longest=MAX_ID),
        )
        return Replay(
            id=new_id(now=self._clock.time(), entropy=self._entropy),
            subscription_id=registration.id,
            project_id=registration.project_id,
            from_at=since or now,
            to_at=min(until, now) if until is not None else now,
            wanted=wanted,
            rate=check.number("rate", least=LEAST_RATE, most=MOST_RATE),
            speed=check.number("speed", least=LEAST_SPEED, most=MOST_SPEED),
            state=ReplayState.QUEUED,
            created_by=caller.id,
            created_at=now,
        )

    async def _within_log(self, replay: Replay) -> Replay:
        """Return *replay* with its ranges. Raises FaultsError where the log no longer has it all."""
        partitions = await self._log.offsets.partitions(self._log.topics)
        bounds = await self._log.offsets.bounds(partitions)
        oldest = await log_begins(self._log, bounds, before=replay.from_at, now=replay.created_at)
        faults = span_faults(replay.from_at, None, now=replay.created_at, oldest=oldest)
        if faults:
            raise FaultsError(INVALID, faults)
        first, last = (int(at.timestamp() * 1000) for at in (replay.from_at, replay.to_at))
        starts = await self._log.offsets.at(partitions, first)
        ends = await self._log.offsets.at(partitions, last)
        found = ranges(starts=starts, ends=ends, bounds=bounds)
        state = replay.state if found else ReplayState.DONE
        return replace(replay, ranges=found, state=state)


def shown(replay: Replay, *, now: datetime) -> Json:
    """Return a replay as people see it: a job, and what was asked for."""
    seconds = None
    rate = None
    if replay.started_at is not None and replay.done:
        passed = max(((replay.ended_at or now) - replay.started_at).total_seconds(), 0.001)
        rate = round(replay.sent / passed, 2)
        if replay.state not in ENDED:
            seconds = round(passed / replay.done * (replay.total - replay.done), 1)
    wanted = replay.wanted
    found: Json = {
        "id": replay.id,
        "state": replay.state.value,
        "done": replay.done,
        "total": replay.total,
        "sent": replay.sent,
        "dead": replay.dead,
        "rate": rate,
        "eta_seconds": 0 if replay.state in ENDED else seconds,
        "subscription_id": replay.subscription_id,
        "project_id": replay.project_id,
        "from": rfc3339(replay.from_at),
        "to": rfc3339(replay.to_at),
        "types": None if wanted.types is None else list(wanted.types),
        "key": wanted.key,
        "plan_id": wanted.plan_id,
        "route_id": wanted.route_id,
        "vehicle_id": wanted.vehicle_id,
        "max_rate": replay.rate,
        "speed": replay.speed,
        "created_at": rfc3339(replay.created_at),
        "started_at": None if replay.started_at is None else rfc3339(replay.started_at),
        "finished_at": None if replay.ended_at is None else rfc3339(replay.ended_at),
    }
    if replay.error is not None:
        found["error"] = replay.error
    return found


def _types(check: Checker) -> tuple[str, ...] | None:
    asked = check.body.get("types")
    if asked is None:
        return None
    if not isinstance(asked, list):
        check.fault("types", "type", f"expected an array of strings, got {kind(asked)}")
    elif not 1 <= len(asked) <= MAX_TYPES:
        check.fault("types", "limit", f"{len(asked)} patterns, 1 to {MAX_TYPES} are allowed")
    else:
        check.faults += types.faults(asked, pointer="/types")
        return tuple(map(str, asked))
    return None
