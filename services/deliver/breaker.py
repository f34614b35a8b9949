"""Whether a receiver is believed to be there. Pure; `tests/unit/deliver` has the whole table.

             over half of at least 20 failed,                       a probe succeeds
             or 5 connections in a row
    closed ─────────────────────────────────▶ open ─────────────────────────────▶ half open
       ▲                                       │ ▲                                    │ │
       │                 a probe fails: twice  └─┘        more failed than succeeded  │ │
       │                 the wait, up to a minute  ◀──────────────────────────────────┘ │
       └────────────────────────────────────────────────────────────────────────────────┘
                                          20 answers

Answers to requests that were sent before it opened say nothing about what came after: the caller
leaves them out.
"""

from services.kernel.condition import BreakerState

WINDOW = 64
"""How many of the latest requests are looked at."""
SAMPLES = 20
"""With fewer it doesn't open."""
UNREACHED = 5
"""How many failed connections in a row open it."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
JITTER = 0.2
"""A wait is shortened by up to this share, so that those that fail together aren't probed together."""
SPREAD = 1.0
"""The same of the first of the longest waits: 1,000 that went down together would otherwise be probed
within the same twelve seconds of each minute. Not of those before it, so that an outage of seconds isn't
probed more often, and then waited for longer."""
_MASK = (1 << WINDOW) - 1


class Breaker:
    """Of one subscription. Times are monotonic seconds; *chance* is in [0, 1)."""

    __slots__ = ("_failed", "_good", "_unreached", "_wait", "opened", "probe_at", "since", "state")

    def __init__(self, now: float) -> None:
        self.state = BreakerState.CLOSED
        self.since = now
        self.probe_at = 0.0
        """When the next probe may go out, while it is open."""
        self.opened = 0
        """How often it has opened: a request carries it, and is late if it has changed since."""
        self._failed = 0  # a bit for each request, the newest is the lowest
        self._good = 0  # samples while closed, up to WINDOW; successes while half open
        self._unreached = 0
        self._wait = FIRST_WAIT

    def succeeded(self, now: float) -> None:
        """Take in a success."""
        self._unreached = 0
        if self.state is BreakerState.CLOSED:
            if self._failed:
                self._failed = self._failed << 1 & _MASK
            if self._good < WINDOW:
                self._good += 1
        elif self.state is BreakerState.OPEN:
            self._become(BreakerState.HALF_OPEN, now)
            self._failed, self._good = 0, 1
        else:
            self._good += 1
            self._close_if_enough(now)

    def failed(self, now: float, *, unreached: bool, chance: float) -> None:
        """Take in a failure; *unreached*: there was no connection."""
        if self.state is BreakerState.CLOSED:
            self._failed = (self._failed << 1 | 1) & _MASK
            self._good = min(WINDOW, self._good + 1)
            self._unreached = self._unreached + 1 if unreached else 0
            too_many = self._good >= SAMPLES and self._failed.bit_count() * 2 > self._good
            if too_many or self._unreached >= UNREACHED:
                self._open(now, FIRST_WAIT, chance)
        elif self.state is BreakerState.OPEN:
            self._open(now, self._wait * 2, chance)
        else:
            self._failed += 1
            if self._failed > self._good:
                self._open(now, self._wait * 2, chance)
            else:
                self._close_if_enough(now)

    def _open(self, now: float, wait: float, chance: float) -> None:
        if self.state is not BreakerState.OPEN:
            self._become(BreakerState.OPEN, now)
            self.opened += 1
        share = SPREAD if self._wait < LONGEST_WAIT <= wait else JITTER
        self._wait = min(wait, LONGEST_WAIT)
        self.probe_at = now + self._wait * (1 - share * chance)

    def _close_if_enough(self, now: float) -> None:
        if self._good + self._failed >= SAMPLES:
            self._become(BreakerState.CLOSED, now)
            self._failed = (1 << self._failed) - 1
            self._good, self._unreached = SAMPLES, 0

    def _become(self, state: BreakerState, now: float) -> None:
        self.state = state
        self.since = now

    def __repr__(self) -> str:
        return f"<Breaker {self.state}>"
