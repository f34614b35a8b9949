"""The history of attempts, as those see it who make them."""

from typing import Protocol

from services.kernel.attempt import Attempt, Verdict
from services.kernel.delivery import Delivery


class AttemptLog(Protocol):
    """Keeps attempts for people to look at. No delivery ever waits for it."""

    def add(self, delivery: Delivery, attempt: Attempt, verdict: Verdict | None) -> None:
        """Keep an attempt and what follows from it (None: nothing), or count it as lost."""


class Unrecorded:
    """The `AttemptLog` of an installation that keeps none."""

    def add(self, delivery: Delivery, attempt: Attempt, verdict: Verdict | None) -> None:
        """Let it go."""
