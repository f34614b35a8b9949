"""Which events exist: names, older names, umbrellas, streams, topics and keys.

Read once from `schemas/events`; nothing of it is repeated in code but the rule of older names:
`driver.*` was `route.*`, `service.*` was `stop.*`, `client.*` was `customer.*`, and each may stand
behind `routal.planner.2.`.
"""

import difflib
import json
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import Any, NamedTuple

from services.kernel.event import Json

ROUTAL = "routal.planner.2."
OLDER = {"driver.": "route.", "service.": "stop.", "client.": "customer."}
RESERVED = "billing."
MISSPELT_REPORTS = {"senrvice_report_caceled": "service_report_canceled"}
"""Values of a report's `type` that were once published, and what they mean."""
MEANINGS = "meanings.json"
"""Of types and fields, in a sentence each: the agreed files beside it lack them."""
VERBATIM = frozenset({"custom_fields"})
"""Keys whose content is the customer's own: nothing is looked up or renamed below them."""


class EventType(NamedTuple):
    """One type of the catalogue."""

    type: str
    topic: str
    kafka_key: str
    """Field whose value is the record's key: `plan_id ?? stop_id` means the first there is."""
    stream: bool
    """Selected by name alone, never by a wildcard."""
    aliases: tuple[str, ...]
    umbrellas: tuple[str, ...]
    meaning: str
    """What it tells, in a sentence."""
    when: str
    not_when: str
    data: str
    in_legacy_catalogue: bool


def read(name: str) -> Any:  # noqa: ANN401 - JSON
    """Return a file of `schemas/events`, decoded."""
    return json.loads(resources.files("schemas").joinpath("events", name).read_bytes())


@cache
def event_types() -> Mapping[str, EventType]:
    """Return the catalogue by today's name, in its order."""
    rows, meanings = read("catalogue.json"), read(MEANINGS)["types"]
    found = {}
    for row in rows:
        names = {name: tuple(row[name]) for name in ("aliases", "umbrellas")}
        found[row["type"]] = EventType(**{**row, **names, "meaning": meanings[row["type"]]})
    return found


@cache
def examples() -> Mapping[str, Json]:
    """Return one valid event per type."""
    found: Mapping[str, Json] = read("examples.json")
    return found


@cache
def schema() -> Json:
    """Return the JSON Schema of an event, each field with what it means."""
    found: Json = read("schema.json")
    meanings: Mapping[str, Mapping[str, str]] = read(MEANINGS)["fields"]
    for name, part in found["$defs"].items():
        _explain(part, {**meanings["*"], **meanings.get(name, {})})
    for rule in found["$defs"]["Event"]["allOf"]:
        type_ = rule["if"]["properties"]["type"].get("const")
        _explain(rule["then"], {**meanings["*"], **meanings.get(type_, {})})
    return found


def _explain(part: Any, meanings: Mapping[str, str]) -> None:  # noqa: ANN401 - JSON
    """Describe the fields of a schema that say nothing of themselves."""
    if isinstance(part, list):
        for each in part:
            _explain(each, meanings)
    elif isinstance(part, dict):
        for name, field in part.get("properties", {}).items():
            if isinstance(field, dict) and name in meanings:
                field.setdefault("description", meanings[name])
            _explain(field, meanings)
        for name, each in part.items():
            if name not in ("properties", "if", "then"):
                _explain(each, meanings)


@cache
def data_schemas() -> Mapping[str, Json]:
    """Return the JSON Schema of `data` for each type, each complete in itself."""
    event = schema()["$defs"]["Event"]
    found = {}
    for rule in event["allOf"]:
        type_ = rule["if"]["properties"]["type"].get("const")
        if type_ is not None and "data" in rule["then"].get("properties", {}):
            found[type_] = {
                "$schema": schema()["$schema"],
                "$defs": schema()["$defs"],
                **rule["then"]["properties"]["data"],
            }
    return found


@cache
def umbrellas() -> Mapping[str, frozenset[str]]:
    """Return umbrella names, as written, and the types each stands for."""
    found: dict[str, set[str]] = {}
    for known in event_types().values():
        for name in known.umbrellas:
            found.setdefault(name, set()).add(known.type)
    return {name: frozenset(types) for name, types in found.items()}


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """Return today's name of an older *name*; what isn't older is returned as it is."""
    short = name.removeprefix(ROUTAL)
    for old, new in OLDER.items():
        if short.startswith(old):
            return new + short[len(old) :]
    return short


def is_stream(type_: str) -> bool:
    """Tell whether *type_* is selected by its name alone."""
    known = event_types().get(type_)
    return known is not None and known.stream


def streams() -> tuple[str, ...]:
    """Return the types that are selected by their names alone."""
    return tuple(name for name, known in event_types().items() if known.stream)


def nearest(name: str) -> str | None:
    """Return the known type, older name or umbrella that *name* was probably meant to be."""
    known = [*event_types(), *umbrellas()]
    known += [alias for row in event_types().values() for alias in row.aliases]
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return found[0] if found else None


def unknown(name: str) -> str:
    """Say that no event can have the type *name*, and what was probably meant."""
    members = umbrellas().get(name)
    if members is not None:
        return f"{name!r} stands for several event types: name one of {', '.join(sorted(members))}"
    near = nearest(name)
    return f"no event type {name!r}" + (f": did you mean {near!r}?" if near else "")


def record_key(event: Json) -> str | None:
    """Return the Kafka key of an event of a known type: `project_id:` and the catalogue's key.

    A producer that knows it better says so in `meta.ordering_key`: a driver's survey has no plan.
    """
    known = event_types().get(event["type"])
    if known is None:
        return None
    told = (event.get("meta") or {}).get("ordering_key")
    if isinstance(told, str) and told:
        return f"{event['project_id']}:{told}"
    for field in known.kafka_key.split(" ?? "):
        found = _find(field, event["data"], known)
        if found:
            return f"{event['project_id']}:{found}"
    return None


def id_of(noun: str, event: Json) -> str | None:
    """Return the id of the route, stop, vehicle … that an event of a known type is about."""
    known = event_types().get(event["type"])
    return _find(f"{noun}_id", event["data"], known) if known is not None else None


def _find(field: str, data: Json, known: EventType) -> str | None:
    noun = field.removesuffix("_id")
    nested = data.get(noun)
    candidates = [data.get(field), nested.get("id") if isinstance(nested, dict) else None]
    if known.data.partition(",")[0].lower() == noun.replace("_", ""):
        candidates.append(data.get("id"))  # `data` is the entity itself
    candidates += [
        value.get(field)
        for name, value in data.items()
        if isinstance(value, dict) and name not in VERBATIM
    ]
    return next((value for value in candidates if isinstance(value, str) and value), None)
