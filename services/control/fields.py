"""What a subscription may say: every field with its rule, its default and its sentence."""

import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from services import catalogue
from services.control import certificates
from services.control.checks import Checker, is_storable, kind, parse_moment
from services.deliver.addresses import AddressPolicy
from services.kernel.clock import Clock, rfc3339
from services.kernel.errors import Fault, escape
from services.kernel.event import Json
from services.kernel.ports.control import NameResolver
from services.kernel.registration import Registration
from services.kernel.subscription import (
    EACH,
    Grouping,
    Mode,
    OnExhausted,
    OrderBy,
    Ordered,
    Profile,
    SignatureScheme,
)
from services.match import types
from services.match.types import asked_name

MAX_TYPES = 50
MAX_HEADERS = 20
MAX_HEADER_VALUE = 1024
MAX_DESCRIPTION = 500
MAX_WAITS = 20
DAY_SECONDS = 86_400
MIN_RATE, MAX_RATE = 0.01, 10_000
"""Requests per second: one in a hundred seconds at least."""
BATCH = {
    "max_events": (1, 1_000, 100),
    "max_wait_ms": (1, 60_000, 1_000),
    "max_bytes": (1_024, 1 << 20, 262_144),
}
"""What bounds a batch: least, most, default."""
LATEST = (1, 3_600, 30)
"""Seconds between two positions of a vehicle: the same."""
EXPANSIONS = ("stops", "routes")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}\Z")
_OURS = ("webhook-", "planner-", "content-")
_FORBIDDEN = {
    "host", "connection", "transfer-encoding", "user-agent", "traceparent", "upgrade", "te",
    "trailer", "expect", "keep-alive", "proxy-authorization", "proxy-connection",
}  # fmt: skip

MAX_AGE = (1, 3 * DAY_SECONDS)
"""Seconds: positions are kept in the log for as long."""
AGES = "max_age_seconds"

SETTABLE = (
    "url", "types", "description", "headers", certificates.FIELD, "profile", "expand",
    "max_in_flight", "timeout_seconds", "retry_schedule", "rate_limit", "filter", "ordered", "order_by",
    "on_exhausted", "delivery", AGES,
)  # fmt: skip
CREATABLE = ("project_id", "signature", "start_from", *SETTABLE)
READ_ONLY = (
    "id", "project_id", "signature", "start_from", "status", "status_reason", "created_at",
    "updated_at", "secret", "failure_count", "warnings", "matches",
)  # fmt: skip


class Bounds(NamedTuple):
    """What the settings allow."""

    policy: AddressPolicy
    resolver: NameResolver
    max_in_flight: int
    timeout_seconds: float


