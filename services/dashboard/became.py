"""What became of events, deliveries and replays, in sentences; pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from services.dashboard.words import OUTCOMES, State
from services.kernel.about import about_data

ABOUT = (
    ("stop_id", "Stop"),
    ("route_id", "Route"),
    ("plan_id", "Plan"),
    ("vehicle_id", "Vehicle"),
    ("external_id", "External id"),
    ("event_id", "Event"),
)
VERDICTS = (
    ("", "Anything"),
    ("acknowledged", "Acknowledged"),
    ("retry", "A retry"),
    ("superseded", "A newer position"),
    ("dead", "Given up"),
    ("disable", "Webhook disabled"),
)
TRIGGERS = {
    "live": "as it happened",
    "retry": "retry",
    "replay": "replay",
    "resend": "sent again",
    "test": "test",
    "probe": "probe",
}
GIVEN_UP = {
    "exhausted": "The last attempt of its schedule failed",
    "gone": "The receiver said 410, and the webhook was disabled",
}
AGAIN = {
    "dead": "What was given up is tried anew, each with its whole schedule of retries.",
    "parked": "What waits for its next attempt is tried at once.",
    "acknowledged": "What receivers have already is sent to them once more.",
}
AGAIN_NONE = {
    "dead": "was given up",
    "parked": "waits for a retry",
    "acknowledged": "was acknowledged",
}


class Reason(NamedTuple):
    """Why a webhook didn't get an event."""

    state: State
    why: str


REASONS = {
    "type": Reason(State("Type not chosen", "off"), "None of its event types selects this one."),
    "filter": Reason(State("Filter", "off"), "Its filter says no:"),
    "broken": Reason(State("Filter broken", "bad"), "Its filter can't be read: save it again."),
    "about_itself": Reason(
        State("About itself", "off"), "Nobody is told of their own deliveries: it would never end."
    ),
    "created_later": Reason(
        State("Began later", "off"), "It began after this event. A replay sends what was before."
    ),
    "paused": Reason(State("Paused", "off"), "It gets this when it is resumed."),
    "disabled": Reason(
        State("Disabled", "bad"), "It gets this when it is resumed, as long as the log keeps it."
    ),
}


def about(event: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """Return what an event is about, each as its parameter, its name and its id; nothing of none."""
    if event is None:
        return []
    found = about_data(event["type"], event["data"])._asdict()
    return [(name, noun, found[name]) for name, noun in ABOUT if found.get(name)]


def answered(tried: Mapping[str, Any]) -> str:
    """Return how the last attempt of a delivery ended: a status where there was one."""
    if tried["outcome"] is None:
        return "not tried"
    return str(tried["status"] or OUTCOMES[tried["outcome"]].word)


def since_then(match: Mapping[str, Any]) -> str:
    """Return why a webhook that got an event would not get it today."""
    return f"today: {REASONS[match['reason']].state.word.lower()}"


def replayed(replay: Mapping[str, Any]) -> str:
    """Return what a replay is of."""
    for noun in ("vehicle", "route", "plan"):
        if replay[f"{noun}_id"]:
            return f"{noun.capitalize()} {replay[f'{noun}_id']}"
    if replay["key"]:
        return f"Key {replay['key']}"
    return ", ".join(replay["types"]) if replay["types"] else "All that the webhook chose"


def pace(replay: Mapping[str, Any]) -> str:
    """Return how fast a replay sends."""
    if replay["speed"]:
        return f"In the original rhythm, {replay['speed']:g} times as fast"
    return f"At most {replay['max_rate']:g} a second" if replay["max_rate"] else "As fast as taken"


def sentence(delivery: Mapping[str, Any]) -> str:
    """Return what became of a delivery, in a sentence."""
    times = "attempt" if delivery["number"] == 1 else "attempts"
    after = f"after {delivery['number']} {times}"
    if delivery["state"] == "acknowledged":
        return f"The receiver has it, {after}."
    if delivery["state"] == "parked":
        return f"It failed, {after}, and is tried again."
    if delivery["state"] == "superseded":
        return f"It failed, {after}, and a newer position of its vehicle took its place."
    return f"{GIVEN_UP.get(delivery['reason'], 'It failed')}, {after}."
