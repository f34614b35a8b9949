"""A request becomes ranges of the log. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from services.kernel.clock import rfc3339
from services.kernel.errors import Fault
from services.kernel.event import Partition
from services.kernel.ports.broker import Bounds
from services.kernel.replay import Range

SOON = timedelta(minutes=2)


def ranges(
    *,
    starts: Mapping[Partition, int],
    ends: Mapping[Partition, int],
    bounds: Mapping[Partition, Bounds],
) -> tuple[Range, ...]:
    """Return the parts that hold anything, [start, end) by partition, inside of the log."""
    found = []
    for partition, bound in sorted(bounds.items()):
        start = max(bound.start, starts.get(partition, bound.end))
        end = min(bound.end, ends.get(partition, bound.end))
        if start < end:
            found.append(Range(partition, start, end, cursor=start))
    return tuple(found)


def span_faults(
    from_at: datetime | None,
    to_at: datetime | None,
    *,
    now: datetime,
    oldest: datetime | None,
) -> list[Fault]:
    """Return what is wrong with [from, to); *oldest* is when the log begins, None: all is there."""
    faults: list[Fault] = []
    if from_at is None:
        return faults
    if from_at >= now:
        faults.append(Fault("range", "from lies in the future: nothing is there yet", "/from"))
    elif to_at is not None and to_at <= from_at:
        faults.append(Fault("range", "from must lie before to", "/from"))
    if oldest is not None and from_at < oldest:
        faults.append(outside(oldest, "/from"))
    return faults


def outside(oldest: datetime, pointer: str) -> Fault:
    """Return the fault of a time from before the log begins: it says from when on all is there.

    Retention goes on meanwhile: what is said is still there in a minute, when somebody asks for it.
    """
    since = (oldest + SOON).replace(second=0, microsecond=0)
    message = f"the log no longer holds that time: it can be had from {rfc3339(since)} on"
    return Fault("outside_of_log", message, pointer)


def key_of(key: str, project_id: str) -> str | None:
    """Return an order key without its project; None: it is another project's."""
    project, colon, rest = key.partition(":")
    if colon and len(project) == len(project_id) and _is_hex(project):
        return rest if project == project_id else None
    return key


def _is_hex(text: str) -> bool:
    return all(char in "0123456789abcdef" for char in text)
