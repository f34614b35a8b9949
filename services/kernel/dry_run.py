"""A filter tried on the log before it is stored: a job."""

from datetime import datetime

from services.kernel.dead_letter import JobState
from services.kernel.event import Json
from services.kernel.ids import ProjectId
from services.kernel.value import value


@value
class DryRun:
    """One job; whoever runs an API works on it."""

    id: str
    project_id: ProjectId
    question: Json
    """`{"types", "filter", "from", "subscription"}`: the filter in its normal form, or null."""
    state: JobState = JobState.QUEUED
    done: int = 0
    """Records read."""
    total: int | None = None
    """Records from the time asked for to the end of the log; None: nobody has begun."""
    result: Json | None = None
    error: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
