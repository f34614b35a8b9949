"""A worker from its ports. `run.dispatch` puts in the real ones, the simulation its fakes."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from services.deliver.outbox import Outboxes
from services.dispatch.batches import Batches
from services.dispatch.budget import Budget
from services.dispatch.changes import Changes
from services.dispatch.commit import Committer
from services.dispatch.consume import Consumer
from services.dispatch.counts import Counts
from services.dispatch.cursors import Cursors
from services.dispatch.detach import Detaching
from services.dispatch.flow import Flow
from services.dispatch.gaps import Gaps
from services.dispatch.geofences import Geofences
from services.dispatch.health import Health
from services.dispatch.latest import Latest
from services.dispatch.limits import Limits
from services.dispatch.masters import Masters
from services.dispatch.misses import Misses
from services.dispatch.operations import Operations
from services.dispatch.overdue import Overdue
from services.dispatch.owned import OwnedPartitions
from services.dispatch.ownership import Ownership
from services.dispatch.parking import Parking
from services.dispatch.quarantine import Quarantine
from services.dispatch.replays import Replays
from services.dispatch.retention import Retention
from services.dispatch.retries import Retries
from services.dispatch.scan import Scanners
from services.dispatch.starts import Starts
from services.dispatch.subscriptions import Subscriptions
from services.dispatch.traced import TracedMatcher, TracedSender
from services.dispatch.trouble import Troubles
from services.dispatch.watchdog import Watchdog
from services.dispatch.worker import Membership, Worker
from services.feed.conform import Conformity
from services.feed.decode import Decoder
from services.kernel.clock import Clock
from services.kernel.event import Partition
from services.kernel.operation import OPS_TOPIC
from services.kernel.ports.broker import LogReader, Member, Offsets, Producer
from services.kernel.ports.history import AttemptLog
from services.kernel.ports.network import Sender
from services.kernel.ports.store.counts import MatchCountStore
from services.kernel.ports.store.health import HealthStore, TroubleStore
from services.kernel.ports.store.lanes import LaneStore
from services.kernel.ports.store.operations import OperationStore
from services.kernel.ports.store.partitions import PartitionStore
from services.kernel.ports.store.replays import ReplayStore
from services.kernel.ports.store.retries import RetryStore
from services.kernel.ports.store.sources import GeofenceSource, SubscriptionSource
from services.kernel.ports.trace import Tracer
from services.kernel.subscription import Subscription
from services.kernel.value import value
from services.match.index import Matcher

FILTER_BROKEN = "filter_broken"
"""Why we switch off a subscription whose stored filter can't be read any more."""


@value
class Ports:
    """What a worker needs from outside."""

    make_member: Callable[[], Member]
    offsets: Offsets
    make_reader: Callable[[], LogReader]
    producer: Producer
    partitions: PartitionStore
    retries: RetryStore
    lanes: LaneStore
    replays: ReplayStore
    subscriptions: SubscriptionSource
    geofences: GeofenceSource
    health: HealthStore
    trouble: TroubleStore
    operations: OperationStore
    counts: MatchCountStore
    sender: Sender
    attempts: AttemptLog
    clock: Clock
    chance: Callable[[], float]
    tracer: Tracer | None = None
    """None: nobody asked for traces, and nothing on the way of an event knows of them."""


@value
class Options:
    """What a worker is told, beside its limits."""

    worker: str
    quarantine_topic: str
    schedule: Sequence[float]
    max_in_flight: int
    max_in_flight_per_subscription: int
    max_record_bytes: int
    drain_seconds: float
    tells: Partition = Partition(OPS_TOPIC, 0)
    """Whose owner passes on what the service says of itself."""