class Fields:
    """Checks what was sent for a subscription, and turns it into values."""

    def __init__(self, bounds: Bounds, *, clock: Clock) -> None:
        self._bounds = bounds
        self._clock = clock

    async def check(  # noqa: C901, PLR0912 - one step a field
        self, check: Checker, *, creating: bool
    ) -> dict[str, Any]:
        """Return values by field for what was sent; faults are left in *check*."""
        body = check.body
        found: dict[str, Any] = {}
        if creating or "url" in body:
            found["url"] = await self._url(check)
        if creating or "types" in body:
            found["types"] = patterns(check)
        if "headers" in body:
            found["headers"] = _headers(check, body["headers"])
        if certificates.FIELD in body:
            found[certificates.FIELD] = await certificates.checked(check, clock=self._clock)
        if "description" in body:
            found["description"] = check.text("description", longest=MAX_DESCRIPTION) or ""
        if "profile" in body:
            profile = check.choice("profile", list(Profile))
            found["profile"] = Profile(profile) if profile else Profile.PLANNER_2022
        if "expand" in body:
            found["expand"] = check.choices("expand", EXPANSIONS, default=())
        if "max_in_flight" in body:
            most = self._bounds.max_in_flight
            found["max_in_flight"] = check.number("max_in_flight", least=1, most=most, whole=True)
        if "timeout_seconds" in body:
            seconds = check.number("timeout_seconds", least=1, most=30)
            found["timeout_seconds"] = seconds or self._bounds.timeout_seconds
        elif creating:
            found["timeout_seconds"] = self._bounds.timeout_seconds
        if "retry_schedule" in body:
            found["retry_schedule"] = _schedule(check, body["retry_schedule"])
        found |= _paced(check)
        if "start_from" in body and creating:
            found["start_from"] = _start_from(check, body["start_from"])
        if AGES in body:
            found[AGES] = _ages(check, body[AGES])
        return found

    def signature(self, check: Checker) -> SignatureScheme:
        """Return how a new subscription signs."""
        chosen = check.choice("signature", list(SignatureScheme))
        return SignatureScheme(chosen) if chosen else SignatureScheme.V1

    async def url_faults(self, url: object, *, pointer: str) -> list[Fault]:
        """Return what is wrong with *url*, its name resolved."""
        faults = self._bounds.policy.url_faults(url, pointer=pointer)
        if not faults and isinstance(url, str):
            refused = await self._bounds.resolver.refusal(urlsplit(url).hostname or "")
            if refused is not None:
                faults.append(Fault("refused_address", refused, pointer))
        return faults

    async def _url(self, check: Checker) -> str:
        url = check.body.get("url")
        if url is None:
            check.fault("url", "required", "url is required")
            return ""
        check.faults += await self.url_faults(url, pointer=f"{check.pointer}/url")
        return str(url)


def patterns(check: Checker) -> tuple[str, ...]:
    """Return the type patterns of a body."""
    written = check.body.get("types")
    if written is None or written == []:
        check.fault(
            "types", "required", 'types is required: ["*"] means every event except streams'
        )
    elif not isinstance(written, list):
        check.fault("types", "type", f"expected an array of strings, got {kind(written)}")
    elif not 1 <= len(written) <= MAX_TYPES:
        check.fault("types", "limit", f"{len(written)} patterns, 1 to {MAX_TYPES} are allowed")
    else:
        check.faults += types.faults(written, pointer=f"{check.pointer}/types")
        return tuple(str(pattern) for pattern in written)
    return ()


def clashes(registration: Registration, check: Checker) -> list[Fault]:
    """Return what doesn't go together.

    Where newer positions take the place of older ones, these go by the time of their fix, and in no other
    order; and a limit of age is of a type that it gets.
    """
    faults = [
        Fault("type", f"{name} is not one of its types", f"{check.pointer}/{AGES}/{escape(name)}")
        for name, _ in registration.max_age_seconds
        if asked_name(registration.types, name, registration.profile) is None
    ]
    is_latest = registration.delivery.mode is Mode.LATEST
    if registration.ordered is Ordered.NONE or not (is_latest or registration.max_age_seconds):
        return faults
    what = "the mode latest" if is_latest else "a limit of age"
    message = (
        f"with {what} a vehicle's positions are sent one at a time, by the time of their fix: leave"
        " out ordered, and use another webhook for events that must come in order"
    )
    at = "delivery/mode" if is_latest else AGES
    at = "ordered" if "ordered" in check.body else at
    return [*faults, Fault("mode", message, f"{check.pointer}/{at}")]


def shown(registration: Registration) -> Json:
    """Return the settings of a subscription as the native API shows them; header values masked."""
    schedule = registration.retry_schedule
    return {
        "id": registration.id,
        "project_id": registration.project_id,
        "url": registration.url,
        "types": list(registration.types),
        "description": registration.description,
        "headers": {name: mask(text) for name, text in registration.headers},
        certificates.FIELD: certificates.shown(registration.client_certificate),
        "profile": registration.profile.value,
        "expand": list(registration.expand),
        "max_in_flight": registration.max_in_flight,
        "timeout_seconds": registration.timeout_seconds,
        "retry_schedule": None if schedule is None else list(schedule),
        "rate_limit": registration.rate_limit,
        "filter": None if registration.filter is None else shown_filter(registration.filter),
        "ordered": registration.ordered.value,
        "order_by": registration.order_by.value,
        "on_exhausted": registration.on_exhausted.value,
        "signature": registration.signature.value,
        "start_from": registration.start_from,
        "delivery": shown_delivery(registration.delivery),
        AGES: dict(registration.max_age_seconds),
        "status": registration.status.value,
        "status_reason": registration.status_reason,
        "failure_count": registration.failure_count,
    }


