"""The routes for pages of this process: the same handlers, rules and answers, and no HTTP between.

What a page shows is what `/v1` answers to the same caller, as JSON; what it may not do, `/v1` refuses
with the same faults. Pages name a route as documentation does, `GET /v1/subscriptions/{id}`.
"""

from collections.abc import Mapping, Sequence

import orjson

from services.api.call import Answer, Call, Streamed
from services.api.once import Once
from services.api.routes import Route
from services.control.access import Caller


class Inside:
    """Answers pages as it would answer a request."""

    def __init__(self, routes: Sequence[Route], once: Once) -> None:
        self._once = once
        self._routes = {f"{route.method} {route.path}": route for route in routes}

    def admits(self, caller: Caller, route: str) -> bool:
        """Tell whether there is such a route, for *caller*."""
        found = self._routes.get(route)
        return found is not None and found.admits(caller)

    async def ask(
        self,
        caller: Caller,
        route: str,
        *,
        path: Mapping[str, str],
        query: Mapping[str, str],
        body: object,
        headers: Mapping[str, str],
    ) -> Answer:
        """Return the answer, its body as JSON decodes. Raises what the handler does.

        Under an `Idempotency-Key` it is done once, as over HTTP.
        """
        self._routes[route].admit(caller)
        call = Call(caller=caller, path=path, query=query, headers=headers, body=body)
        key = headers.get("Idempotency-Key")
        if key is None:
            answer = await self._routes[route].handler(call)
        else:
            method, _, at = route.partition(" ")
            answer = await self._once.answer(
                lambda: self._routes[route].handler(call),
                caller=caller,
                key=key,
                method=method,
                path=at.format_map(path),
                body=orjson.dumps(body, option=orjson.OPT_SORT_KEYS),
            )
        assert isinstance(answer, Answer)  # noqa: S101 - what is streamed is asked for by `stream`
        encoded = answer.encoded()
        return answer._replace(body=orjson.loads(encoded) if encoded else None)

    async def stream(
        self, caller: Caller, route: str, *, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> Streamed:
        """Return what is answered piece by piece. Raises what the handler does."""
        self._routes[route].admit(caller)
        call = Call(caller=caller, path={}, query=query, headers=headers, body={})
        answer = await self._routes[route].handler(call)
        assert isinstance(answer, Streamed)  # noqa: S101 - see above
        return answer
