"""`planner-webhooks record`: builds a recorder on real Kafka and real Postgres."""

import asyncio
from contextlib import AsyncExitStack

import structlog
import uvloop

from services.broker.member import KafkaMember
from services.kernel.clock import SystemClock
from services.observe.health import Standing
from services.observe.lag import measure_lag
from services.record.consume import Recorder
from services.run import parts, starting
from services.settings import Settings
from services.store.attempts import PostgresAttempts

log = structlog.get_logger()

MAX_RECORD_BYTES = 4 << 20
"""Fetched at once of a partition."""


def main(settings: Settings) -> None:
    """Store attempts until SIGTERM or SIGINT.

    Raises InvalidSettingsError, StartError, or what no part could deal with.
    """
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        standing = await starting.standing(settings, stack)
        recorder = await _build(settings, stack, standing)
        starting.on_signals(recorder.stop)
        standing.started(lambda: recorder.trouble)
        log.info("record_starts", instance=parts.instance(settings))
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(work) for work in (recorder.keep(), measure_lag(SystemClock()))
            ]
            await recorder.run()
            for task in beside:
                task.cancel()
        log.info("record_stopped")


async def _build(settings: Settings, stack: AsyncExitStack, standing: Standing) -> Recorder:
    connection = parts.connection(settings)
    topic = settings.record.topic
    pool = await parts.pool(settings, stack, standing=standing)
    await parts.topics_made(settings, [topic], standing=standing)
    offsets = await parts.offsets(settings, stack, group=group(settings), standing=standing)
    options = parts.member_options(
        settings, group=group(settings), topics=[topic], partition_bytes=MAX_RECORD_BYTES
    )
    return Recorder(
        make_member=lambda: KafkaMember(connection=connection, options=options),
        offsets=offsets,
        store=PostgresAttempts(pool=pool),
        retention_days=settings.record.retention_days,
        clock=SystemClock(),
    )


def group(settings: Settings) -> str:
    """Return the group that recorders share partitions in."""
    return f"{settings.kafka.group}.record"
