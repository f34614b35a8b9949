"""A record becomes an event: our JSON, CloudEvents structured or binary. Never raises.

Lenient where it costs the receiver nothing: older names are turned into today's, an id is derived
where the producer gave none, unknown fields pass through. Strict about the envelope, since without
project, type or data nobody could be found for it.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from services import catalogue
from services.kernel.event import Event, Json, Poison, Record
from services.observe import metrics

TOMBSTONE_TOPICS = frozenset({"planner.master"})
MAX_ID = 256
CLOUDEVENTS_JSON = b"application/cloudevents+json"
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")
_PROJECT_SOURCE = re.compile(r"(?:.*/)?projects/([^/]+)/?\Z")


class Decoder:
    """Turns records into events."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._types = catalogue.event_types()

    def decode(self, record: Record) -> Event | Poison | None:
        """Return the event, why it is none, or None for a tombstone of master data."""
        value = record.value
        if value is None:
            if record.position.partition.topic in TOMBSTONE_TOPICS:
                metrics.TOMBSTONES.inc()
                return None
            return Poison(reason="null", pointer="", message="the record has no value")
        if len(value) > self._max_bytes:
            message = f"{len(value)} bytes, {self._max_bytes} are allowed"
            return Poison(reason="oversize", pointer="", message=message)
        headers = dict(record.headers) if record.headers else {}
        try:
            body = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            return Poison(reason="json", pointer="", message=f"not JSON: {error}")
        if headers or (isinstance(body, dict) and "specversion" in body):
            body = _from_cloudevent(headers, body)
            if isinstance(body, Poison):
                return body
        return self._event(record, body, headers)

    def _event(self, record: Record, body: Any, headers: Mapping[str, bytes]) -> Event | Poison:  # noqa: ANN401 - JSON
        fault = _envelope_fault(body)
        if fault is not None:
            return fault
        project_id, written = body["project_id"], body["type"]
        known = self._types.get(written)
        type_ = written if known is not None else catalogue.canonical(written)
        if type_ is not written:
            body["type"] = type_
            known = self._types.get(type_)
        id_ = body.get("id")
        if id_ is None:
            id_ = body["id"] = derived_id(record)
        if headers:
            _compare(headers, project_id=project_id, type=type_, id=id_)
        if type_.startswith("stop.report."):
            _mend_report(body["data"])
        return Event(
            id=id_,
            type=type_,
            project_id=project_id,
            created_at=body["created_at"],
            body=body,
            position=record.position,
            key=_key(record.key, project_id),
            timestamp_ms=record.timestamp_ms,
            traceparent=_traceparent(headers) if headers else None,
            known=known is not None,
        )


def derived_id(record: Record) -> str:
    """Return 24 hex that a re-read of this record yields again, and a recreated topic's doesn't."""
    partition = record.position.partition
    text = f"{partition.topic}/{partition.number}/{record.position.offset}/{record.timestamp_ms}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _poison(pointer: str, message: str, reason: str = "envelope") -> Poison:
    return Poison(reason=reason, pointer=pointer, message=message)


def _envelope_fault(body: Any) -> Poison | None:  # noqa: ANN401 - JSON
    if not isinstance(body, dict):
        return _poison("", "an event is a JSON object")
    for field in ("type", "project_id", "created_at"):
        value = body.get(field)
        # These three and the id become headers: a line break in one would end the header.
        if not isinstance(value, str) or not value or not value.isprintable():
            what = "is missing" if field not in body else "is not a string of printable characters"
            return _poison(f"/{field}", f"{field} {what}")
    if not isinstance(body.get("data"), dict):
        return _poison("/data", "data is missing" if "data" not in body else "data is no object")
    id_ = body.get("id")
    if id_ is not None and not (
        isinstance(id_, str) and 0 < len(id_) <= MAX_ID and id_.isprintable()
    ):
        return _poison("/id", f"id is not a string of 1 to {MAX_ID} printable characters")
    if "meta" in body and not isinstance(body["meta"], dict):
        return _poison("/meta", "meta is no object")
    return None


def _from_cloudevent(headers: Mapping[str, bytes], body: Any) -> Any:  # noqa: ANN401 - JSON
    """Return *body* in our envelope if it is a CloudEvent; as it is if it isn't one."""
    if "ce_specversion" in headers:
        attributes = {
            name[3:]: value.decode("utf-8", "replace")
            for name, value in headers.items()
            if name.startswith("ce_")
        }
        return _envelope(attributes, body, lambda name: f"ce_{name}")
    structured = headers.get("content-type", b"").startswith(CLOUDEVENTS_JSON)
    if isinstance(body, dict) and (structured or "specversion" in body):
        attributes = {k: v for k, v in body.items() if k not in ("data", "data_base64")}
        return _envelope(attributes, body.get("data"), lambda name: f"/{name}")
    return body


def _envelope(attributes: Json, data: Any, pointer: Callable[[str], str]) -> Json | Poison:  # noqa: ANN401 - JSON
    for name in ("id", "type", "source", "time"):
        if not isinstance(attributes.get(name), str):
            return _poison(pointer(name), f"a CloudEvent needs {name}", "cloudevent")
    source = _PROJECT_SOURCE.match(attributes["source"])
    project = attributes.get("project") or (source[1] if source else None)
    if not isinstance(project, str):
        message = "the project is told by source /projects/<id>, or by an extension `project`"
        return _poison(pointer("source"), message, "cloudevent")
    if not isinstance(data, dict):
        return _poison("/data", "data is no JSON object", "cloudevent")
    event: Json = {
        "id": attributes["id"],
        "type": attributes["type"].removeprefix("planner."),
        "created_at": attributes["time"],
        "project_id": project,
        "data": data,
    }
    if isinstance(attributes.get("subject"), str):
        event["meta"] = {"ordering_key": attributes["subject"]}
    return event


def _key(key: bytes | None, project_id: str) -> str | None:
    if not key:
        return None
    return key.decode("utf-8", "replace").removeprefix(project_id + ":")


def _compare(headers: Mapping[str, bytes], **values: str) -> None:
    for name, value in values.items():
        header = headers.get(name)
        if header is not None and header.decode("utf-8", "replace") != value:
            metrics.HEADER_MISMATCHES.inc()


def _traceparent(headers: Mapping[str, bytes]) -> str | None:
    text = headers.get("traceparent", b"").decode("ascii", "replace")
    return text if _TRACEPARENT.match(text) else None


def _mend_report(data: Json) -> None:
    report = data.get("report")
    if isinstance(report, dict) and isinstance(report.get("type"), str):
        report["type"] = catalogue.MISSPELT_REPORTS.get(report["type"], report["type"])
