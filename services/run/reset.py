"""`planner-webhooks reset-offsets`: the group's offsets, moved by hand."""

from collections.abc import Sequence

from services.broker.reset import Moved, Target, reset
from services.run import parts
from services.settings import Settings


async def main(
    settings: Settings,
    *,
    topics: Sequence[str] | None,
    timestamp_ms: int | None,
    offset: int | None,
    dry_run: bool,
) -> list[Moved]:
    """Move the offsets of *topics*, by default of all that are read; see `broker.reset`."""
    return await reset(
        parts.connection(settings),
        group=settings.kafka.group,
        topics=topics or parts.topics(settings),
        target=Target(timestamp_ms, offset),
        dry_run=dry_run,
    )
