"""Does an event's `data` hold to its type's schema? It is delivered all the same, and counted.

A producer's slip must not cost the receiver the event. Said once per type and project in the log.
"""

from collections.abc import Mapping
from functools import cache

import jsonschema_rs
import structlog

from services import catalogue
from services.kernel.errors import escape
from services.kernel.event import Event
from services.observe import metrics

log = structlog.get_logger()

MAX_SAID = 10_000


class Conformity:
    """Validates every event."""

    def __init__(self) -> None:
        self._validators = _validators()
        self._said: set[tuple[str, str]] = set()

    def check(self, event: Event) -> None:
        """Count and log what breaks the schema, or is of a type that nobody knows."""
        validator = self._validators.get(event.type)
        if validator is None:
            if not event.known:
                metrics.UNKNOWN_TYPES.inc()
                self._say(event, "event_type_unknown", "")
        elif not validator.is_valid(event.body["data"]):
            metrics.SCHEMA_VIOLATIONS.inc()
            first = next(validator.iter_errors(event.body["data"]))
            pointer = "/data" + "".join(f"/{escape(str(step))}" for step in first.instance_path)
            self._say(event, "event_breaks_schema", pointer)

    def _say(self, event: Event, what: str, pointer: str) -> None:
        if (event.type, event.project_id) in self._said or len(self._said) >= MAX_SAID:
            return
        self._said.add((event.type, event.project_id))
        log.warning(
            what,
            type=event.type[:128],
            project_id=event.project_id,
            position=str(event.position),
            pointer=pointer,
        )


@cache
def _validators() -> Mapping[str, jsonschema_rs.Draft202012Validator]:
    """Compile the schemas: 50 ms, once per process, however many workers it makes."""
    return {
        type_: jsonschema_rs.Draft202012Validator(schema)
        for type_, schema in catalogue.data_schemas().items()
    }
