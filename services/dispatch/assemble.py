"""A worker from its ports. `run.dispatch` puts in the real ones, the simulation its fakes.

Parts are built in the order in which they need each other. Loops are closed by lambdas over what is built
further down: an answer goes from an outbox back to the flow, a change to a subscription goes on to what
is queued for it, and a consumer that is stuck ends its worker.
"""

from collections.abc import Sequence
from typing import NamedTuple

from services.dispatch.changes import Changes
from services.dispatch.commit import Committer
from services.dispatch.consume import Consumer
from services.dispatch.cursors import Cursors
from services.dispatch.flow import Flow
from services.dispatch.groups import (
    Given,
    Known,
    Lanes,
    Reports,
    Work,
    build_known,
    build_lanes,
    build_relief,
    build_reports,
    build_work,
)
from services.dispatch.limits import Limits
from services.dispatch.overdue import Overdue
from services.dispatch.ownership import Ownership
from services.dispatch.ports import Options, Ports
from services.dispatch.retention import Retention
from services.dispatch.retries import Retries
from services.dispatch.scan import Scanners
from services.dispatch.watchdog import Watchdog
from services.dispatch.worker import Part, Worker
from services.feed.conform import Conformity


class _Feed(NamedTuple):
    """From the group's member to the flow, and back as offsets."""

    committer: Committer
    cursors: Cursors
    consumer: Consumer
    ownership: Ownership


def assemble(
    ports: Ports, options: Options, limits: Limits, *, extras: Sequence[Part] = ()
) -> Worker:
    """Build a worker; nothing is started. *extras* run for as long as its own parts do."""
    given = Given(ports, options, limits)
    known = build_known(given, on_change=lambda before, after: changes(before, after))  # noqa: PLW0108 - built below
    work = build_work(given, known, settle=lambda sent, attempt: flow.settle(sent, attempt))  # noqa: PLW0108 - built below
    reports = build_reports(given, known, work)
    lanes = build_lanes(given, known, work, reports)
    changes = Changes(
        outboxes=work.outboxes,
        parking=work.parking,
        detaching=work.detaching,
        starts=lanes.starts,
        budget=work.budget,
        health=reports.health,
    )
    flow = _flow(given, known, work, reports, lanes)
    feed = _feed(given, known, work, lanes, flow)
    watchdog = Watchdog(
        offsets=ports.offsets,
        partitions=work.partitions,
        polling_since=lambda: feed.consumer.polling_since,
        clock=ports.clock,
        seconds=limits.stuck,
        on_stuck=lambda detail: worker.stuck(detail),  # noqa: PLW0108 - built below
    )
    worker = Worker(
        membership=work.membership,
        partitions=work.partitions,
        load=(known.geofences.load, known.subscriptions.load),
        consumer=feed.consumer,
        ownership=feed.ownership,
        committer=feed.committer,
        outboxes=work.outboxes,
        health=reports.health,
        parts=(
            *_parts(known, work, reports, lanes, feed),
            build_relief(given, known, work).run,
            *_rows(given, known, work, lanes),
            *_readers(given, known, work, reports, flow),
            watchdog.run,
            *extras,
        ),
        clock=ports.clock,
        drain_seconds=options.drain_seconds,
    )
    return worker


def _flow(given: Given, known: Known, work: Work, reports: Reports, lanes: Lanes) -> Flow:
    ports, options, limits = given
    return Flow(
        owner=work.partitions,
        decoder=known.decoder,
        conformity=Conformity(),
        subscriptions=known.subscriptions,
        outboxes=work.outboxes,
        batches=lanes.batches,
        latest=lanes.latest,
        expiry=lanes.expiry,
        parking=work.parking,
        eligible=work.eligible,
        detaching=work.detaching,
        quarantine=work.quarantine,
        replays=lanes.replays,
        masters=reports.masters,
        counts=reports.counts,
        health=reports.health,
        troubles=reports.troubles,
        attempts=ports.attempts,
        schedule=options.schedule,
        max_body_bytes=limits.max_body_bytes,
        clock=ports.clock,
        chance=ports.chance,
    )


