"""Every route of the native API in one table."""

from typing import NamedTuple

from services.api.again import AgainRoutes
from services.api.audit import AuditRoutes
from services.api.backlog import BacklogRoutes
from services.api.call import Handler
from services.api.egress import EgressRoutes
from services.api.events import EventRoutes
from services.api.filters import FilterRoutes
from services.api.geofences import GeofenceRoutes
from services.api.history import HistoryRoutes
from services.api.journal import JournalRoutes
from services.api.projects import ProjectRoutes
from services.api.replays import ReplayRoutes
from services.api.subscriptions import SubscriptionRoutes


class Route(NamedTuple):
    """One verb on one path."""

    method: str
    path: str
    handler: Handler
    open: bool = False
    """Whether it needs no key."""
    strict: bool = False
    """Whether its body is read as filters are: what JSON lets pass twice or astray leaves a mark."""

    @property
    def summary(self) -> str:
        """Return the first line of the handler's docstring."""
        return (self.handler.__doc__ or "").strip().splitlines()[0]


def native(
    *,
    projects: ProjectRoutes,
    subscriptions: SubscriptionRoutes,
    events: EventRoutes,
    audit: AuditRoutes,
    again: AgainRoutes,
    journal: JournalRoutes,
    history: HistoryRoutes,
    geofences: GeofenceRoutes,
    filters: FilterRoutes,
    replays: ReplayRoutes,
    backlogs: BacklogRoutes,
    egress: EgressRoutes,
) -> list[Route]:
    """Return the routes of `/v1`."""
    return [
        Route("POST", "/v1/projects", projects.create),
        Route("GET", "/v1/projects", projects.list),
        Route("GET", "/v1/projects/{id}", projects.get),
        Route("PATCH", "/v1/projects/{id}", projects.update),
        Route("DELETE", "/v1/projects/{id}", projects.delete),
        Route("POST", "/v1/projects/{id}/api-keys", projects.create_key),
        Route("GET", "/v1/projects/{id}/api-keys", projects.list_keys),
        Route("DELETE", "/v1/projects/{id}/api-keys/{key_id}", projects.delete_key),
        Route("POST", "/v1/subscriptions", subscriptions.create, strict=True),
        Route("GET", "/v1/subscriptions", subscriptions.list),
        Route("POST", "/v1/subscriptions/probe", subscriptions.probe),
        Route("GET", "/v1/subscriptions/{id}", subscriptions.get),
        Route("PATCH", "/v1/subscriptions/{id}", subscriptions.update, strict=True),
        Route("DELETE", "/v1/subscriptions/{id}", subscriptions.delete),
        Route("POST", "/v1/subscriptions/{id}/pause", subscriptions.pause),
        Route("POST", "/v1/subscriptions/{id}/resume", subscriptions.resume),
        Route("GET", "/v1/subscriptions/{id}/backlog", backlogs.get),
        Route("POST", "/v1/subscriptions/{id}/test", subscriptions.test),
        Route("POST", "/v1/subscriptions/{id}/keys/{key}/release", subscriptions.release_key),
        Route("GET", "/v1/subscriptions/{id}/secrets", subscriptions.secrets),
        Route("POST", "/v1/subscriptions/{id}/secrets/rotate", subscriptions.rotate),
        Route("DELETE", "/v1/subscriptions/{id}/secrets/{secret_id}", subscriptions.end_secret),
        Route("POST", "/v1/subscriptions/{id}/replays", replays.create),
        Route("GET", "/v1/replays", replays.list),
        Route("GET", "/v1/replays/{id}", replays.get),
        Route("POST", "/v1/replays/{id}/cancel", replays.cancel),
        Route("POST", "/v1/events", events.ingest),
        Route("GET", "/v1/events", journal.list),
        Route("GET", "/v1/stream", journal.stream),
        Route("GET", "/v1/events/{topic}/{partition}/{offset}", journal.get),
        Route("GET", "/v1/events/{topic}/{partition}/{offset}/matches", filters.matches),
        Route("GET", "/v1/event-types", events.types),
        Route("GET", "/v1/event-types/{type}", events.type),
        Route("GET", "/v1/dead-letters", again.list_dead),
        Route("POST", "/v1/dead-letters/resend", again.resend_dead),
        Route("POST", "/v1/dead-letters/discard", again.discard),
        Route("GET", "/v1/attempts", history.attempts),
        Route("GET", "/v1/attempts/{id}", history.attempt),
        Route("GET", "/v1/deliveries", history.deliveries),
        Route("GET", "/v1/deliveries/{id}", history.delivery),
        Route("GET", "/v1/stats", history.stats),
        Route("POST", "/v1/deliveries/{id}/resend", again.resend_one),
        Route("POST", "/v1/resends", again.resend),
        Route("GET", "/v1/resends", again.list),
        Route("GET", "/v1/resends/{id}", again.get),
        Route("POST", "/v1/resends/{id}/cancel", again.cancel),
        Route("GET", "/v1/audit", audit.list),
        Route("POST", "/v1/filters/check", filters.check, strict=True),
        Route("POST", "/v1/filters/explain", filters.explain, strict=True),
        Route("POST", "/v1/filters/dry-run", filters.dry_run, strict=True),
        Route("GET", "/v1/filters/dry-runs/{id}", filters.get_dry_run),
        Route("POST", "/v1/filters/dry-runs/{id}/cancel", filters.cancel_dry_run),
        Route("POST", "/v1/geofences", geofences.create),
        Route("GET", "/v1/geofences", geofences.list),
        Route("GET", "/v1/geofences/{id}", geofences.get),
        Route("PATCH", "/v1/geofences/{id}", geofences.update),
        Route("DELETE", "/v1/geofences/{id}", geofences.delete),
        Route("GET", "/v1/egress", egress.get),
        Route("GET", "/.well-known/webhook-keys.json", subscriptions.public_keys, open=True),
    ]