def shown_delivery(grouping: Grouping) -> Json:
    """Return `delivery` without what its mode doesn't have."""
    return {name: value for name, value in grouping._asdict().items() if value is not None}


def merged_delivery(before: Grouping, written: object) -> object:
    """Return `delivery` as a merge patch changes it; another mode begins with its own defaults."""
    if not isinstance(written, dict) or written.get("mode", before.mode) != before.mode:
        return written
    whole = {**shown_delivery(before), **written}
    return {name: value for name, value in whole.items() if value is not None}


def merged_headers(before: tuple[tuple[str, str], ...], written: object) -> object:
    """Return `headers` as a merge patch changes them: null removes one, whatever its case."""
    if not isinstance(written, dict):
        return written
    named = {name.lower() for name in written}
    kept = {name: text for name, text in before if name.lower() not in named}
    return kept | {name: text for name, text in written.items() if text is not None}


def merged_ages(before: tuple[tuple[str, float], ...], written: object) -> object:
    """Return `max_age_seconds` as a merge patch changes them: null removes one."""
    if not isinstance(written, dict):
        return written
    whole = {**dict(before), **written}
    return {name: seconds for name, seconds in whole.items() if seconds is not None}


def compared(
    before: Registration | None, after: Registration | None
) -> tuple[Json | None, Json | None]:
    """Return both as the API shows them; a header's new value is told as one, masked as it is."""
    was, now = (shown(one) if one else None for one in (before, after))
    if before is not None and after is not None and now is not None:
        old = dict(before.headers)
        for name, text in after.headers:
            if name in old and old[name] != text:  # masked, the two may look the same
                now["headers"][name] += " (new)"
    return was, now


def shown_filter(text: str) -> Any:  # noqa: ANN401 - JSON
    """Return a stored filter as JSON; as its text where it is none any more."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def mask(text: str) -> str:
    """Return enough of a header's value to recognise it, and no more."""
    return text[:4] + "…" if len(text) > 12 else "…"  # noqa: PLR2004 - a third at most


def _delivery(check: Checker) -> Grouping:
    """Return how events become requests."""
    written = check.body["delivery"]
    if written is None:
        return EACH
    fields = ("mode", *BATCH, "every_seconds")
    inner = Checker(check.title, written, known=fields, pointer=f"{check.pointer}/delivery")
    mode = inner.choice("mode", list(Mode))
    if not isinstance(written, dict):
        check.faults += inner.faults
        return EACH
    if written.get("mode") is None:
        inner.fault("mode", "required", "mode is required: each, batch, or latest")
    bounds = {field: _of_mode(inner, field, Mode.BATCH, BATCH[field]) for field in BATCH}
    every = _of_mode(inner, "every_seconds", Mode.LATEST, LATEST)
    check.faults += inner.faults
    match mode:
        case Mode.BATCH:
            return Grouping(Mode.BATCH, **{field: int(bounds[field]) for field in BATCH})
        case Mode.LATEST:
            return Grouping(Mode.LATEST, every_seconds=every)
        case _:
            return EACH


def _of_mode(check: Checker, field: str, mode: Mode, bounds: tuple[int, int, int]) -> float:
    """Return a number that belongs to one mode alone."""
    least, most, default = bounds
    if check.body.get("mode") != mode and check.body.get(field) is not None:
        check.fault(field, "mode", f"{field} belongs to the mode {mode}")
    number = check.number(field, least=least, most=most, whole=mode is Mode.BATCH)
    return default if number is None else number


