"""Time as an argument. This module alone reads the machine's clock; tests move a fake one."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is, and waiting."""

    def now(self) -> datetime:
        """Return the time, aware, UTC."""

    def time(self) -> float:
        """Return Unix seconds; may jump."""

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary start: for durations."""

    async def sleep(self, seconds: float) -> None:
        """Wait *seconds*."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the time, aware, UTC."""
        return datetime.now(UTC)

    def time(self) -> float:
        """Return Unix seconds; may jump."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary start: for durations."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait *seconds*."""
        await asyncio.sleep(seconds)


def rfc3339(moment: datetime) -> str:
    """Return *moment* as the API writes it: RFC 3339, UTC, milliseconds, `Z`."""
    # Not strftime: its years before 1000 have three digits.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def rfc3339_ms(unix_ms: int) -> str:
    """Return Unix milliseconds as the API writes a time."""
    return rfc3339(datetime.fromtimestamp(unix_ms / 1000, tz=UTC))
