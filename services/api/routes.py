"""Every route of the native API in one table."""

from enum import Enum
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
from services.api.lanes import LaneRoutes
from services.api.portal import PortalRoutes
from services.api.projects import ProjectRoutes
from services.api.replays import ReplayRoutes
from services.api.secrets import SecretRoutes
from services.api.subscriptions import SubscriptionRoutes
from services.control.access import Caller, ForbiddenError


class Reach(Enum):
    """Through which portal links a route is answered; with a key it always is."""

    NONE = "none"  #: no link: what a route that is added has until somebody thought of links
    WHOLE = "whole"  #: those that show all of a project
    ANY = "any"  #: those of some subscriptions too: `control` narrows what the route shows


class Route(NamedTuple):
    """One verb on one path."""

    method: str
    path: str
    handler: Handler
    open: bool = False
    """Whether it needs no key."""
    strict: bool = False
    """Whether its body is read as filters are: what JSON lets pass twice or astray leaves a mark."""
    reach: Reach = Reach.NONE

    def admits(self, caller: Caller) -> bool:
        """Tell whether it is there for *caller*: for a link not everything is."""
        if caller.link is None:
            return True
        if caller.webhooks is None:
            return self.reach is not Reach.NONE
        return self.reach is Reach.ANY

    def admit(self, caller: Caller) -> None:
        """Raise ForbiddenError where it isn't there for *caller*."""
        if not self.admits(caller):
            raise ForbiddenError("this is not available through a portal link")

    @property
    def is_of_one(self) -> bool:
        """Tell whether it shows a single object."""
        return self.method == "GET" and self.path.endswith("}")

    @property
    def summary(self) -> str:
        """Return the first line of the handler's docstring."""
        return (self.handler.__doc__ or "").strip().splitlines()[0]


WHOLE, ANY = Reach.WHOLE, Reach.ANY


