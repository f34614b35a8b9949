"""The Planner-compatible API, `/v2` and `/api/v1`: the product's public clients, unchanged.

A *webhook* here is a subscription: the same rows and the same rules as `/v1`, in the words that these
clients know. One route takes all that lies below the two bases and looks the rest up itself: these
clients write `//` where an endpoint ends with a slash, follow no redirect, and print `undefined` for
an error that isn't a JSON object.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from services.api.app import REFUSING, bearer
from services.api.call import Call
from services.api.edge import read_body
from services.api.planner_bodies import INVALID, decoded, number, shown, wanted
from services.api.planner_errors import refused
from services.control.access import Access
from services.control.checks import kind
from services.control.subscriptions import Subscriptions
from services.control.test_calls import TestCalls
from services.kernel.clock import rfc3339
from services.kernel.errors import Fault, FaultsError
from services.kernel.event import Json
from services.kernel.subscription import Profile

PATH = "/{lead:/*}{base:api/+v1|v2}{rest:(/.*)?}"
PROFILES = {"v1": Profile.HIGHWAY_V1, "v2": Profile.PLANNER_2022}
"""Of a webhook that names none, by the last step of the base."""

ID = "{id}"
LIMIT = 20
MAX_WEBHOOKS = 1_000
"""In one body: each URL's name is resolved while the caller waits."""


class Verb(NamedTuple):
    """What one method does on one path."""

    handler: Callable[[Call], Awaitable[Any]]
    scope: str
    takes_body: bool = True


