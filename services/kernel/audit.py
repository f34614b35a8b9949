"""Who changed what: one entry a change, written with the change itself."""

from datetime import datetime
from typing import NamedTuple

from services.kernel.event import Json
from services.kernel.value import value


@value
class Entry:
    """One change of one object."""

    id: str
    at: datetime
    actor: str
    """Id of the API key, `admin` for the operator, `system` for what we do ourselves."""
    address: str | None
    """Where the request came from."""
    project_id: str | None
    """None: of no project."""
    action: str
    """`create` `update` `delete` `pause` `rotate` …: what was asked for."""
    object_type: str
    """`subscription` `project` …"""
    object_id: str
    before: Json | None
    """None: it was not there. Of an update: what differs."""
    after: Json | None
    """None: it is not there any more."""


class EntryFilter(NamedTuple):
    """Which entries; None: any."""

    project_id: str | None = None
    actor: str | None = None
    action: str | None = None
    object_type: str | None = None
    object_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Not at or after this."""
