"""Events in: strictly checked, all or nothing, acknowledged when Kafka has them all."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jsonschema_rs
import orjson

from services import catalogue
from services.control.access import ADMIN, Access, Caller
from services.control.checks import kind, near, parse_moment
from services.kernel.clock import Clock
from services.kernel.errors import Fault, FaultsError, escape
from services.kernel.event import Json, Position, is_traceparent
from services.kernel.ids import Entropy, ProjectId, new_id
from services.kernel.operation import OPERATIONAL
from services.kernel.ports.broker import Producer

MAX_EVENTS = 1_000
MAX_FAULTS = 50
INVALID = "The events are not valid"
MAX_ID = 256
_KINDS: Mapping[str, type] = {
    "type": str, "data": dict, "meta": dict, "organization_id": str, "user": str,
}  # fmt: skip


class Ingested(NamedTuple):
    """An event, and where Kafka has it."""

    id: str
    position: Position


class Ingest:
    """HTTP ingest: the strict way in. Kafka itself is the other one."""

    def __init__(
        self,
        *,
        producer: Producer,
        access: Access,
        clock: Clock,
        entropy: Entropy,
        max_record_bytes: int,
    ) -> None:
        self._producer = producer
        self._access = access
        self._clock = clock
        self._entropy = entropy
        self._max_record_bytes = max_record_bytes
        self._validators: Mapping[str, jsonschema_rs.Draft202012Validator] = {
            type_: jsonschema_rs.Draft202012Validator(schema)
            for type_, schema in catalogue.data_schemas().items()
        }

    async def ingest(
        self, caller: Caller, body: object, *, traceparent: str | None = None
    ) -> list[Ingested]:
        """Check one event, or `{"events": […]}`, and produce. Raises FaultsError, BrokerGoneError.

        *traceparent* is the caller's: the events go on with that trace.
        """
        events, pointers = _listed(body)
        faults: list[Fault] = []
        ready = []
        for event, pointer in zip(events, pointers, strict=True):
            found = self._faults(caller, event, pointer)
            project = None
            if isinstance(event, dict):
                try:
                    project = await self._access.project_for(
                        caller, event.get("project_id"), pointer=f"{pointer}/project_id"
                    )
                except FaultsError as error:
                    found += error.faults
            faults += found
            if found or not isinstance(event, dict) or project is None:
                continue
            completed = self._completed(event, project)
            ready.append(completed)
            if len(orjson.dumps(completed)) > self._max_record_bytes:
                message = f"over {self._max_record_bytes} bytes, which is what Kafka takes"
                faults.append(Fault("limit", message, pointer))
        if faults:
            raise FaultsError(INVALID, faults[:MAX_FAULTS])
        positions = await asyncio.gather(*(self._produce(event, traceparent) for event in ready))
        return [
            Ingested(event["id"], position)
            for event, position in zip(ready, positions, strict=True)
        ]

    def _completed(self, event: Json, project: ProjectId) -> Json:
        id_ = event.get("id") or new_id(now=self._clock.time(), entropy=self._entropy)
        return {
            **event,
            "id": id_,
            "type": catalogue.canonical(event["type"]),
            "project_id": project,
        }

    async def _produce(self, event: Json, traceparent: str | None) -> Position:
        known = catalogue.event_types()[event["type"]]
        key = catalogue.record_key(event)
        trace = [("traceparent", traceparent.encode())] if is_traceparent(traceparent) else []
        return await self._producer.produce(
            known.topic,
            key=key.encode() if key else None,
            value=orjson.dumps(event),
            headers=[
                ("project_id", event["project_id"].encode()),
                ("type", event["type"].encode()),
                ("id", event["id"].encode()),
                *trace,
            ],
        )

    def _faults(self, caller: Caller, event: object, pointer: str) -> list[Fault]:
        if not isinstance(event, dict):
            return [Fault("type", f"expected an object, got {kind(event)}", pointer)]
        found = [*_envelope_faults(event, pointer)]
        type_ = event.get("type")
        if isinstance(type_, str):
            found += self._type_faults(caller, type_, event.get("data"), pointer)
        return found

    def _type_faults(self, caller: Caller, written: str, data: object, pointer: str) -> list[Fault]:
        type_ = catalogue.canonical(written)
        if type_ not in catalogue.event_types():
            return [Fault("unknown_type", catalogue.unknown(written), f"{pointer}/type")]
        if type_.startswith(OPERATIONAL) and ADMIN not in caller.scopes:
            message = f"{OPERATIONAL}* events are made by the service itself"
            return [Fault("reserved_type", message, f"{pointer}/type")]
        if not isinstance(data, dict) or type_ not in self._validators:
            return []
        return [
            Fault(
                "schema",
                error.message[:500],
                f"{pointer}/data" + "".join(f"/{escape(str(s))}" for s in error.instance_path),
            )
            for error in self._validators[type_].iter_errors(data)
        ]


def _envelope_faults(event: Json, pointer: str) -> list[Fault]:
    found = [
        Fault("required", f"{field} is required", f"{pointer}/{field}")
        for field in ("type", "created_at", "data")
        if event.get(field) is None
    ]
    for field, want in _KINDS.items():
        value: Any = event.get(field)
        if value is not None and not isinstance(value, want):
            expected = "a string" if want is str else "an object"
            message = f"expected {expected}, got {kind(value)}"
            found.append(Fault("type", message, f"{pointer}/{field}"))
    if event.get("created_at") is not None and parse_moment(event["created_at"]) is None:
        message = "write a time as 2026-03-17T09:40:51.000Z"
        found.append(Fault("time", message, f"{pointer}/created_at"))
    id_ = event.get("id")
    if id_ is not None and not (
        isinstance(id_, str) and 0 < len(id_) <= MAX_ID and id_.isprintable()
    ):
        message = f"an id is a string of 1 to {MAX_ID} printable characters"
        found.append(Fault("id", message, f"{pointer}/id"))
    return found


def _listed(body: object) -> tuple[Sequence[object], list[str]]:
    if not isinstance(body, dict):
        fault = Fault("type", f"expected an object, got {kind(body)}", "")
        raise FaultsError(INVALID, [fault])
    if "events" not in body:
        return [body], [""]
    events = body["events"]
    faults = [
        Fault("unknown_field", f"no field {name!r}{near(name, ['events'])}", f"/{escape(name)}")
        for name in body
        if name != "events"
    ]
    if not isinstance(events, list):
        faults.append(Fault("type", f"expected an array, got {kind(events)}", "/events"))
    elif not 1 <= len(events) <= MAX_EVENTS:
        message = f"{len(events)} events, 1 to {MAX_EVENTS} are allowed"
        faults.append(Fault("limit", message, "/events"))
    if faults or not isinstance(events, list):
        raise FaultsError(INVALID, faults)
    return events, [f"/events/{n}" for n in range(len(events))]
