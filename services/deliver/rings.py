"""Whose turn it is: fair first between projects, then between the subscriptions of a project. Pure."""

from collections import deque
from collections.abc import Iterator

from services.deliver.outbox import Outbox


class Rings:
    """A ring of projects, and in each a ring of its outboxes that could send. Each stands there once."""

    def __init__(self) -> None:
        self._rings: dict[str, deque[Outbox]] = {}
        self._projects: deque[str] = deque()

    def __iter__(self) -> Iterator[Outbox]:
        """Yield all outboxes in line, in no order to rely on."""
        for ring in self._rings.values():
            yield from ring

    def enter(self, outbox: Outbox) -> None:
        """Put *outbox* at the end of its project's ring; it is in no ring yet."""
        outbox.in_ring = True
        project = outbox.subscription.project_id
        ring = self._rings.get(project)
        if ring is None:
            self._rings[project] = deque([outbox])
            self._projects.append(project)
        else:
            ring.append(outbox)

    def next(self) -> Outbox | None:
        """Take out the outbox whose turn it is; None where no one stands in line."""
        if not self._projects:
            return None
        project = self._projects.popleft()
        ring = self._rings[project]
        outbox = ring.popleft()
        outbox.in_ring = False
        if ring:
            self._projects.append(project)
        else:
            del self._rings[project]
        return outbox
