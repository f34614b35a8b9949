"""The parts of a worker, in groups: what is built together, and what later groups need of it."""

from collections.abc import Callable
from typing import NamedTuple

from services.deliver.outboxes import Outboxes
from services.dispatch.batches import Batches
from services.dispatch.budget import Budget
from services.dispatch.counts import Counts
from services.dispatch.detach import Detaching
from services.dispatch.eligible import Eligible
from services.dispatch.expiry import Expiry
from services.dispatch.gaps import Gaps
from services.dispatch.geofences import Geofences
from services.dispatch.health import Health
from services.dispatch.latest import Latest
from services.dispatch.limits import Limits
from services.dispatch.masters import Masters
from services.dispatch.misses import Misses
from services.dispatch.operations import Operations
from services.dispatch.owned import OwnedPartitions
from services.dispatch.parking import Parking
from services.dispatch.ports import Options, Ports
from services.dispatch.quarantine import Quarantine
from services.dispatch.relief import Relief
from services.dispatch.replays import Replays
from services.dispatch.starts import Starts
from services.dispatch.subscriptions import Subscriptions
from services.dispatch.traced import TracedMatcher, TracedSender
from services.dispatch.trouble import Troubles
from services.dispatch.worker import Membership
from services.feed.decode import Decoder
from services.kernel.attempt import Attempt
from services.kernel.delivery import Delivery
from services.kernel.ports.network import Sender
from services.kernel.subscription import Subscription
from services.match.index import Matcher

FILTER_BROKEN = "filter_broken"
"""Why a subscription is disabled whose stored filter can't be read any more."""


class Given(NamedTuple):
    """What the caller brings."""

    ports: Ports
    options: Options
    limits: Limits


class Known(NamedTuple):
    """What it takes to make sense of a record."""

    decoder: Decoder
    matcher: Matcher
    subscriptions: Subscriptions
    geofences: Geofences


class Work(NamedTuple):
    """What is owned, and where a record of it can be: queued, in flight, a row, in quarantine."""

    membership: Membership
    partitions: OwnedPartitions
    budget: Budget
    parking: Parking
    outboxes: Outboxes
    eligible: Eligible
    detaching: Detaching
    quarantine: Quarantine


class Reports(NamedTuple):
    """What the worker tells the rest of the service."""

    health: Health
    operations: Operations
    gaps: Gaps
    troubles: Troubles
    counts: Counts
    masters: Masters


class Lanes(NamedTuple):
    """How subscriptions are served that are not fed live, and replays."""

    starts: Starts
    batches: Batches
    latest: Latest
    expiry: Expiry
    replays: Replays


def build_known(
    given: Given, *, on_change: Callable[[Subscription | None, Subscription | None], None]
) -> Known:
    """Build `Known`; *on_change* hears of each change to a subscription."""
    ports, options, limits = given
    matcher = _matcher(
        ports, on_broken=lambda broken: subscriptions.disable(broken, reason=FILTER_BROKEN)
    )
    subscriptions = Subscriptions(
        source=ports.subscriptions,
        matcher=matcher,
        clock=ports.clock,
        reload_seconds=limits.reload,
        on_change=on_change,
    )
    geofences = Geofences(
        source=ports.geofences,
        clock=ports.clock,
        reload_seconds=limits.reload,
        on_change=matcher.set_fences,
    )
    decoder = Decoder(max_bytes=options.max_record_bytes)
    return Known(decoder, matcher, subscriptions, geofences)


def _matcher(ports: Ports, *, on_broken: Callable[[Subscription], None]) -> Matcher:
    if ports.tracer is None:
        return Matcher(on_broken=on_broken)
    return TracedMatcher(on_broken=on_broken, tracer=ports.tracer, clock=ports.clock)


def _sender(ports: Ports) -> Sender:
    if ports.tracer is None:
        return ports.sender
    return TracedSender(sender=ports.sender, tracer=ports.tracer)


