"""Plans and routes go out slim: without `stops` and `routes`, also where the producer embedded them.

The Planner's own plan embeds each stop twice, 1 to 2 MB for 1,000 stops: far over what a webhook
should carry.
"""

from collections.abc import Sequence
from typing import Any

from services.kernel.event import Json

HEAVY = ("stops", "routes")
FAMILIES = ("plan.", "route.")
ENTITIES = ("plan", "route")
PARTS = ("data", "previous")


def is_expandable(type_: str) -> bool:
    """Tell whether events of *type_* may embed stops and routes."""
    return type_.startswith(FAMILIES)


def slim(body: Json, *, keep: tuple[str, ...]) -> Json:
    """Return *body* without the heavy parts but those in *keep*; *body* itself is not changed."""
    heavy = [name for name in HEAVY if name not in keep] if keep else HEAVY
    slimmed: Json = {name: _slim(body[name], heavy) for name in PARTS if _is_heavy(body.get(name))}
    return {**body, **slimmed} if slimmed else body


def _is_heavy(entity: Any) -> bool:  # noqa: ANN401 - JSON
    """Tell whether there is anything to take out: most producers send them slim as they are."""
    if not isinstance(entity, dict):
        return False
    # By name rather than in a loop: this is done for each event of a plan or a route.
    if "stops" in entity or "routes" in entity:
        return True
    return _is_heavy(entity.get("plan")) or _is_heavy(entity.get("route"))


def _slim(entity: Any, heavy: Sequence[str]) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(entity, dict):
        return entity
    found = {name: value for name, value in entity.items() if name not in heavy}
    for name in ENTITIES:
        if name in found:
            found[name] = _slim(found[name], heavy)
    if isinstance(found.get("routes"), list):  # asked for, but maybe not with their stops
        found["routes"] = [_slim(route, heavy) for route in found["routes"]]
    return found