def assemble(
    ports: Ports,
    options: Options,
    limits: Limits,
    *,
    extras: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
) -> Worker:
    """Build a worker; nothing is started."""
    clock = ports.clock
    partitions = OwnedPartitions()
    budget = Budget(rows=limits.budget_rows, bytes_=limits.budget_bytes)
    membership = Membership(ports.make_member)
    health = Health(store=ports.health, worker=options.worker)
    parking = Parking(
        store=ports.retries,
        partitions=partitions,
        budget=budget,
        clock=clock,
        ordered_seconds=limits.ordered,
    )
    outboxes = Outboxes(
        sender=_sender(ports),
        on_attempt=lambda delivery, attempt: flow.settle(delivery, attempt),  # noqa: PLW0108 - made below
        on_trouble=lambda id_, trouble: detaching.trouble(id_, trouble),  # noqa: PLW0108 - made below
        clock=clock,
        chance=ports.chance,
        may_begin=lambda seconds: membership.member.silence() < limits.session - seconds,
        ordered_seconds=limits.ordered,
        barrier=partitions.barrier,
        max_in_flight=options.max_in_flight,
        max_in_flight_per_subscription=options.max_in_flight_per_subscription,
    )
    parking.on_turn = outboxes.waits_as_row
    parking.on_through = outboxes.through
    detaching = Detaching(
        partitions=partitions,
        outboxes=outboxes,
        parking=parking,
        known=lambda id_: subscriptions.get(id_),  # noqa: PLW0108 - made below
        clock=clock,
        window_open=limits.window_open,
        hold_seconds=limits.hold,
    )
    operations = Operations(
        store=ports.operations,
        producer=ports.producer,
        is_ours=lambda: partitions.current(options.tells) is not None,
        clock=clock,
        chance=ports.chance,
    )
    gaps = Gaps(
        store=ports.lanes,
        known=lambda id_: subscriptions.get(id_),  # noqa: PLW0108 - made below
        operations=operations,
        clock=clock,
    )
    starts = Starts(
        store=ports.lanes, gaps=gaps, partitions=partitions, detaching=detaching, clock=clock
    )
    changes = Changes(
        outboxes=outboxes,
        parking=parking,
        detaching=detaching,
        starts=starts,
        budget=budget,
        health=health,
    )
    matcher = _matcher(
        ports, on_broken=lambda broken: subscriptions.disable(broken, reason=FILTER_BROKEN)
    )
    geofences = Geofences(
        source=ports.geofences,
        clock=clock,
        reload_seconds=limits.reload,
        on_change=matcher.set_fences,
    )
    subscriptions = Subscriptions(
        source=ports.subscriptions,
        matcher=matcher,
        clock=clock,
        reload_seconds=limits.reload,
        on_change=changes,
    )
    masters = Masters(
        store=ports.geofences,
        partitions=partitions,
        clock=clock,
    )
    troubles = Troubles(
        store=ports.trouble,
        known=subscriptions.get,
        disable=lambda subscription, reason: subscriptions.disable(subscription, reason=reason),
        open_for=outboxes.open_for,
        give_up_after=limits.give_up_after,
        clock=clock,
    )
    quarantine = Quarantine(
        producer=ports.producer,
        topic=options.quarantine_topic,
        partitions=partitions,
        clock=clock,
    )
    decoder = Decoder(max_bytes=options.max_record_bytes)
    replays = Replays(
        store=ports.replays,
        make_reader=ports.make_reader,
        offsets=ports.offsets,
        decoder=decoder,
        partitions=partitions,
        subscriptions=subscriptions,
        outboxes=outboxes,
        clock=clock,
        max_body_bytes=limits.max_body_bytes,
    )
    parking.on_beside = replays.settled
    detaching.on_beside = replays.back
    misses = Misses(refused=matcher.refused, clock=clock)
    counts = Counts(store=ports.counts, misses=misses, clock=clock)
    batches = Batches(
        partitions=partitions, outboxes=outboxes, known=subscriptions.get, clock=clock
    )
    latest = Latest(
        partitions=partitions,
        outboxes=outboxes,
        parking=parking,
        known=subscriptions.get,
        clock=clock,
    )
    flow = Flow(
        owner=partitions,
        decoder=decoder,
        replays=replays,
        conformity=Conformity(),
        subscriptions=subscriptions,
        outboxes=outboxes,
        batches=batches,
        latest=latest,
        parking=parking,
        detaching=detaching,
        quarantine=quarantine,
        masters=masters,
        counts=counts,
        health=health,
        troubles=troubles,
        attempts=ports.attempts,
        schedule=options.schedule,
        max_body_bytes=limits.max_body_bytes,
        clock=clock,
        chance=ports.chance,
    )
    committer = Committer(
        membership=membership,
        partitions=partitions,
        store=ports.partitions,
        clock=clock,
        interval=limits.commit_interval,
    )
    consumer = Consumer(
        membership=membership,
        partitions=partitions,
        flow=flow,
        waits=lambda: detaching.is_our_outage,
        prepare=subscriptions.prepare,
        clock=clock,
        limits=limits,
    )
    cursors = Cursors(
        store=ports.lanes,
        partitions=partitions,
        detaching=detaching,
        clock=clock,
        interval=limits.store_lanes,
    )
    scanners = Scanners(
        make_reader=ports.make_reader,
        offsets=ports.offsets,
        partitions=partitions,
        subscriptions=subscriptions,
        outboxes=outboxes,
        flow=flow,
        detaching=detaching,
        gaps=gaps,
        clock=clock,
    )
    retention = Retention(
        offsets=ports.offsets,
        partitions=partitions,
        subscriptions=subscriptions,
        operations=operations,
        clock=clock,
    )
    watchdog = Watchdog(
        offsets=ports.offsets,
        partitions=partitions,
        polling_since=lambda: consumer.polling_since,
        clock=clock,
        seconds=limits.stuck,
        on_stuck=lambda detail: worker.stuck(detail),  # noqa: PLW0108 - made below
    )
    worker = Worker(
        membership=membership,
        partitions=partitions,
        subscriptions=subscriptions,
        geofences=geofences,
        consumer=consumer,
        ownership=Ownership(
            worker=options.worker,
            membership=membership,
            offsets=ports.offsets,
            store=ports.partitions,
            partitions=partitions,
            outboxes=outboxes,
            parking=parking,
            budget=budget,
            committer=committer,
            cursors=cursors,
            starts=starts,
            subscriptions=subscriptions,
            clock=clock,
            revoke_seconds=limits.revoke,
        ),
        committer=committer,
        outboxes=outboxes,
        parking=parking,
        retries=Retries(
            store=ports.retries,
            partitions=partitions,
            subscriptions=subscriptions,
            outboxes=outboxes,
            parking=parking,
            budget=budget,
            latest=latest,
            clock=clock,
            poll_seconds=limits.retry_poll,
        ),
        overdue=Overdue(
            partitions=partitions,
            outboxes=outboxes,
            parking=parking,
            subscriptions=subscriptions,
            latest=latest,
            clock=clock,
            limits=limits,
        ),
        quarantine=quarantine,
        health=health,
        extras=(
            operations.run,
            batches.run,
            latest.run,
            retention.run,
            troubles.run,
            masters.run,
            counts.run,
            watchdog.run,
            detaching.run,
            cursors.run,
            cursors.run_new,
            starts.run,
            scanners.run,
            replays.refresh,
            replays.run,
            replays.keep_on,
            *extras,
        ),
        clock=clock,
        drain_seconds=options.drain_seconds,
    )
    return worker


def _sender(ports: Ports) -> Sender:
    if ports.tracer is None:
        return ports.sender
    return TracedSender(sender=ports.sender, tracer=ports.tracer)


def _matcher(ports: Ports, *, on_broken: Callable[[Subscription], None]) -> Matcher:
    if ports.tracer is None:
        return Matcher(on_broken=on_broken)
    return TracedMatcher(on_broken=on_broken, tracer=ports.tracer, clock=ports.clock)