def _paced(check: Checker) -> dict[str, Any]:
    """Return how many requests there may be, and in which order."""
    found: dict[str, Any] = {}
    if "rate_limit" in check.body:
        found["rate_limit"] = check.number("rate_limit", least=MIN_RATE, most=MAX_RATE)
    if "ordered" in check.body:
        found["ordered"] = Ordered(check.choice("ordered", list(Ordered)) or Ordered.NONE)
    if "order_by" in check.body:
        found["order_by"] = OrderBy(check.choice("order_by", list(OrderBy)) or OrderBy.KEY)
    if "on_exhausted" in check.body:
        chosen = check.choice("on_exhausted", list(OnExhausted))
        found["on_exhausted"] = OnExhausted(chosen or OnExhausted.SKIP)
    if "delivery" in check.body:
        found["delivery"] = _delivery(check)
    return found


def _headers(check: Checker, value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        check.fault("headers", "type", f"expected an object of strings, got {kind(value)}")
        return ()
    if len(value) > MAX_HEADERS:
        check.fault("headers", "limit", f"{len(value)} headers, {MAX_HEADERS} are allowed")
    for name, text in value.items():
        at = f"headers/{escape(name)}"
        low = name.lower()
        if not _TOKEN.match(name):
            check.fault(at, "header", f"{name!r} is not a header name")
        elif low in _FORBIDDEN or low.startswith(_OURS):
            check.fault(at, "header", f"{name} is set by the service")
        if not isinstance(text, str):
            check.fault(at, "type", f"expected a string, got {kind(text)}")
        elif len(text) > MAX_HEADER_VALUE or not text.isprintable() or not is_storable(text):
            message = f"a header value has up to {MAX_HEADER_VALUE} printable characters"
            check.fault(at, "header", message)
    return tuple((str(name), str(text)) for name, text in value.items())


def _schedule(check: Checker, value: object) -> tuple[float, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MAX_WAITS:
        message = f"expected an array of up to {MAX_WAITS} waits in seconds, or null"
        check.fault("retry_schedule", "type", message)
        return None
    for n, wait in enumerate(value):
        if isinstance(wait, bool) or not isinstance(wait, int | float):
            check.fault(f"retry_schedule/{n}", "type", f"expected a number, got {kind(wait)}")
        elif not 1 <= wait <= DAY_SECONDS:
            message = f"a wait is 1 to {DAY_SECONDS} seconds, got {wait:g}"
            check.fault(f"retry_schedule/{n}", "range", message)
    return tuple(float(w) for w in value if isinstance(w, int | float))


def _ages(check: Checker, value: object) -> tuple[tuple[str, float], ...]:
    """Return limits of age by type: of streams alone, since a report is worth something however late."""
    if value is None:
        return ()
    if not isinstance(value, dict):
        check.fault(AGES, "type", f"expected an object of seconds by type, got {kind(value)}")
        return ()
    inner = Checker(check.title, value, known=tuple(value), pointer=f"{check.pointer}/{AGES}")
    streams, (least, most) = catalogue.streams(), MAX_AGE
    for name in value:
        if name not in streams:
            message = f"{name} never expires: only {' and '.join(streams)} can have a limit of age"
            inner.fault(escape(name), "never_expires", message)
    found = {name: inner.number(name, least=least, most=most) for name in value if name in streams}
    check.faults += inner.faults
    return tuple((name, seconds) for name, seconds in found.items() if seconds is not None)


def _start_from(check: Checker, value: object) -> str:
    """Return where it begins: `now`, `earliest` or a time."""
    if value is None or value in ("now", "earliest"):
        return str(value or "now")
    moment = parse_moment(value)
    if moment is None:
        message = 'expected "now", "earliest" or a time as 2026-03-17T09:40:51.000Z'
        check.fault("start_from", "time", message)
        return "now"
    return rfc3339(moment)
