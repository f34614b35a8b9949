"""Postgres, as the API sees it. Every call may raise StoreGoneError."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from services.kernel.audit import Entry, EntryFilter
from services.kernel.backlog import InShort, LaneKey, LaneSeen, OwnedSeen, Waiting
from services.kernel.dead_letter import Among, Cause, DeadFilter, DeadLetter, JobState, Resend
from services.kernel.delivery import Delivery
from services.kernel.dry_run import DryRun
from services.kernel.event import Json, Partition
from services.kernel.geofence import Geofence
from services.kernel.ids import (
    ApiKeyId,
    GeofenceId,
    PortalLinkId,
    ProjectId,
    SecretId,
    SubscriptionId,
)
from services.kernel.lane import Start
from services.kernel.portal import PortalLink
from services.kernel.recorded import Recorded
from services.kernel.registration import (
    ApiKey,
    HeldEvent,
    NewSecret,
    Page,
    Project,
    ProjectUsage,
    Registration,
    Secret,
    Stored,
)
from services.kernel.replay import Replay
from services.kernel.subscription import SigningKey


class ProjectStore(Protocol):
    """Table `projects`."""

    async def add(self, project: Project) -> None:
        """Store a new project."""

    async def get(self, id_: ProjectId) -> Project | None:
        """Return a project that is not deleted."""

    async def page(self, page: Page) -> Sequence[Project]:
        """Return projects, newest first."""

    async def replace(self, project: Project, *, before: datetime) -> bool:
        """Overwrite what can be changed of it, if it was last changed at *before*; tell whether."""

    async def delete(self, id_: ProjectId, *, at: datetime) -> None:
        """Delete it with its keys, subscriptions and their rows."""


class ApiKeyStore(Protocol):
    """Table `api_keys`."""

    async def add(self, key: ApiKey) -> None:
        """Store a new key."""

    async def by_hash(self, hash_: bytes) -> ApiKey | None:
        """Return the key with this hash, if it is neither deleted nor its project is."""

    async def page(self, project_id: ProjectId, page: Page) -> Sequence[ApiKey]:
        """Return keys of a project, newest first."""

    async def used(self, id_: ApiKeyId, *, at: datetime) -> None:
        """Note that it was used."""

    async def delete(self, project_id: ProjectId, id_: ApiKeyId, *, at: datetime) -> ApiKey | None:
        """Revoke it; return it as it was, None where it wasn't there."""


class PortalLinkStore(Protocol):
    """Table `portal_links`."""

    async def add(self, link: PortalLink) -> None:
        """Store a new link."""

    async def by_hash(self, hash_: bytes) -> PortalLink | None:
        """Return the link with this hash, if it is neither revoked nor its project deleted."""

    async def page(self, project_id: ProjectId | None, page: Page) -> Sequence[PortalLink]:
        """Return those of a project (None: of all) that are not revoked, newest first."""

    async def used(self, id_: PortalLinkId, *, at: datetime) -> None:
        """Note that it was used."""

    async def revoke(
        self, project_id: ProjectId | None, id_: PortalLinkId, *, at: datetime
    ) -> PortalLink | None:
        """Revoke it; return it as it was, None where it wasn't there."""


