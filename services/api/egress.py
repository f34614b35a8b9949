"""`GET /v1/egress`: where our requests come from, for those who let nobody else in."""

from collections.abc import Sequence
from datetime import datetime

from services.api.call import Answer, Call
from services.kernel.clock import rfc3339


class EgressRoutes:
    """What the operator said of it; nothing of it can be measured from here."""

    def __init__(
        self,
        *,
        addresses: Sequence[str],
        next_addresses: Sequence[str],
        next_from: datetime | None,
    ) -> None:
        planned = None
        if next_from is not None:
            planned = {"addresses": list(next_addresses), "from": rfc3339(next_from)}
        self._body = {"addresses": list(addresses), "next": planned}

    async def get(self, call: Call) -> Answer:
        """Return the addresses that requests come from, and a planned change of them."""
        call.caller.require("read")
        call.only()
        return Answer(200, self._body)
