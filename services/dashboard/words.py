"""States and reasons in sentences; pure."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from services.kernel.retry import DEFAULT_SCHEDULE

MINUTE, HOUR, DAY = 60, 3_600, 86_400
STEADY = 0.99
"""A share of acknowledged requests below this is worth a word."""

FIELDS = 3
"""Named where no single one stops most events."""


class State(NamedTuple):
    """A word, and the tone of its badge: `ok warn bad info off`."""

    word: str
    tone: str


class Standing(NamedTuple):
    """Why something is as it is, and what happens next."""

    why: str
    next: str


STATUSES = {
    "active": State("Active", "ok"),
    "paused": State("Paused", "off"),
    "disabled": State("Disabled", "bad"),
}
DELIVERIES = {
    "acknowledged": State("Acknowledged", "ok"),
    "parked": State("Will be retried", "warn"),
    "dead": State("Given up", "bad"),
    "superseded": State("Superseded", "off"),
}
OUTCOMES = {
    "ok": State("Answered", "ok"),
    "http": State("Refused", "bad"),
    "timeout": State("Timed out", "bad"),
    "connect": State("No connection", "bad"),
    "dns": State("No such name", "bad"),
    "tls": State("TLS failed", "bad"),
    "reset": State("Broke off", "bad"),
    "blocked": State("Address refused", "bad"),
}
JUDGED = {
    True: State("As it should be", "ok"),
    False: State("Not as it should be", "bad"),
    None: State("Can't be told", "off"),
}
"""What a receiver did, on the test bench."""
LANES = {
    "detaching": State("Detaching", "warn"),
    "detached": State("Detached", "bad"),
    "catching_up": State("Catching up", "info"),
    "draining": State("Coming back", "info"),
}
REASONS = {
    "breaker_open": "most requests fail",
    "slow": "the receiver is slow",
    "full": "more arrives than it takes",
    "waited": "the oldest waited too long",
    "rate": "its rate limit is below what arrives",
    "budget": "too many failures wait",
    "window": "it held up the partition",
    "paused": "paused by its owner",
    "disabled": "disabled",
    "new": "begins at an offset of its own",
    "changed": "wants more types than before",
    "rewound": "a person moved it",
    "batch": "takes batches, which are made in its lane",
    "latest": "takes each vehicle's latest position, which waits in its lane",
    "max_age": "limits the age of its positions, which is looked at in its lane",
}
JOBS = {
    "queued": State("Queued", "off"),
    "running": State("Running", "info"),
    "done": State("Done", "ok"),
    "waiting": State("Waiting for the receiver", "warn"),
    "cancelled": State("Cancelled", "off"),
    "failed": State("Failed", "bad"),
}
OVER = ("done", "cancelled", "failed")
"""Jobs that have ended."""


_BEHIND = {
    "breaker_open": Standing(
        "Most requests fail, so this webhook is no longer fed live.",
        "One event is tried from time to time. When it is answered with 2xx, all that waited follows,"
        " in order, and nothing is lost.",
    ),
    "slow": Standing(
        "The receiver takes over a second to answer, more slowly than events arrive.",
        "It gets events at its own pace, and is fed live again once it has kept up for 30 s.",
    ),
    "full": Standing(
        "More events arrive than the receiver takes.",
        "What waits is sent as fast as it is taken. Live again once it has caught up.",
    ),
    "waited": Standing(
        "The oldest event has waited for more than 5 s.",
        "What waits is sent as fast as it is taken. Live again once it has caught up.",
    ),
    "rate": Standing(
        "The rate limit of this webhook is below what arrives.",
        "Events are sent at the limit; the backlog grows until you raise it or fewer events match.",
    ),
    "budget": Standing(
        "Too many failed requests wait for their retry.",
        "New events wait behind them and follow when the receiver answers again.",
    ),
    "window": Standing(
        "A request was held up for so long that others would have waited for it.",
        "It is now served separately, and goes on at its own pace.",
    ),
    "batch": Standing(
        "It takes batches, which are made from its own position in the log.",
        "Events are gathered and sent together, as its settings say.",
    ),
    "latest": Standing(
        "It takes each vehicle's latest position, chosen from its own place in the log.",
        "Each is sent when it is due; a newer one replaces one that waits.",
    ),
    "max_age": Standing(
        "Its positions have a limit of age, and are read from its own place in the log.",
        "One that is too old when its turn comes is replaced by a newer one of its vehicle.",
    ),
    "new": Standing(
        "It is new, and reads from where it was told to start.",
        "When it has caught up with the log it is fed live.",
    ),
    "changed": Standing(
        "Its event types were changed, and it reads on from there.",
        "When it has caught up with the log it is fed live.",
    ),
    "rewound": Standing(
        "Somebody moved it in the log.",
        "When it has caught up with the log it is fed live.",
    ),
}


def health(subscription: Mapping[str, Any], totals: Mapping[str, Any]) -> State:
    """Return how a webhook is, in a word: by its state, failures in a row, and its last 24 hours."""
    status = subscription["status"]
    if status != "active":
        return STATUSES[status]
    if subscription["failure_count"]:
        return State("Failing", "bad")
    share = success(totals)
    if share is None:
        return State("Quiet", "off")
    return State("Healthy", "ok") if share >= STEADY else State("Unsteady", "warn")


def success(totals: Mapping[str, Any]) -> float | None:
    """Return which share of requests was acknowledged; None where there was none."""
    made = totals["delivered"] + totals["failed"]
    return totals["delivered"] / made if made else None


def standing(subscription: Mapping[str, Any], backlog: Mapping[str, Any] | None) -> Standing:
    """Return why a webhook is in its state and what happens next, for a person who knows no state."""
    status, reason = subscription["status"], subscription["status_reason"]
    if status == "paused":
        return Standing(
            "Paused " + (reason or "by its owner") + ".",
            "Events wait in the log and cost nothing. Resume it, and they are sent in order.",
        )
    if status == "disabled":
        return Standing(
            f"Disabled: {reason or 'the receiver asked for it'}.",
            "Nothing is sent until you resume it. What waits meanwhile is sent then, as long as the log"
            " keeps it.",
        )
    if backlog is not None and backlog["reason"] in _BEHIND:
        return _BEHIND[backlog["reason"]]
    failures = subscription["failure_count"]
    if failures:
        times = "time" if failures == 1 else "times"
        return Standing(
            f"The receiver failed {failures} {times} in a row.",
            "Each event is retried on the schedule below; others are sent as they come.",
        )
    return Standing("It is fed live.", "Events are sent within a moment of happening.")


def matched(matches: Mapping[str, Any]) -> str:
    """Return how many of the last day's events a webhook wanted, and what stopped the others."""
    day = matches["last_day"]
    if not day["seen"]:
        return "No event of these types came in the last 24 hours"
    said = f"{day['matched']:,} of the last {day['seen']:,} events"
    fields = _mostly(matches["misses"])
    if not fields:
        return said
    how = "the others mostly stopped at" if day["matched"] else "mostly for"
    return f"{said}, {how} {fields}"


