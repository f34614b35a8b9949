"""A record becomes an event: our JSON, CloudEvents structured or binary. Never raises.

Lenient where it costs the receiver nothing: older names are turned into today's, an id is derived
where the producer gave none, unknown fields pass through. Strict about the envelope, since without
project, type or data nobody could be found for it.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from services import catalogue
from services.kernel.event import (
    MAX_DEPTH,
    Event,
    Json,
    Poison,
    Record,
    is_too_deep,
    is_traceparent,
)
from services.observe import metrics

TOMBSTONE_TOPICS = frozenset({"planner.master"})
MAX_TEXT = 256
"""Characters of an id, a type, a project: they become headers."""
CLOUDEVENTS_JSON = b"application/cloudevents+json"
_PROJECT_SOURCE = re.compile(r"(?:.*/)?projects/([^/]+)/?\Z")


class _Shaped(NamedTuple):
    """A CloudEvent in our envelope."""

    body: Json
    subject: str | None
    """The unit of order, where the record has no key."""


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
        headers: Mapping[str, bytes] = {}
        if record.headers:
            headers = {name: text for name, text in record.headers if text is not None}
        body = self._json(value)
        if isinstance(body, Poison):
            return body
        subject = None
        if headers or (isinstance(body, dict) and "specversion" in body):
            shaped = _from_cloudevent(headers, body)
            if isinstance(shaped, Poison):
                return shaped
            if shaped is not None:
                body, subject = shaped
        return self._event(record, body, headers, subject)

    def _json(self, value: bytes) -> Any | Poison:  # noqa: ANN401 - JSON
        if len(value) > self._max_bytes:
            message = f"{len(value)} bytes, {self._max_bytes} are allowed"
            return Poison(reason="oversize", pointer="", message=message)
        try:
            body = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            return Poison(reason="json", pointer="", message=f"not JSON: {error}")
        if is_too_deep(value, body):
            return Poison(reason="json", pointer="", message=f"nested over {MAX_DEPTH} levels")
        return body

    def _event(
        self,
        record: Record,
        body: Any,  # noqa: ANN401 - JSON
        headers: Mapping[str, bytes],
        subject: str | None,
    ) -> Event | Poison:
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
            _compare(headers, project_id=project_id, type=written, id=id_)
        if type_.startswith("stop.report."):
            _mend_report(body["data"])
        return Event(
            id=id_,
            type=type_,
            project_id=project_id,
            created_at=body["created_at"],
            body=body,
            position=record.position,
            key=_key(record.key, project_id) or _text(subject) or None,
            timestamp_ms=record.timestamp_ms,
            size=len(record.value or b""),
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


def _is_name(value: object) -> bool:
    # Some of these become headers: a line break in one would end the header.
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable()


def _no_name(field: str, body: Json) -> str:
    if field not in body:
        return f"{field} is missing"
    return f"{field} is not a string of 1 to {MAX_TEXT} printable characters"


def _envelope_fault(body: Any) -> Poison | None:  # noqa: ANN401 - JSON
    if not isinstance(body, dict):
        return _poison("", "an event is a JSON object")
    for field in ("type", "project_id", "created_at"):
        if not _is_name(body.get(field)):
            return _poison(f"/{field}", _no_name(field, body))
    if not isinstance(body.get("data"), dict):
        return _poison(
            "/data", "data is missing" if "data" not in body else "data is not an object"
        )
    id_, meta = body.get("id"), body.get("meta")
    if id_ is not None and not _is_name(id_):
        return _poison("/id", _no_name("id", body))
    if meta is not None and not isinstance(meta, dict):
        return _poison("/meta", "meta is not an object")
    return None


def _from_cloudevent(
    headers: Mapping[str, bytes],
    body: Any,  # noqa: ANN401 - JSON
) -> _Shaped | Poison | None:
    """Return *body* in our envelope, why it isn't a CloudEvent, or None if it doesn't say it is."""
    if "ce_specversion" in headers:
        attributes = {
            # What is no UTF-8 is no name then: replaced, two ids would become one.
            name[3:]: text.decode("utf-8", "surrogateescape")
            for name, text in headers.items()
            if name.startswith("ce_")
        }
        return _shape(attributes, body, lambda name: "" if name == "data" else f"ce_{name}")
    structured = headers.get("content-type", b"").lower().startswith(CLOUDEVENTS_JSON)
    if isinstance(body, dict) and (structured or "specversion" in body):
        return _shape(body, body.get("data"), lambda name: f"/{name}")
    return None


def _shape(attributes: Json, data: Any, pointer: Callable[[str], str]) -> _Shaped | Poison:  # noqa: ANN401 - JSON
    for name in ("id", "type", "source", "time"):
        if not _is_name(attributes.get(name)):
            return _poison(pointer(name), _no_name(name, attributes), "cloudevent")
    source = _PROJECT_SOURCE.match(attributes["source"])
    project = attributes.get("project") or (source[1] if source else None)
    if not _is_name(project):
        message = "the project is told by source /projects/<id>, or by an extension `project`"
        return _poison(pointer("source"), message, "cloudevent")
    if not isinstance(data, dict):
        return _poison(pointer("data"), "data is not a JSON object", "cloudevent")
    event: Json = {
        "id": attributes["id"],
        "type": attributes["type"].removeprefix("planner."),
        "created_at": attributes["time"],
        "project_id": project,
        "data": data,
    }
    subject = attributes.get("subject")
    if not isinstance(subject, str):
        return _Shaped(event, None)
    return _Shaped(event, subject.encode("utf-8", "replace").decode())


def _key(key: bytes | None, project_id: str) -> str:
    return _text(key.decode("utf-8", "replace").removeprefix(project_id + ":")) if key else ""


def _text(text: str | None) -> str:
    """Return what Postgres can keep of *text*: a key of any bytes may hold a NUL."""
    return text.replace("\0", "\ufffd") if text else ""


def _compare(headers: Mapping[str, bytes], **values: str) -> None:
    for name, value in values.items():
        header = headers.get(name)
        if header is not None and header.decode("utf-8", "replace") != value:
            metrics.HEADER_MISMATCHES.inc()


def _traceparent(headers: Mapping[str, bytes]) -> str | None:
    text = headers.get("traceparent", b"").decode("ascii", "replace")
    return text if is_traceparent(text) else None


def _mend_report(data: Json) -> None:
    report = data.get("report")
    if isinstance(report, dict) and isinstance(report.get("type"), str):
        right = catalogue.MISSPELT_REPORTS.get(report["type"])
        if right is not None:
            report["type"] = right
