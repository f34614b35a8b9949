"""Which events of the log are shown to whom, and as what: the log itself knows no subscriptions."""

import re
from datetime import datetime
from typing import NamedTuple

import orjson

from services.control.access import Caller
from services.kernel.about import about
from services.kernel.event import Event, Record
from services.kernel.operation import is_about
from services.kernel.registration import Registration
from services.kernel.subscription import Subscription
from services.match import types
from services.match.index import Matcher
from services.render import render

PLAIN = re.compile(r"[A-Za-z0-9._-]+")
"""What JSON writes as it is, or with escapes that begin as below."""
ESCAPE = b"\\u"


class Asked(NamedTuple):
    """What is asked for; None: any."""

    topic: str | None = None
    type: str | None = None
    key: str | None = None
    time: datetime | None = None
    after: str | None = None
    subscription: str | None = None
    project_id: str | None = None
    ids: tuple[tuple[str, str], ...] = ()
    """What it is about, `stop_id` and so on, and `event_id`."""

    @property
    def belongs(self) -> str:
        """Return what a pointer belongs to: with other filters it would skip or repeat."""
        by = [self.topic, self.type, self.key, self.subscription, self.project_id, self.ids]
        return orjson.dumps(by).decode()

    def takes(self, event: Event) -> bool:
        """Tell whether *event* has the key and the ids that are asked for."""
        if self.key is not None and event.key != self.key:
            return False
        if not self.ids:
            return True
        found = {"event_id": event.id, **about(event)._asdict()}
        return all(found[name] == id_ for name, id_ in self.ids)


class Entry(NamedTuple):
    """An event where it stands; with a subscription, as it was or would have been sent to it."""

    event: Event
    type: str
    body: bytes | None
    """None: as it is in the log."""


class View:
    """Which events are shown, and how."""

    def __init__(
        self,
        caller: Caller,
        asked: Asked,
        pattern: types.Pattern | None,
        matcher: Matcher | None,
        max_body_bytes: int,
    ) -> None:
        self._caller = caller
        self._asked = asked
        self._pattern = pattern
        self._matcher = matcher
        self._max_body_bytes = max_body_bytes
        self._needles = _needles(caller.project_id or asked.project_id, pattern)

    def may_show(self, record: Record) -> bool:
        """Tell whether *record* could be shown. No is certain, and far cheaper than to decode it.

        Its project and its type stand in it in so many letters, in whatever form it is an event.
        """
        value = record.value or b""
        for needle in self._needles:
            if needle in value or ESCAPE in value:
                continue
            if not any(needle in (text or b"") for _, text in record.headers):
                return False
        return True

    def entry(self, event: Event) -> Entry | None:
        """Return the event as it is shown; None: it isn't."""
        asked = self._asked
        if not sees(self._caller, event) or asked.project_id not in (None, event.project_id):
            return None
        if self._pattern is not None and not self._pattern.matches(event.type):
            return None
        if not asked.takes(event):
            return None
        if self._matcher is None:
            return Entry(event, event.type, None)
        for subscription, name in self._matcher.match(event):
            if not is_about(event, subscription.id):
                body, _ = render(
                    event,
                    profile=subscription.profile,
                    asked=name,
                    expand=subscription.expand,
                    max_bytes=self._max_body_bytes,
                )
                return Entry(event, name, body)
        return None


def _needles(project_id: str | None, pattern: types.Pattern | None) -> list[bytes]:
    """Return what the bytes of each record that is shown have in them.

    Older names of a type differ in what is before the first dot, or stand behind a prefix.
    """
    found = [project_id or ""]
    if pattern is not None and pattern.kind is not types.Kind.UMBRELLA:
        found.append(pattern.name.partition(".")[2])
    return [text.encode() for text in found if PLAIN.fullmatch(text)]


def sees(caller: Caller, event: Event) -> bool:
    """Tell whether an event is of a project of the caller's."""
    return caller.project_id in (None, event.project_id)


def as_matched(registration: Registration) -> Subscription:
    """Return what of a subscription says which events it gets, and how."""
    return Subscription(
        id=registration.id,
        project_id=registration.project_id,
        url=registration.url,
        types=registration.types,
        keys=(),
        profile=registration.profile,
        expand=registration.expand,
        filter=registration.filter,
        ordered=registration.ordered,
    )
