"""Plans and routes go out slim: without `stops` and `routes`, also where the producer embedded them.

The Planner's own plan embeds each stop twice, 1 to 2 MB for 1,000 stops: far over what a webhook
should carry.
"""

from services.kernel.event import Json

HEAVY = ("stops", "routes")
FAMILIES = ("plan.", "route.")
ENTITIES = ("plan", "route")


def is_expandable(type_: str) -> bool:
    """Tell whether events of *type_* may embed stops and routes."""
    return type_.startswith(FAMILIES)


def slim(body: Json, *, keep: tuple[str, ...]) -> Json:
    """Return *body* without the heavy parts but those in *keep*; *body* itself stays as it is."""
    heavy = [name for name in HEAVY if name not in keep]
    data = _without(body["data"], heavy)
    for entity in ENTITIES:
        if isinstance(data.get(entity), dict):
            data[entity] = _without(data[entity], heavy)
    return {**body, "data": data}


def _without(entity: Json, heavy: list[str]) -> Json:
    return {key: value for key, value in entity.items() if key not in heavy}