class RegistrationStore(Protocol):
    """Tables `subscriptions` and `secrets`."""

    async def add(
        self,
        rows: Sequence[tuple[Registration, NewSecret]],
        *,
        starts: Mapping[SubscriptionId, Sequence[Start]] | None = None,
    ) -> None:
        """Store all of them with where they start, or none."""

    async def get(self, id_: SubscriptionId) -> Registration | None:
        """Return one that is not deleted, with its failure count."""

    async def page(
        self,
        *,
        project_id: ProjectId | None,
        among: Collection[str] | None,
        filters: Mapping[str, str],
        page: Page,
    ) -> Sequence[Registration]:
        """Return those of a project (None: of all), newest first; filters: `status`, `url`, `type`."""

    async def window(
        self, project_id: ProjectId, *, offset: int, limit: int | None
    ) -> tuple[Sequence[Registration], int]:
        """Return some of a project, newest first, and how many there are."""

    async def usage(self, project_id: ProjectId) -> ProjectUsage:
        """Return how many a project has, and what their filters take."""

    async def replace(
        self,
        registration: Registration,
        *,
        version: int,
        starts: Sequence[Start] = (),
    ) -> bool:
        """Overwrite it if it still has *version*; tell whether it had.

        Where there are *starts* its epoch grows, all in one transaction.
        """

    async def delete(self, id_: SubscriptionId, *, at: datetime) -> bool:
        """Delete it with its retry rows and lanes; tell whether it was there."""

    async def signing_keys(self, id_: SubscriptionId) -> Sequence[SigningKey]:
        """Return the secrets that sign now, newest first, decrypted."""

    async def secrets(self, id_: SubscriptionId) -> Sequence[Secret]:
        """Return what is known of its secrets, newest first."""

    async def rotate(
        self, id_: SubscriptionId, secret: NewSecret, *, previous_expires_at: datetime
    ) -> None:
        """Add a secret; those from before end at *previous_expires_at*, or earlier."""

    async def end_secret(self, id_: SubscriptionId, secret_id: SecretId, *, at: datetime) -> bool:
        """End a secret now, if another one is left; tell whether it was there."""

    async def public_keys(self) -> Sequence[tuple[SubscriptionId, SecretId, bytes]]:
        """Return the public keys of all v1a secrets that sign."""


class GeofenceStore(Protocol):
    """Table `geofences`."""

    async def add(self, geofence: Geofence) -> None:
        """Store a new one."""

    async def find(self, id_: GeofenceId, *, project_id: ProjectId | None) -> Sequence[Geofence]:
        """Return those with this id: one in a project; None: of all, where planners may agree."""

    async def of_project(self, project_id: ProjectId) -> Sequence[Geofence]:
        """Return all of a project."""

    async def page(self, *, project_id: ProjectId | None, page: Page) -> Sequence[Geofence]:
        """Return those of a project (None: of all), newest first."""

    async def replace(self, geofence: Geofence, *, version: int) -> bool:
        """Overwrite it if it still has *version*; tell whether it had."""

    async def delete(self, geofence: Geofence, *, at: datetime) -> Sequence[SubscriptionId]:
        """Delete it, unless it is in use; return the subscriptions whose filters name it."""


class KeyStore(Protocol):
    """Rows of `retries`, by the key they hold."""

    async def release(self, id_: SubscriptionId, key: str, *, skip: bool) -> Sequence[HeldEvent]:
        """Have the first event of *key*, on each partition, tried again or given up by its owner.

        Returns those events; none where nothing of the key waits.
        """


class BacklogStore(Protocol):
    """Tables `lanes`, `starts`, `retries` and `partitions`, read alone."""

    async def waiting(self, id_: SubscriptionId) -> Waiting:
        """Return what the workers have written down."""

    async def in_short(
        self, ids: Sequence[SubscriptionId], *, most: int
    ) -> Mapping[SubscriptionId, InShort]:
        """Return the most important of it for each of *ids*; retries are counted up to *most*."""

    async def lanes(
        self, id_: SubscriptionId | None, *, after: LaneKey | None, limit: int
    ) -> Sequence[LaneSeen]:
        """Return lanes of one subscription or of all, newest subscriptions first."""

    async def owned(self) -> Sequence[OwnedSeen]:
        """Return every partition that a worker has owned."""

    async def lane_counts(self) -> Mapping[Partition, int]:
        """Return how many subscriptions have a lane on each partition where one has."""


class DryRunStore(Protocol):
    """Table `dry_runs`."""

    async def add(self, job: DryRun) -> None:
        """Store a new job."""

    async def get(self, id_: str) -> DryRun | None:
        """Return one."""

    async def cancel(self, id_: str, *, at: datetime) -> None:
        """End one that isn't over."""

    async def claim(self, worker: str, *, now: datetime, lease: timedelta) -> DryRun | None:
        """Return the oldest job that nobody works on; nobody else does now for so long."""

    async def note(self, id_: str, worker: str, *, done: int, total: int, until: datetime) -> bool:
        """Keep how far it is; tell whether it is still *worker*'s to go on with."""

    async def finish(
        self, job: DryRun, worker: str, *, result: Json | None, error: str | None, at: datetime
    ) -> None:
        """Keep what was found, or why nothing was."""


