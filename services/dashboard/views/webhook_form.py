"""The settings of a webhook as fields of a form, and back as the API takes them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from services import catalogue
from services.dashboard.forms import lines, number
from services.kernel.errors import Fault
from services.kernel.subscription import OnExhausted, OrderBy, Ordered, Profile
from services.match.filters import NotJsonError, load

NUMBERS = ("rate_limit", "max_in_flight", "timeout_seconds")
CHOSEN = ("profile", "ordered", "order_by", "on_exhausted")
EXPANSIONS = ("stops", "routes")
OF_MODE = {"batch": ("max_events", "max_wait_ms"), "latest": ("every_seconds",)}
"""Numbers of `delivery` that one mode alone has."""
AGE = "age_"
"""Begins the names of fields for a limit of age, which end in the type."""
OF_DELIVERY = ("delivery", *(name for names in OF_MODE.values() for name in names))

CHOICES: Mapping[str, Sequence[tuple[str, str]]] = {
    "delivery": [
        ("each", "One for each event"),
        ("batch", "Batches of events"),
        ("latest", "Of each vehicle its latest position, every so many seconds"),
    ],
    "profile": [
        (Profile.PLANNER_2022, "planner-2022: the event as it is"),
        (Profile.PLANNER_V2, "planner-v2: five fields, a route is a driver"),
        (Profile.HIGHWAY_V1, "highway-v1: five fields, a stop is a service"),
        (Profile.ROUTAL_2, "routal-2: the successor's envelope"),
        (Profile.CLOUDEVENTS, "cloudevents: CloudEvents 1.0, structured"),
        (Profile.STANDARD_WEBHOOKS, "standard-webhooks: type, timestamp, data"),
    ],
    "ordered": [
        (Ordered.NONE, "As fast as possible, in any order"),
        (Ordered.KEY, "In order, one at a time per key"),
    ],
    "order_by": [
        (OrderBy.KEY, "The record's key: plan or vehicle"),
        (OrderBy.ROUTE, "The route"),
        (OrderBy.ENTITY, "The stop, route, vehicle … it is about"),
    ],
    "on_exhausted": [
        (OnExhausted.SKIP, "Give up the event and go on"),
        (OnExhausted.BLOCK, "Hold its key until somebody decides"),
    ],
}
FIELDS = {
    f"/{name}": f"f-{name}"
    for name in (
        "description", "url", "types", "filter", "headers", "retry_schedule", *NUMBERS, *CHOSEN,
    )
} | {
    "/delivery/max_events": "f-max_events",
    "/delivery/max_wait_ms": "f-max_wait_ms",
    "/delivery/every_seconds": "f-every_seconds",
    "/delivery": "f-delivery",
    **{f"/max_age_seconds/{type_}": f"f-{AGE}{type_}" for type_ in catalogue.streams()},
    "/client_certificate/key": "f-certificate_key",
    "/client_certificate": "f-certificate",
}  # fmt: skip
"""Where each field of the body stands on the page."""


def values_of(webhook: Mapping[str, Any]) -> dict[str, str]:
    """Return what the fields show at first."""
    schedule, delivery = webhook["retry_schedule"], webhook["delivery"]
    ages = webhook["max_age_seconds"]
    return {
        "delivery": delivery["mode"],
        **{name: _shown(delivery.get(name)) for name in OF_DELIVERY[1:]},
        "description": webhook["description"],
        "url": webhook["url"],
        "types": "\n".join(webhook["types"]),
        "filter": "" if webhook["filter"] is None else json.dumps(webhook["filter"], indent=2),
        "retry_schedule": "" if schedule is None else " ".join(f"{wait:g}" for wait in schedule),
        **{name: _shown(webhook[name]) for name in NUMBERS},
        **{name: webhook[name] for name in CHOSEN},
        **{f"{AGE}{type_}": _shown(ages.get(type_)) for type_ in catalogue.streams()},
    }


def aging(webhook: Mapping[str, Any]) -> list[str]:
    """Return the types that may have a limit of age here: streams that it gets, or has one for."""
    asked = {*webhook["types"], *webhook["max_age_seconds"]}
    return [type_ for type_ in catalogue.streams() if type_ in asked]


def body_of(
    typed: Mapping[str, str], several: Mapping[str, Sequence[str]], webhook: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Fault]]:
    """Return what differs from *webhook*, as a merge patch, and what is no JSON of it."""
    found: dict[str, Any] = {}
    faults: list[Fault] = []
    before = values_of(webhook)
    for name, text in typed.items():
        if name in before and text.replace("\r\n", "\n").strip() != before[name].strip():
            faults += _take(found, name, text, typed)
    expand = [name for name in EXPANSIONS if name in several.get("expand", ())]
    if expand != webhook["expand"]:
        found["expand"] = expand
    if typed.get("headers", "").strip() or "drop_headers" in typed:
        gone = dict.fromkeys(webhook["headers"])  # what is typed replaces all of them
        found["headers"] = {**gone, **_headers(typed.get("headers", ""))}
    return found | certificate_of(typed), faults


def _take(found: dict[str, Any], name: str, text: str, typed: Mapping[str, str]) -> Sequence[Fault]:
    """Put what was typed into one field into the body; return where it is not JSON."""
    if name == "filter":
        found[name], faults = filter_of(text)
        return faults
    if name == "types":
        found[name] = lines(text)
    elif name == "retry_schedule":
        found[name] = None if not text.strip() else [number(each) for each in lines(text)]
    elif name in NUMBERS:
        found[name] = number(text)
    elif name.startswith(AGE):
        found.setdefault("max_age_seconds", {})[name.removeprefix(AGE)] = number(text)
    elif name in OF_DELIVERY:
        found["delivery"] = _delivery(typed)
    else:
        found[name] = text
    return ()


def filter_of(text: str) -> tuple[Any, list[Fault]]:
    """Return a filter that was typed, as the API reads it, and where it is no JSON."""
    if not text.strip():
        return None, []
    try:
        return load(text.encode()), []
    except NotJsonError as error:
        message = f"line {error.line}, column {error.column}: {error.problem}"
        return None, [Fault("json", message, "/filter")]


def certificate_of(typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the client certificate that was typed, as a part of a body; nothing where it stays."""
    pair = [typed.get(name, "").strip() for name in ("certificate", "certificate_key")]
    if any(pair):
        return {"client_certificate": dict(zip(("certificate", "key"), pair, strict=True))}
    return {"client_certificate": None} if "drop_certificate" in typed else {}


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _delivery(typed: Mapping[str, str]) -> dict[str, Any]:
    """Return how events become requests; numbers that are left empty are the usual ones."""
    mode = typed.get("delivery", "")
    return {"mode": mode, **{name: number(typed.get(name, "")) for name in OF_MODE.get(mode, ())}}


def _headers(text: str) -> dict[str, str]:
    found = {}
    for line in filter(str.strip, text.splitlines()):
        name, _, value = line.partition(":")
        found[name.strip()] = value.strip()
    return found
