"""`planner-webhooks reset-offsets`: the group's offsets, moved by hand; lanes with them if asked to."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from services.broker.reset import Moved, Target, reset
from services.kernel.event import Partition
from services.run import parts
from services.settings import Settings
from services.store.lanes import PostgresLanes

__all__ = ["Target", "main"]


async def main(
    settings: Settings,
    *,
    topics: Sequence[str] | None,
    target: Target,
    with_lanes: bool,
    dry_run: bool,
) -> tuple[list[Moved], Mapping[Partition, int]]:
    """Move the offsets of *topics*, by default of all that are read; see `broker.reset`.

    Lanes above follow by themselves when a worker starts; those below only *with_lanes*: returned is
    also how many those are. Raises StartError where Postgres is needed and isn't there.
    """
    async with AsyncExitStack() as stack:
        lanes = None
        if with_lanes:  # looked for first: nothing is moved where it isn't there
            lanes = PostgresLanes(pool=await parts.pool(settings, stack))
        moved = await reset(
            parts.connection(settings),
            group=settings.kafka.group,
            topics=topics or parts.topics(settings),
            target=target,
            dry_run=dry_run,
        )
        if lanes is None:
            return moved, {}
        offsets = {row.partition: row.after for row in moved}
        below = await lanes.below(offsets)
        if not dry_run:
            await lanes.leap(offsets)
        return moved, below