def build_work(given: Given, known: Known, *, settle: Callable[[Delivery, Attempt], None]) -> Work:
    """Build `Work`; *settle* gets each answer of a receiver."""
    ports, options, limits = given
    membership = Membership(ports.make_member)
    partitions = OwnedPartitions()
    budget = Budget(rows=limits.budget_rows, bytes_=limits.budget_bytes)
    parking = Parking(
        store=ports.retries,
        partitions=partitions,
        budget=budget,
        clock=ports.clock,
        ordered_seconds=limits.ordered,
    )
    outboxes = Outboxes(
        sender=_sender(ports),
        on_attempt=settle,
        on_trouble=lambda id_, trouble: eligible.trouble(id_, trouble),  # noqa: PLW0108 - built below
        clock=ports.clock,
        chance=ports.chance,
        may_begin=lambda seconds: membership.member.silence() < limits.session - seconds,
        ordered_seconds=limits.ordered,
        barrier=partitions.barrier,
        max_in_flight=options.max_in_flight,
        max_in_flight_per_subscription=options.max_in_flight_per_subscription,
    )
    parking.on_turn = outboxes.waits_as_row
    parking.on_through = outboxes.through
    eligible = Eligible(
        outboxes=outboxes,
        known=known.subscriptions.get,
        clock=ports.clock,
        hold_seconds=limits.hold,
    )
    detaching = Detaching(
        partitions=partitions,
        outboxes=outboxes,
        parking=parking,
        eligible=eligible,
        clock=ports.clock,
    )
    quarantine = Quarantine(
        producer=ports.producer,
        topic=options.quarantine_topic,
        partitions=partitions,
        clock=ports.clock,
    )
    return Work(membership, partitions, budget, parking, outboxes, eligible, detaching, quarantine)


def build_reports(given: Given, known: Known, work: Work) -> Reports:
    """Build `Reports`."""
    ports, options, limits = given
    subscriptions = known.subscriptions
    operations = Operations(
        store=ports.operations,
        producer=ports.producer,
        is_ours=lambda: work.partitions.current(options.tells) is not None,
        clock=ports.clock,
        chance=ports.chance,
    )
    gaps = Gaps(
        store=ports.lanes, known=subscriptions.get, operations=operations, clock=ports.clock
    )
    troubles = Troubles(
        store=ports.trouble,
        known=subscriptions.get,
        disable=lambda failing, reason: subscriptions.disable(failing, reason=reason),
        open_for=work.outboxes.open_for,
        give_up_after=limits.give_up_after,
        clock=ports.clock,
    )
    misses = Misses(refused=known.matcher.refused, clock=ports.clock)
    return Reports(
        health=Health(store=ports.health, worker=options.worker),
        operations=operations,
        gaps=gaps,
        troubles=troubles,
        counts=Counts(store=ports.counts, misses=misses, clock=ports.clock),
        masters=Masters(store=ports.geofences, partitions=work.partitions, clock=ports.clock),
    )


def build_lanes(given: Given, known: Known, work: Work, reports: Reports) -> Lanes:
    """Build `Lanes`, and tell parking and detaching whom replays belong to."""
    ports, _, limits = given
    starts = Starts(
        store=ports.lanes,
        gaps=reports.gaps,
        partitions=work.partitions,
        detaching=work.detaching,
        clock=ports.clock,
    )
    batches = Batches(
        partitions=work.partitions,
        outboxes=work.outboxes,
        known=known.subscriptions.get,
        clock=ports.clock,
    )
    latest = Latest(
        partitions=work.partitions,
        outboxes=work.outboxes,
        parking=work.parking,
        known=known.subscriptions.get,
        clock=ports.clock,
    )
    expiry = Expiry(
        partitions=work.partitions,
        outboxes=work.outboxes,
        batches=batches,
        parking=work.parking,
        known=known.subscriptions.get,
        clock=ports.clock,
    )
    replays = Replays(
        store=ports.replays,
        make_reader=ports.make_reader,
        offsets=ports.offsets,
        decoder=known.decoder,
        partitions=work.partitions,
        subscriptions=known.subscriptions,
        outboxes=work.outboxes,
        clock=ports.clock,
        max_body_bytes=limits.max_body_bytes,
    )
    work.parking.on_beside = replays.settled
    work.detaching.on_beside = replays.back
    return Lanes(starts, batches, latest, expiry, replays)


def build_relief(given: Given, known: Known, work: Work) -> Relief:
    """Build `Relief`."""
    return Relief(
        partitions=work.partitions,
        outboxes=work.outboxes,
        eligible=work.eligible,
        detaching=work.detaching,
        known=known.subscriptions.get,
        clock=given.ports.clock,
        window_open=given.limits.window_open,
        window_deliveries=given.limits.window_deliveries,
    )
