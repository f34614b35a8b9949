"""`/v1/filters`: what is wrong with a filter, and what it would do."""

from services.api.call import Answer, Call
from services.api.problems import shown_fault
from services.control.filters import Explained, Filters
from services.kernel.event import Json
from services.match.filters.explain import Miss


class FilterRoutes:
    """Filters that nobody has stored yet."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters

    async def check(self, call: Call) -> Answer:
        """Say what is wrong or odd with a filter, and how it would be stored."""
        call.caller.require("read")
        judged, faults = await self._filters.check(call.caller, call.body)
        valid = judged is not None and not faults
        found = {
            "valid": valid,
            "errors": [shown_fault(fault) for fault in faults],
            "warnings": [shown_fault(odd) for odd in judged.warnings] if judged else [],
            "normal": judged.normal if judged and valid else None,
        }
        return Answer(200, found)

    async def explain(self, call: Call) -> Answer:
        """Say whether an event matches a filter, and if not, which clauses failed."""
        call.caller.require("read")
        judged, explained = await self._filters.explain(call.caller, call.body)
        warnings = [shown_fault(odd) for odd in judged.warnings]
        return Answer(200, {**shown(explained), "warnings": warnings})


def shown(explained: Explained) -> Json:
    """Return why an event matches or doesn't."""
    return {
        "match": explained.matched,
        "type_selected": explained.type_selected,
        "branches": [
            {"misses": [_missed(miss) for miss in branch.misses]}
            for branch in explained.explanation.branches
        ],
    }


def _missed(miss: Miss) -> Json:
    return {
        "pointer": miss.pointer,
        "path": miss.path,
        "wanted": miss.wanted,
        "actual": miss.actual,
        "note": miss.note,
        "metres": miss.metres,
    }
