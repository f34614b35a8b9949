"""`planner-webhooks geofence`: builds a geofencer on real Kafka and real Postgres."""

import asyncio
from contextlib import AsyncExitStack

import structlog
import uvloop

from services.broker.member import KafkaMember
from services.broker.offsets import KafkaOffsets
from services.broker.reader import KafkaLogReader
from services.dispatch.geofences import Geofences
from services.feed.decode import Decoder
from services.geofence.consume import Geofencer
from services.geofence.judge import Bounds
from services.kernel.clock import SystemClock
from services.kernel.ids import ProjectId
from services.match.fences import NO_FENCES, Fences
from services.observe.health import Standing
from services.observe.lag import measure_lag
from services.run import parts, starting
from services.settings import Settings
from services.store.geofences import PostgresGeofenceSource

log = structlog.get_logger()


def main(settings: Settings) -> None:
    """Judge positions until SIGTERM or SIGINT.

    Raises InvalidSettingsError, StartError, or what no part could deal with.
    """
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        standing = await starting.standing(settings, stack)
        fences: dict[ProjectId, Fences] = {}
        geofences = await _geofences(settings, stack, standing, fences)
        geofencer = await _build(settings, stack, standing, fences)
        starting.on_signals(geofencer.stop)
        standing.started(lambda: geofencer.trouble)
        log.info("geofence_starts", instance=parts.instance(settings))
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(work)
                for work in (
                    geofences.follow(),
                    geofences.reread(),
                    geofencer.forget(),
                    measure_lag(SystemClock()),
                )
            ]
            await geofencer.run()
            for task in beside:
                task.cancel()
        log.info("geofence_stopped")


async def _geofences(
    settings: Settings,
    stack: AsyncExitStack,
    standing: Standing,
    fences: dict[ProjectId, Fences],
) -> Geofences:
    """Return what keeps *fences* as they are in Postgres; they are read once already."""
    clock = SystemClock()
    pool = await parts.pool(settings, stack, standing=standing)
    found = Geofences(
        source=PostgresGeofenceSource(pool=pool, clock=clock),
        clock=clock,
        reload_seconds=settings.dispatch.reload_seconds,
        on_change=fences.__setitem__,
    )
    await found.load()
    return found


async def _build(
    settings: Settings,
    stack: AsyncExitStack,
    standing: Standing,
    fences: dict[ProjectId, Fences],
) -> Geofencer:
    connection = parts.connection(settings)
    topic, state_topic = settings.geofence.topic, settings.geofence.state_topic
    producer = await parts.producer(settings, stack, standing=standing)
    await parts.topics_made(settings, [topic, state_topic], standing=standing)
    offsets = await parts.offsets(settings, stack, group=group(settings), standing=standing)
    await _check_partitions(offsets, topic, state_topic)
    options = parts.member_options(settings, group=group(settings), topics=[topic])
    return Geofencer(
        make_member=lambda: KafkaMember(connection=connection, options=options),
        make_reader=lambda: KafkaLogReader(connection=connection),
        offsets=offsets,
        producer=producer,
        decode=Decoder(max_bytes=settings.kafka.max_record_bytes).decode,
        fences=lambda project_id: fences.get(project_id, NO_FENCES),
        state_topic=state_topic,
        bounds=Bounds(
            exit_buffer_m=settings.geofence.exit_buffer_meters,
            max_accuracy_m=settings.geofence.max_accuracy_meters,
        ),
        clock=SystemClock(),
    )


async def _check_partitions(offsets: KafkaOffsets, topic: str, state_topic: str) -> None:
    """Raise StartError where a vehicle's state can't lie in the partition of its positions."""
    count = len(await offsets.partitions([topic]))
    states = len(await offsets.partitions([state_topic]))
    if states < count:
        raise starting.StartError(
            f"{topic} has {count} partitions and {state_topic} {states}: give it {count},"
            f" `kafka-topics --alter --topic {state_topic} --partitions {count}`"
        )


def group(settings: Settings) -> str:
    """Return the group that geofencers share partitions in."""
    return f"{settings.kafka.group}.geofence"
