"""All parts behind one table of routes: the application that is listened with."""

from collections.abc import Callable
from typing import NamedTuple

from aiohttp import web

from services.api import asyncapi, openapi
from services.api.again import AgainRoutes
from services.api.app import Native, problems
from services.api.audit import AuditRoutes
from services.api.backlog import BacklogRoutes
from services.api.descriptions import Descriptions
from services.api.edge import counted, harden
from services.api.egress import EgressRoutes
from services.api.events import EventRoutes
from services.api.filters import FilterRoutes
from services.api.geofences import GeofenceRoutes
from services.api.history import HistoryRoutes
from services.api.journal import JournalRoutes
from services.api.lanes import LaneRoutes
from services.api.once import Once
from services.api.planner import Planner
from services.api.portal import PortalRoutes
from services.api.projects import ProjectRoutes
from services.api.replays import ReplayRoutes
from services.api.routes import Route, native
from services.api.secrets import SecretRoutes
from services.api.subscriptions import SubscriptionRoutes
from services.broker.topics import DAY_MS, TOPICS
from services.control.answers import Answers
from services.run.api.again import Again
from services.run.api.base import Base
from services.run.api.events import Events
from services.run.api.insight import Insight
from services.run.api.people import People
from services.run.api.webhooks import Webhooks
from services.run.dashboard import add_dashboard


class Parts(NamedTuple):
    """All that can be asked for."""

    people: People
    webhooks: Webhooks
    events: Events
    again: Again
    insight: Insight


def application(base: Base, of: Parts, *, ready: Callable[[], str | None]) -> web.Application:
    """Return what answers: both APIs, their descriptions, and the pages."""
    settings, access, routes = base.settings, of.people.access, table(base, of)
    app = web.Application(
        middlewares=[counted, problems], client_max_size=settings.api.max_body_bytes
    )
    harden(app)
    app.on_shutdown.append(of.events.tail.stop)
    hours = settings.api.idempotency_hours
    once = Once(Answers(store=base.stores.answers, clock=base.clock, hours=hours))
    Native(
        routes=routes,
        access=access,
        once=once,
        ready=ready,
        descriptions=Descriptions(openapi=openapi.document(routes), asyncapi=asyncapi_document()),
        max_body_bytes=settings.api.max_body_bytes,
    ).add_to(app)
    Planner(
        subscriptions=of.webhooks.subscriptions,
        test_calls=of.webhooks.test_calls,
        access=access,
        max_body_bytes=settings.api.max_body_bytes,
    ).add_to(app)
    add_dashboard(
        app, settings, routes, once=once, access=access, cipher=base.cipher, clock=base.clock
    )
    return app


def table(base: Base, of: Parts) -> list[Route]:
    """Return the routes of the native API, with what stands behind each."""
    people, webhooks, events, again, insight = of
    deliver, clock = base.settings.deliver, base.clock
    return native(
        projects=ProjectRoutes(people.projects),
        subscriptions=SubscriptionRoutes(
            webhooks.subscriptions,
            webhooks.test_calls,
            webhooks.keys,
            insight.match_counts,
            insight.backlogs,
            test_days=insight.test_days,
        ),
        secrets=SecretRoutes(webhooks.secrets, webhooks.subscriptions, insight.history),
        events=EventRoutes(events.ingest, insight.volumes),
        audit=AuditRoutes(people.audit),
        again=AgainRoutes(again.dead_letters, again.resends),
        journal=JournalRoutes(events.journal, events.tail),
        history=HistoryRoutes(insight.history, insight.requests, clock=clock),
        geofences=GeofenceRoutes(webhooks.geofences),
        filters=FilterRoutes(webhooks.filters, insight.dry_runs, events.matches, clock),
        replays=ReplayRoutes(again.replays, clock=clock),
        lanes=LaneRoutes(insight.lanes),
        backlogs=BacklogRoutes(insight.backlogs),
        egress=EgressRoutes(
            addresses=deliver.egress_addresses or deliver.source_addresses,
            next_addresses=deliver.egress_next_addresses,
            next_from=deliver.egress_next_from,
        ),
        portal=PortalRoutes(webhooks.portal_links, public_url=base.settings.dashboard.public_url),
    )


def asyncapi_document() -> bytes:
    """Return what describes the topics that `migrate` makes."""
    topics = [
        asyncapi.LogTopic(
            topic.name,
            topic.partitions,
            None if topic.retention_days is None else topic.retention_days * DAY_MS,
        )
        for topic in TOPICS
    ]
    return asyncapi.document(topics)