class AnswerStore(Protocol):
    """Table `idempotency`."""

    async def begin(
        self, caller: str, key: str, request_hash: bytes, *, at: datetime, after: datetime
    ) -> Stored | None:
        """Claim *key*, and return None; or what is stored under it and younger than *after*."""

    async def finish(
        self, caller: str, key: str, *, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Store the answer."""

    async def release(self, caller: str, key: str) -> None:
        """Forget the claim: nothing was changed, and the caller may try again."""


class AuditStore(Protocol):
    """Table `audit`."""

    def together(self) -> AbstractAsyncContextManager[None]:
        """Make one transaction of what this task writes inside, through any store."""

    async def add(self, entries: Sequence[Entry]) -> None:
        """Store *entries*."""

    async def page(self, asked: EntryFilter, page: Page) -> Sequence[Entry]:
        """Return those that fit, newest first."""


class DeadLetterStore(Protocol):
    """Table `dead_letters`, as people see it."""

    async def page(self, asked: DeadFilter, page: Page) -> Sequence[DeadLetter]:
        """Return those that fit, newest first."""

    async def causes(self, asked: DeadFilter, *, limit: int) -> Sequence[Cause]:
        """Return who failed how, the most first."""

    async def count(self, asked: DeadFilter) -> Among:
        """Return how many fit, and what they weigh."""

    async def of(self, subscription_id: str, event_id: str) -> str | None:
        """Return the id of a delivery's dead letter; None: it has none."""

    async def discard(self, asked: DeadFilter) -> int:
        """Forget those that fit; return how many."""


class Passed(NamedTuple):
    """How far a job of the history has come with a batch."""

    cursor: str
    missing: int
    now: datetime
    lease: timedelta


class ResendStore(Protocol):
    """Table `resends`: jobs. One that is claimed is worked on by nobody else until the claim ends."""

    async def add(self, job: Resend) -> None:
        """Store a new job."""

    async def get(self, id_: str) -> Resend | None:
        """Return one."""

    async def page(self, project_id: str | None, page: Page) -> Sequence[Resend]:
        """Return those of a project (None: all), newest first."""

    async def cancel(self, id_: str, *, at: datetime) -> bool:
        """End one that isn't over; tell whether it wasn't."""

    async def claim(self, worker: str, *, now: datetime, lease: timedelta) -> Resend | None:
        """Return the job that has waited longest of those that nobody works on."""

    async def move(
        self, job: Resend, worker: str, *, limit: int, now: datetime, lease: timedelta
    ) -> int | None:
        """Make up to *limit* dead letters retries that are due, in one transaction with the progress.

        Returns how many; None where the job is over, or another's.
        """

    async def put(
        self, job: Resend, worker: str, deliveries: Sequence[Delivery], *, passed: Passed
    ) -> int | None:
        """Write *deliveries* as retries that are due, or make them due, as `move` does."""

    async def hurry(
        self, job: Resend, worker: str, attempts: Sequence[Recorded], *, passed: Passed
    ) -> int | None:
        """Make retries due at once, as `move` does; what is in flight is left alone."""

    async def finish(
        self, job: Resend, worker: str, *, state: JobState, error: str | None, at: datetime
    ) -> bool:
        """End a job; tell whether it still was *worker*'s."""


class NameResolver(Protocol):
    """Judges a host name before it is stored."""

    async def refusal(self, host: str) -> str | None:
        """Say why its addresses may not be called; None if they may, or it has none yet."""


class ReplayStore(Protocol):
    """Tables `replays` and `replay_ranges`."""

    async def add(self, replay: Replay) -> bool:
        """Store it with its ranges; False where one of the same over its span is under way."""

    async def get(self, id_: str) -> Replay | None:
        """Return one."""

    async def page(
        self, *, project_id: ProjectId | None, subscription_id: SubscriptionId | None, page: Page
    ) -> Sequence[Replay]:
        """Return those of a project and a subscription (None: of all), newest first."""

    async def cancel(self, id_: str, *, at: datetime) -> bool:
        """Cancel it; False where it had ended."""