class Planner:
    """Serves both bases."""

    def __init__(
        self,
        *,
        subscriptions: Subscriptions,
        test_calls: TestCalls,
        access: Access,
        max_body_bytes: int,
    ) -> None:
        self._subscriptions = subscriptions
        self._test_calls = test_calls
        self._access = access
        self._max_body_bytes = max_body_bytes
        listing = Verb(self.page, "read", takes_body=False)
        self._paths: dict[tuple[str, ...], dict[str, Verb]] = {
            ("webhook",): {"GET": listing, "POST": Verb(self.create, "manage")},
            ("webhooks",): {"GET": listing, "POST": Verb(self.create_many, "manage")},
            ("webhook", ID): {
                "GET": Verb(self.get, "read", takes_body=False),
                "PUT": Verb(self.update, "manage"),
                "DELETE": Verb(self.delete, "manage", takes_body=False),
            },
            ("webhook", ID, "test"): {"POST": Verb(self.test, "manage")},
        }

    def add_to(self, app: web.Application) -> None:
        """Add both bases to *app*."""
        app.router.add_route("*", PATH, self._serve)

    async def _serve(self, request: web.Request) -> web.Response:
        request[REFUSING] = refused
        id_, verb = self._verb(request)
        key = request.query.get("private_key") or bearer(request.headers)
        caller = await self._access.caller(key, address=request.remote)
        caller.require(verb.scope)
        body: Any = {}
        if verb.takes_body:
            raw = await read_body(request, self._max_body_bytes)
            body = decoded(request.content_type, raw)
        call = Call(
            caller=caller,
            path={"id": id_, "version": request.match_info["base"].rpartition("/")[2]},
            query=dict(request.query),
            headers=request.headers,
            body=body,
        )
        answer = orjson.dumps(await verb.handler(call))
        return web.Response(body=answer, content_type="application/json")

    def _verb(self, request: web.Request) -> tuple[str, Verb]:
        """Return what is asked for. Raises HTTPNotFound, HTTPMethodNotAllowed."""
        steps = [step for step in request.match_info["rest"].split("/") if step]
        id_ = ""
        if steps[:1] == ["webhook"] and len(steps) > 1:
            id_, steps[1] = steps[1], ID
        verbs = self._paths.get(tuple(steps))
        if verbs is None:
            raise web.HTTPNotFound
        verb = verbs.get(request.method)
        if verb is None:
            raise web.HTTPMethodNotAllowed(request.method, verbs)
        return id_, verb

    async def create(self, call: Call) -> Json:
        """Make a webhook; its secret is in this answer alone."""
        (webhook,) = await self._create(call, [call.body], pointers=[""])
        return webhook

    async def create_many(self, call: Call) -> list[Json]:
        """Make all of them, or none."""
        bodies = call.body
        if not isinstance(bodies, list):
            message = f"expected an array of webhooks, got {kind(bodies)}"
            raise FaultsError(INVALID, [Fault("type", message, "")])
        if len(bodies) > MAX_WEBHOOKS:
            message = f"{len(bodies)} webhooks, up to {MAX_WEBHOOKS} at once are allowed"
            raise FaultsError(INVALID, [Fault("limit", message, "")])
        return await self._create(call, bodies, pointers=[f"/{n}" for n in range(len(bodies))])

    async def get(self, call: Call) -> Json:
        """Return one."""
        return shown(await self._subscriptions.get(call.caller, call.path["id"]))

    async def page(self, call: Call) -> Any:  # noqa: ANN401 - an array, or an object with one
        """Return those of a project, newest first; in pages where one is asked for."""
        project_id = await self._access.project_for(call.caller, _project(call))
        query = call.query
        if "limit" not in query and "offset" not in query:
            rows, _ = await self._subscriptions.window(project_id, offset=0, limit=None)
            return [shown(row) for row in rows]
        limit = number(query, "limit", default=LIMIT)
        offset = number(query, "offset", default=0)
        rows, total = await self._subscriptions.window(project_id, offset=offset, limit=limit)
        docs = [shown(row) for row in rows]
        return {"docs": docs, "total": total, "limit": limit, "offset": offset}

    async def update(self, call: Call) -> Json:
        """Change what the body names; a failure count of 0 re-enables what we disabled."""
        found = wanted(call.body)
        return shown(
            await self._subscriptions.revise(
                call.caller,
                call.path["id"],
                found.fields,
                enabled=found.enabled,
                forgiven=found.failure_count == 0,
                noted=found.faults,
            )
        )

    async def delete(self, call: Call) -> Json:
        """Delete one, and show it as it last was."""
        deleted = await self._subscriptions.delete(call.caller, call.path["id"])
        at = rfc3339(deleted.at)
        return {
            **shown(deleted.registration),
            "deleted": True,
            "deleted_at": at,
            "updated_at": at,
        }

    async def test(self, call: Call) -> Json:
        """Send one example event at once; what the receiver makes of it is no error of this call."""
        if not isinstance(call.body, dict):
            message = f"expected an object, got {kind(call.body)}"
            raise FaultsError(INVALID, [Fault("type", message, "")])
        tested = await self._test_calls.send(
            call.caller, call.path["id"], type_=call.body.get("event_type")
        )
        attempt = tested.last.attempt
        result = {
            "status": attempt.status,
            "duration_ms": round(attempt.seconds * 1000),
            "error": attempt.error,
        }
        return {**shown(tested.registration), "test": result}

    async def _create(
        self, call: Call, bodies: Sequence[object], *, pointers: Sequence[str]
    ) -> list[Json]:
        found = [
            wanted(body, pointer=pointer, creating=True)
            for body, pointer in zip(bodies, pointers, strict=True)
        ]
        project = _project(call)
        for each in found:
            if project is not None and isinstance(each.fields, dict):
                each.fields["project_id"] = project
        created = await self._subscriptions.create_many(
            call.caller,
            [each.fields for each in found],
            pointers=pointers,
            paused=[each.enabled is False for each in found],
            profile=PROFILES[call.path["version"]],
            noted=[fault for each in found for fault in each.faults],
        )
        return [{**shown(row.registration), "secret": row.secret} for row in created]


def _project(call: Call) -> str | None:
    return call.query.get("project_id") or None