def native(
    *,
    projects: ProjectRoutes,
    subscriptions: SubscriptionRoutes,
    secrets: SecretRoutes,
    events: EventRoutes,
    audit: AuditRoutes,
    again: AgainRoutes,
    journal: JournalRoutes,
    history: HistoryRoutes,
    geofences: GeofenceRoutes,
    filters: FilterRoutes,
    replays: ReplayRoutes,
    backlogs: BacklogRoutes,
    lanes: LaneRoutes,
    egress: EgressRoutes,
    portal: PortalRoutes,
) -> list[Route]:
    """Return the routes of `/v1`: one table, however long, since whoever looks for a path looks here."""
    return [
        Route("POST", "/v1/projects", projects.create),
        Route("GET", "/v1/projects", projects.list),
        Route("GET", "/v1/projects/{id}", projects.get),
        Route("PATCH", "/v1/projects/{id}", projects.update),
        Route("DELETE", "/v1/projects/{id}", projects.delete),
        Route("POST", "/v1/projects/{id}/api-keys", projects.create_key),
        Route("GET", "/v1/projects/{id}/api-keys", projects.list_keys),
        Route("DELETE", "/v1/projects/{id}/api-keys/{key_id}", projects.delete_key),
        Route("POST", "/v1/subscriptions", subscriptions.create, strict=True, reach=WHOLE),
        Route("GET", "/v1/subscriptions", subscriptions.list, reach=ANY),
        Route("POST", "/v1/subscriptions/probe", subscriptions.probe, reach=WHOLE),
        Route("GET", "/v1/subscriptions/{id}", subscriptions.get, reach=ANY),
        Route("PATCH", "/v1/subscriptions/{id}", subscriptions.update, strict=True, reach=ANY),
        Route("DELETE", "/v1/subscriptions/{id}", subscriptions.delete, reach=ANY),
        Route("POST", "/v1/subscriptions/{id}/pause", subscriptions.pause, reach=ANY),
        Route("POST", "/v1/subscriptions/{id}/resume", subscriptions.resume, reach=ANY),
        Route("GET", "/v1/subscriptions/{id}/backlog", backlogs.get, reach=ANY),
        Route("POST", "/v1/subscriptions/{id}/test", subscriptions.test, reach=ANY),
        Route("POST", "/v1/subscriptions/{id}/test-day", subscriptions.test_day, reach=ANY),
        Route(
            "POST",
            "/v1/subscriptions/{id}/keys/{key}/release",
            subscriptions.release_key,
            reach=ANY,
        ),
        Route("GET", "/v1/subscriptions/{id}/secrets", secrets.list, reach=ANY),
        Route("POST", "/v1/subscriptions/{id}/secrets/rotate", secrets.rotate, reach=ANY),
        Route(
            "DELETE",
            "/v1/subscriptions/{id}/secrets/{secret_id}",
            secrets.end,
            reach=ANY,
        ),
        Route("POST", "/v1/subscriptions/{id}/replays", replays.create, reach=ANY),
        Route("GET", "/v1/replays", replays.list, reach=ANY),
        Route("GET", "/v1/replays/{id}", replays.get, reach=ANY),
        Route("POST", "/v1/replays/{id}/cancel", replays.cancel, reach=ANY),
        Route("POST", "/v1/events", events.ingest),
        Route("GET", "/v1/events", journal.list, reach=ANY),
        Route("GET", "/v1/stream", journal.stream, reach=ANY),
        Route("GET", "/v1/events/{topic}/{partition}/{offset}", journal.get, reach=ANY),
        Route("GET", "/v1/events/{topic}/{partition}/{offset}/matches", filters.matches, reach=ANY),
        Route("GET", "/v1/event-types", events.types, reach=ANY),
        Route("GET", "/v1/event-types/{type}", events.type, reach=ANY),
        Route("GET", "/v1/dead-letters", again.list_dead, reach=ANY),
        Route("POST", "/v1/dead-letters/resend", again.resend_dead, reach=ANY),
        Route("POST", "/v1/dead-letters/discard", again.discard, reach=ANY),
        Route("GET", "/v1/attempts", history.attempts, reach=ANY),
        Route("GET", "/v1/attempts/{id}", history.attempt, reach=ANY),
        Route("GET", "/v1/deliveries", history.deliveries, reach=ANY),
        Route("GET", "/v1/deliveries/{id}", history.delivery, reach=ANY),
        Route("GET", "/v1/stats", history.stats, reach=ANY),
        Route("POST", "/v1/deliveries/{id}/resend", again.resend_one, reach=ANY),
        Route("POST", "/v1/resends", again.resend, reach=ANY),
        Route("GET", "/v1/resends", again.list, reach=ANY),
        Route("GET", "/v1/resends/{id}", again.get, reach=ANY),
        Route("POST", "/v1/resends/{id}/cancel", again.cancel, reach=ANY),
        Route("GET", "/v1/audit", audit.list, reach=ANY),
        Route("POST", "/v1/filters/check", filters.check, strict=True, reach=WHOLE),
        Route("POST", "/v1/filters/explain", filters.explain, strict=True, reach=WHOLE),
        Route("POST", "/v1/filters/dry-run", filters.dry_run, strict=True, reach=WHOLE),
        Route("GET", "/v1/filters/dry-runs/{id}", filters.get_dry_run, reach=WHOLE),
        Route("POST", "/v1/filters/dry-runs/{id}/cancel", filters.cancel_dry_run, reach=WHOLE),
        Route("POST", "/v1/geofences", geofences.create),
        Route("GET", "/v1/geofences", geofences.list),
        Route("GET", "/v1/geofences/{id}", geofences.get),
        Route("PATCH", "/v1/geofences/{id}", geofences.update),
        Route("DELETE", "/v1/geofences/{id}", geofences.delete),
        Route("POST", "/v1/portal-links", portal.create),
        Route("GET", "/v1/portal-links", portal.list),
        Route("DELETE", "/v1/portal-links/{id}", portal.revoke),
        Route("GET", "/v1/egress", egress.get, reach=ANY),
        Route("GET", "/v1/lanes", lanes.list),
        Route("GET", "/v1/partitions", lanes.partitions),
        Route("GET", "/.well-known/webhook-keys.json", secrets.public_keys, open=True),
    ]
