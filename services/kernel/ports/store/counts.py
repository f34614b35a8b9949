"""Tables `seen_counts`, `match_counts` and `miss_counts`: events, by type and by subscription."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

from services.kernel.ids import ProjectId, SubscriptionId


class Tally(NamedTuple):
    """A number of events."""

    all: int
    """Since the earlier of two times."""
    lately: int
    """Of them, since the later one."""


class Seen(NamedTuple):
    """Events of one type of one project."""

    events: int
    bytes: int
    """Of their records' values."""
    peak: int
    """The most of a second, as the records' timestamps have it, that came to one worker."""


FILTER = ""
"""In place of the pointer of a clause: the filter, each miss that was explained."""


class Clause(NamedTuple):
    """A clause of a subscription's filter."""

    subscription_id: SubscriptionId
    pointer: str
    """RFC 6901, in the subscription; or FILTER."""


class MatchCountStore(Protocol):
    """Tables `seen_counts`, `match_counts` and `miss_counts`, added to by all workers.

    In slots of five minutes; misses, which are a sample, in slots of an hour.
    """

    async def add(
        self,
        seen: Mapping[tuple[str, str], Seen],
        matched: Mapping[SubscriptionId, int],
        missed: Mapping[Clause, int],
        *,
        at: datetime,
    ) -> None:
        """Add what one worker counted: *seen* by (project, type), *matched* by subscription."""

    async def seen(
        self, project_id: ProjectId, *, since: datetime, lately: datetime
    ) -> Mapping[str, Tally]:
        """Return how many events of each type were seen in slots from *since* on."""

    async def volumes(self, project_id: ProjectId, *, since: datetime) -> Mapping[str, Seen]:
        """Return what was seen of each type in slots from *since* on."""

    async def matched(self, id_: SubscriptionId, *, since: datetime, lately: datetime) -> Tally:
        """Return how many events a subscription matched in slots from *since* on."""

    async def missed(self, id_: SubscriptionId, *, since: datetime) -> Mapping[str, int]:
        """Return how many explained misses each clause said no to, by pointer, FILTER: all."""