def _mostly(misses: Mapping[str, Any]) -> str:
    """Return the fields that said no to most of what was looked into, as few as it takes."""
    counts: Counter[str] = Counter()
    for clause in misses["clauses"]:
        counts[clause["path"]] += clause["count"]
    fields, said_no = [], 0
    for path, count in counts.most_common(FIELDS):
        fields.append(path)
        said_no += count
        if 2 * said_no > misses["explained"]:
            break
    *others, last = fields or [""]
    return f"{', '.join(others)} and {last}" if others else last


def duration(seconds: float | None) -> str:
    """Return a length of time as people say it: 45 s, 12 min, 3 h 20 min, 2 days."""
    if seconds is None:
        return "—"
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    if seconds < DAY:
        hours, rest = divmod(round(seconds / MINUTE), 60)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days = round(seconds / DAY)
    return "1 day" if days == 1 else f"{days} days"


def span(first: str | None, last: str | None) -> str | None:
    """Return how long it is from one time of the API to another; None where there is none."""
    if first is None or last is None:
        return None
    return duration((datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds())


def since(at: str, now: datetime) -> str:
    """Return how long ago a time of the API was."""
    return duration(max(0.0, -remaining(at, now)))


def remaining(at: str, now: datetime) -> float:
    """Return the seconds until a time of the API; negative once it is over."""
    return (datetime.fromisoformat(at) - now).total_seconds()


def schedule(waits: Sequence[float] | None) -> str:
    """Return the waits between attempts in words; None: the usual ones."""
    known = DEFAULT_SCHEDULE if waits is None else waits
    if not known:
        return "none: one attempt, then a dead letter"
    return "after " + ", ".join(duration(wait) for wait in known) + "; then a dead letter"


def host(url: str) -> str:
    """Return what a webhook without a name is called."""
    return urlsplit(url).hostname or url


def title(webhooks: Mapping[str, Mapping[str, Any]], id_: str) -> str:
    """Return what a webhook among *webhooks* is called; its id where it isn't there any more."""
    known = webhooks.get(id_)
    return id_ if known is None else known["description"] or host(known["url"])


def titles(webhooks: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return *webhooks* to choose from by name."""
    return [(id_, title(webhooks, id_)) for id_ in webhooks]


def among(states: Mapping[str, State], either: str) -> list[tuple[str, str]]:
    """Return states to choose from; nothing, or one of them."""
    return [("", either), *((name, state.word) for name, state in states.items())]


def choices(webhooks: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return webhooks to choose from."""
    return [
        (each["id"], f"{each['description'] or host(each['url'])} · {each['url']}")
        for each in webhooks
    ]


THINGS = {"subscription": "webhook", "api_key": "API key"}
"""What people call that which the API names otherwise."""


def thing(object_type: str) -> str:
    """Return what an entry of the audit is about."""
    return THINGS.get(object_type, object_type.replace("_", " "))


DONE = {
    "create": "made",
    "update": "changed",
    "delete": "deleted",
    "pause": "paused",
    "resume": "resumed",
    "rotate": "secret rotated",
    "end_secret": "secret ended",
    "release_key": "key released",
    "cancel": "cancelled",
    "discard": "discarded",
    "revoke": "revoked",
}
"""Actions of the audit, as people say what was done."""


def done(action: str) -> str:
    """Return what was done; an action that nobody named as it is."""
    return DONE.get(action, action.replace("_", " "))


def actor(id_: str) -> str:
    """Return who did something."""
    if id_ == "admin":
        return "Operator"
    if id_ == "system":
        return "This service"
    if id_.startswith("portal:"):
        return f"Portal link {id_.removeprefix('portal:')}"
    return id_.removeprefix("proxy:") if id_.startswith("proxy:") else f"Key {id_}"


def shown(value: object) -> str:
    """Return a value of a document as text."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def sentence(text: str) -> str:
    """Return a phrase of the catalogue with a capital, unless it begins with a field or a value."""
    first, _, rest = text.partition(" ")
    return text if "_" in first or rest.startswith("->") or not text else text[0].upper() + text[1:]


def waits(short: Mapping[str, Any]) -> int | None:
    """Return how much of a backlog waits, records and deliveries; None where nobody knows."""
    return None if short["lag"] is None else int(short["lag"]) + int(short["retries"])
