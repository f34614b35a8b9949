"""Bodies of the Planner-compatible API: JSON or a form, in; a webhook, out."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from services.api.app import RefusedError, strictly
from services.api.problems import Problem
from services.control.checks import kind
from services.control.fields import shown_filter
from services.kernel.clock import rfc3339
from services.kernel.errors import Fault, FaultsError
from services.kernel.event import Json
from services.kernel.registration import Registration
from services.kernel.subscription import Status

FORM = "application/x-www-form-urlencoded"
MAX_FORM_FIELDS = 1_000
INVALID = "The webhook is not valid"
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_EVENTS = re.compile(r"enabled_events(\[\d*\])?\Z")
_INTEGER = re.compile(r"-?\d{1,9}\Z", re.ASCII)


class Wanted(NamedTuple):
    """What a body says, in the words of `control`."""

    fields: Any
    enabled: bool | None
    failure_count: int | None
    faults: tuple[Fault, ...] = ()
    """Of the two fields that are no settings of a subscription; of the others `control` is the judge."""


def decoded(content_type: str, raw: bytes) -> Any:  # noqa: ANN401 - JSON
    """Return the body as JSON would have it. Raises RefusedError."""
    if not raw.strip():
        return {}
    if content_type == FORM:
        return _form(raw)
    if content_type != "application/json" and not content_type.endswith("+json"):
        detail = f"write Content-Type: application/json or {FORM}, not {content_type}"
        raise RefusedError(Problem(415, "media-type", "Neither JSON nor a form", detail))
    return strictly(raw)


def wanted(body: object, *, pointer: str = "", creating: bool = False) -> Wanted:
    """Read a webhook. What is read-only or unknown is ignored: callers send back what they were given."""
    if not isinstance(body, dict):
        return Wanted(body, None, None)
    fields = {name: body[name] for name in ("url", "filter") if name in body}
    if body.get("profile") is not None:
        fields["profile"] = body["profile"]
    if "enabled_events" in body:
        fields["types"] = _without_repeats(body["enabled_events"])
    faults = []
    enabled, count = body.get("enabled"), None if creating else body.get("failure_count")
    if "enabled" in body and not isinstance(enabled, bool):
        message = f"expected true or false, got {kind(enabled)}"
        faults.append(Fault("type", message, f"{pointer}/enabled"))
    if not creating and "failure_count" in body and not _is_count(count):
        message = "expected a whole number from 0 on; 0 counts failures anew"
        faults.append(Fault("range", message, f"{pointer}/failure_count"))
    return Wanted(fields, enabled, count, tuple(faults))


def shown(registration: Registration) -> Json:
    """Return a subscription as a webhook."""
    return {
        "id": registration.id,
        "url": registration.url,
        "enabled": registration.status is Status.ACTIVE,
        "enabled_events": list(registration.types),
        "project_id": registration.project_id,
        "organization_id": None,
        "failure_count": registration.failure_count,
        "deleted": False,
        "created_by": registration.created_by,
        "created_at": rfc3339(registration.created_at),
        "updated_at": rfc3339(registration.updated_at),
        "deleted_at": None,
        "profile": registration.profile.value,
        **({} if registration.filter is None else {"filter": shown_filter(registration.filter)}),
    }


def number(query: Mapping[str, str], name: str, *, default: int) -> int:
    """Return a query parameter that counts. Raises FaultsError."""
    text = query.get(name, str(default))
    if not _INTEGER.match(text) or int(text) < 0:
        fault = Fault("range", "expected a whole number from 0 on", parameter=name)
        raise FaultsError("The query is not valid", [fault])
    return int(text)


def _form(raw: bytes) -> Json:
    """Return a form as the JSON that it stands for."""
    try:
        pairs = parse_qsl(
            raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS
        )
    except ValueError as error:
        detail = f"{error}; up to {MAX_FORM_FIELDS} fields in UTF-8 are read"
        raise RefusedError(Problem(400, "malformed", "The form can't be read", detail)) from error
    found: Json = {}
    for name, text in pairs:
        if _EVENTS.match(name):
            found.setdefault("enabled_events", []).extend([text] if text else [])
        elif name == "enabled":
            found[name] = BOOLEANS.get(text.lower(), text)
        elif name == "failure_count":
            found[name] = int(text) if _INTEGER.match(text) else text
        elif name == "filter":
            found[name] = strictly(text.encode()) if text.strip() else None
        else:
            found[name] = text
    return found


def _without_repeats(events: object) -> object:
    if isinstance(events, list) and all(isinstance(event, str) for event in events):
        return list(dict.fromkeys(events))
    return events


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