def _feed(given: Given, known: Known, work: Work, lanes: Lanes, flow: Flow) -> _Feed:
    ports, options, limits = given
    committer = Committer(
        membership=work.membership,
        partitions=work.partitions,
        store=ports.partitions,
        clock=ports.clock,
        interval=limits.commit_interval,
    )
    cursors = Cursors(
        store=ports.lanes,
        partitions=work.partitions,
        detaching=work.detaching,
        clock=ports.clock,
        interval=limits.store_lanes,
    )
    consumer = Consumer(
        membership=work.membership,
        partitions=work.partitions,
        flow=flow,
        waits=lambda: work.eligible.is_our_outage,
        prepare=known.subscriptions.prepare,
        clock=ports.clock,
        limits=limits,
    )
    ownership = Ownership(
        worker=options.worker,
        membership=work.membership,
        offsets=ports.offsets,
        store=ports.partitions,
        partitions=work.partitions,
        outboxes=work.outboxes,
        parking=work.parking,
        budget=work.budget,
        committer=committer,
        cursors=cursors,
        starts=lanes.starts,
        subscriptions=known.subscriptions,
        clock=ports.clock,
        revoke_seconds=limits.revoke,
    )
    return _Feed(committer, cursors, consumer, ownership)


def _rows(given: Given, known: Known, work: Work, lanes: Lanes) -> Sequence[Part]:
    """Return what turns slow requests into rows, and rows into requests again."""
    ports, _, limits = given
    retries = Retries(
        store=ports.retries,
        partitions=work.partitions,
        subscriptions=known.subscriptions,
        outboxes=work.outboxes,
        parking=work.parking,
        budget=work.budget,
        latest=lanes.latest,
        expiry=lanes.expiry,
        clock=ports.clock,
        poll_seconds=limits.retry_poll,
    )
    overdue = Overdue(
        partitions=work.partitions,
        outboxes=work.outboxes,
        parking=work.parking,
        subscriptions=known.subscriptions,
        latest=lanes.latest,
        clock=ports.clock,
        limits=limits,
    )
    return retries.run, overdue.run


def _readers(
    given: Given, known: Known, work: Work, reports: Reports, flow: Flow
) -> Sequence[Part]:
    """Return what reads the log for lanes, and what watches how long the log keeps what they wait for."""
    ports = given.ports
    scanners = Scanners(
        make_reader=ports.make_reader,
        offsets=ports.offsets,
        partitions=work.partitions,
        subscriptions=known.subscriptions,
        outboxes=work.outboxes,
        flow=flow,
        detaching=work.detaching,
        gaps=reports.gaps,
        clock=ports.clock,
    )
    retention = Retention(
        offsets=ports.offsets,
        partitions=work.partitions,
        subscriptions=known.subscriptions,
        operations=reports.operations,
        clock=ports.clock,
    )
    return scanners.run, retention.run


def _parts(known: Known, work: Work, reports: Reports, lanes: Lanes, feed: _Feed) -> Sequence[Part]:
    """Return what each part that was built before does for as long as the worker runs."""
    return (
        work.outboxes.run,
        known.geofences.follow,
        known.geofences.reread,
        known.subscriptions.follow,
        known.subscriptions.reread,
        known.subscriptions.rebuild,
        known.subscriptions.write_disabled,
        work.parking.run,
        work.quarantine.run,
        feed.committer.run,
        feed.cursors.run,
        feed.cursors.run_new,
        lanes.starts.run,
        lanes.batches.run,
        lanes.latest.run,
        lanes.expiry.run,
        lanes.replays.refresh,
        lanes.replays.run,
        lanes.replays.keep_on,
        reports.operations.run,
        reports.troubles.run,
        reports.masters.run,
        reports.counts.run,
    )
