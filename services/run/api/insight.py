"""What happened, what would, and who is behind."""

import os
from typing import NamedTuple

from services.control.backlog import Backlogs
from services.control.dry_runs import DryRuns, Limits, Runner
from services.control.history import History
from services.control.lanes import Lanes
from services.control.match_counts import MatchCounts
from services.control.requests import Requests
from services.control.test_days import TestDays
from services.control.volumes import Volumes
from services.dev.day import of_one_van as day_of_one_van
from services.run.api.base import Base
from services.run.api.events import Events
from services.run.api.webhooks import Webhooks


class Insight(NamedTuple):
    """What people look at, and what tries something out for them."""

    history: History
    requests: Requests
    match_counts: MatchCounts
    volumes: Volumes
    backlogs: Backlogs
    lanes: Lanes
    dry_runs: DryRuns
    runner: Runner
    """Runs dry runs."""
    test_days: TestDays


def insight_of(base: Base, webhooks: Webhooks, events: Events) -> Insight:
    """Return what people look at."""
    stores, clock, subscriptions = base.stores, base.clock, webhooks.subscriptions
    return Insight(
        history=History(store=stores.history, clock=clock),
        requests=Requests(
            subscriptions=subscriptions,
            journal=events.journal,
            batches=events.batches,
            store=stores.history,
            headers=base.sender.headers,
            max_body_bytes=base.max_body_bytes,
        ),
        match_counts=MatchCounts(store=stores.match_counts, clock=clock),
        volumes=Volumes(store=stores.match_counts, clock=clock),
        backlogs=Backlogs(
            store=stores.backlog,
            offsets=base.offsets,
            topics=base.topics,
            readers=base.readers.heads,
            subscriptions=subscriptions,
            clock=clock,
        ),
        lanes=Lanes(
            store=stores.backlog,
            offsets=base.offsets,
            topics=base.topics,
            readers=base.readers.heads,
            clock=clock,
        ),
        dry_runs=DryRuns(
            store=stores.dry_runs,
            filters=webhooks.filters,
            subscriptions=subscriptions,
            clock=clock,
            entropy=os.urandom,
        ),
        runner=_runner(base, webhooks),
        test_days=TestDays(
            calls=webhooks.test_calls,
            subscriptions=subscriptions,
            journal=events.journal,
            day=day_of_one_van,
            clock=clock,
        ),
    )


def _runner(base: Base, webhooks: Webhooks) -> Runner:
    api = base.settings.api
    return Runner(
        readers=base.readers.jobs,
        offsets=base.offsets,
        topics=base.topics,
        decoder=base.decoder(),
        store=base.stores.dry_runs,
        registrations=base.stores.registrations,
        filters=webhooks.filters,
        limits=Limits(events=api.dry_run_events, seconds=api.dry_run_seconds),
        clock=base.clock,
        name=base.name,
    )
