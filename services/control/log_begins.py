"""From when on the log can be read again: retention takes its beginning, each partition's on its own."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.kernel.errors import BrokerGoneError
from services.kernel.event import Partition
from services.kernel.ports.broker import Bounds, LogReader, Offsets

SECONDS = 5.0


class Log(NamedTuple):
    """The topics that are read, by pointer."""

    topics: Sequence[str]
    offsets: Offsets
    reader: Callable[[], LogReader]
    """A new one, for the time of a request."""


async def log_begins(
    log: Log, bounds: Mapping[Partition, Bounds], *, before: datetime, now: datetime
) -> datetime | None:
    """Return when the log begins, where retention takes some of what follows *before*.

    None: it has all of that. Time that no topic keeps is not there, also where nothing was taken yet:
    what lay there, if anything did, was never in this log. Raises BrokerGoneError.
    """
    kept = list((await log.offsets.retention(log.topics)).values())
    moments = []
    cut = {p: b.start for p, b in bounds.items() if 0 < b.start < b.end}
    reader = log.reader()
    try:
        async with asyncio.timeout(SECONDS):
            while cut:
                found = await reader.read(cut, limit=len(cut), wait=timedelta(seconds=0.5))
                for partition, batch in found.items():
                    if batch.records:
                        moments.append(batch.records[0].timestamp_ms)
                    del cut[partition]
    except TimeoutError as error:
        raise BrokerGoneError("Kafka does not say when its log begins") from error
    finally:
        await reader.stop()
    oldest = [datetime.fromtimestamp(ms / 1000, tz=UTC) for ms in moments]
    longest = [each for each in kept if each is not None]
    if longest and len(longest) == len(kept):
        oldest.append(now - max(longest))
    return max((moment for moment in oldest if moment > before), default=None)
