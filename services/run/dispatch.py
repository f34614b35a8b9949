"""`planner-webhooks dispatch`: builds a worker on real Kafka, real Postgres and the real network."""

import gc
import os
import random
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog
import uvloop

from services.broker.member import KafkaMember
from services.broker.reader import KafkaLogReader
from services.dispatch.assemble import assemble
from services.dispatch.limits import Limits
from services.dispatch.ports import Options, Ports
from services.dispatch.worker import Worker
from services.kernel.clock import SystemClock
from services.kernel.ports.history import Unrecorded
from services.observe.attempts import SaidAttempts
from services.observe.health import Standing
from services.run import parts, starting
from services.settings import Settings
from services.store.changes import PostgresSubscriptionSource
from services.store.counts import PostgresMatchCounts
from services.store.geofences import PostgresGeofenceSource
from services.store.health import PostgresHealth
from services.store.lanes import PostgresLanes
from services.store.operations import PostgresOperations
from services.store.partitions import PostgresPartitions
from services.store.replays import PostgresReplays
from services.store.retries import PostgresRetries
from services.store.trouble import PostgresTrouble

log = structlog.get_logger()

GC_THRESHOLD = 50_000
"""Most objects on the way of a delivery die young; the default of 700 looks at them all too often."""


def main(settings: Settings) -> None:
    """Deliver until SIGTERM or SIGINT.

    Raises InvalidSettingsError, StartError, or what no part could deal with.
    """
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        standing = await starting.standing(settings, stack)
        worker = await _build(settings, stack, standing)
        starting.on_signals(worker.stop)
        standing.started(lambda: worker.ready)
        # What is there now stays: it needn't be looked at again by each collection.
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 20, 50)
        log.info(
            "dispatch_starts", instance=parts.instance(settings), topics=parts.topics(settings)
        )
        await worker.run()
        log.info("dispatch_stopped")


async def _build(settings: Settings, stack: AsyncExitStack, standing: Standing) -> Worker:
    clock = SystemClock()
    connection = parts.connection(settings)
    cipher = parts.cipher(settings)
    pool = await parts.pool(settings, stack, standing=standing)
    producer = await parts.producer(settings, stack, standing=standing)
    await parts.topics_made(settings, _needed(settings), standing=standing)
    offsets = await parts.offsets(settings, stack, group=settings.kafka.group, standing=standing)
    client = await stack.enter_async_context(parts.client(settings, parts.policy(settings)))
    options = parts.member_options(
        settings, group=settings.kafka.group, topics=parts.topics(settings)
    )
    attempts = parts.attempts(settings, producer, worker=parts.instance(settings), clock=clock)
    ports = Ports(
        make_member=lambda: KafkaMember(connection=connection, options=options),
        offsets=offsets,
        producer=producer,
        make_reader=lambda: KafkaLogReader(connection=connection),
        partitions=PostgresPartitions(pool=pool),
        lanes=PostgresLanes(pool=pool),
        retries=PostgresRetries(pool=pool),
        replays=PostgresReplays(pool=pool),
        subscriptions=PostgresSubscriptionSource(pool=pool, cipher=cipher, clock=clock),
        geofences=PostgresGeofenceSource(pool=pool, clock=clock),
        health=PostgresHealth(pool=pool),
        trouble=PostgresTrouble(pool=pool),
        operations=PostgresOperations(pool=pool),
        counts=PostgresMatchCounts(pool=pool),
        sender=parts.sender(settings, client, clock=clock),
        attempts=SaidAttempts(
            attempts or Unrecorded(),
            share=settings.observe.log_share,
            chance=random.Random(os.urandom(16)).random,  # noqa: S311 - which lines are said
        ),
        clock=clock,
        chance=random.Random(os.urandom(16)).random,  # noqa: S311 - jitter, no secrets
        tracer=parts.tracer(settings, stack, instance=parts.instance(settings)),
    )
    extras = [attempts.run] if attempts else []
    return assemble(ports, _options(settings), limits(settings), extras=extras)


def _needed(settings: Settings) -> list[str]:
    """Return the topics that are read, and that of the attempts: each stop would wait for it."""
    written = [settings.record.topic] if settings.record.enabled else []
    return [*parts.topics(settings), *written]


def _options(settings: Settings) -> Options:
    return Options(
        worker=parts.instance(settings),
        quarantine_topic=settings.kafka.quarantine_topic,
        schedule=settings.retry.schedule_seconds,
        max_in_flight=settings.deliver.max_in_flight,
        max_in_flight_per_subscription=settings.deliver.max_in_flight_per_subscription,
        max_record_bytes=settings.kafka.max_record_bytes,
        drain_seconds=settings.dispatch.drain_seconds,
    )


def limits(settings: Settings) -> Limits:
    """Derive the worker's bounds from the settings."""
    dispatch, retry = settings.dispatch, settings.retry
    return Limits(
        session=settings.kafka.session_timeout_seconds,
        commit_interval=dispatch.commit_interval_ms / 1000,
        revoke=dispatch.revoke_seconds,
        park_after=dispatch.park_after_seconds,
        retry_poll=retry.poll_seconds,
        reload=dispatch.reload_seconds,
        stuck=dispatch.stuck_seconds,
        give_up_after=timedelta(days=retry.disable_after_days)
        if retry.disable_after_days
        else None,
        window_open=dispatch.window_open,
        window_offsets=dispatch.window_offsets,
        window_bytes=dispatch.window_bytes,
        window_deliveries=dispatch.window_deliveries,
        budget_rows=retry.budget_rows,
        budget_bytes=retry.budget_bytes,
        max_body_bytes=settings.deliver.max_body_bytes,
    )
