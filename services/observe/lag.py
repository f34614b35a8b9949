"""How late the event loop gets to what is due: each role measures its own."""

from services.kernel.clock import Clock
from services.observe import metrics

LAG_SECONDS = 0.5


async def measure_lag(clock: Clock) -> None:
    """Look twice a second, until cancelled."""
    while True:
        before = clock.monotonic()
        await clock.sleep(LAG_SECONDS)
        metrics.LOOP_LAG.set(max(0.0, clock.monotonic() - before - LAG_SECONDS))
