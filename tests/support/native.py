"""The native API as a caller sees it: each answer is held to the OpenAPI document."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias

import orjson
from aiohttp import ClientSession

from tests.support import openapi
from tests.support.cluster import ADMIN_KEY, Cluster

Json: TypeAlias = Any
ANY = -1
NOBODYS_ID = "0123456789abcdef01234567"
URL = "https://example.com/hook"
MAX_BODY = 5_242_880
"""Bytes of a request, as configured by default."""


@dataclass
class Answer:
    """What the API said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        return orjson.loads(self.body)

    @property
    def faults(self) -> list[tuple[str, str]]:
        """Where each fault is, and its code."""
        return [
            (fault.get("pointer", fault.get("parameter")), fault["code"])
            for fault in self.json["errors"]
        ]

    @property
    def messages(self) -> dict[str, str]:
        """What is said of each place."""
        return {
            fault.get("pointer", fault.get("parameter")): fault["message"]
            for fault in self.json["errors"]
        }


@dataclass
class Caller:
    """Somebody with a key."""

    session: ClientSession
    key: str | None = ADMIN_KEY
    project: str = ""
    base: str = ""
    """Where the API is, if the session doesn't know."""

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        status: int | None = None,
        **headers: str,
    ) -> Answer:
        """Call with JSON, or with bytes as they are; the status must be *status*, else 2xx.

        Headers are written with underscores.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key is not None:
            sent.setdefault("Authorization", f"Bearer {self.key}")
        if body is not None and not isinstance(body, bytes):
            sent.setdefault("Content-Type", "application/json")
            body = orjson.dumps(body)
        data = (
            BytesIO(body) if isinstance(body, bytes) else None
        )  # as bytes, large ones are warned of
        async with self.session.request(
            method, self.base + path, data=data, headers=sent
        ) as response:
            answer = Answer(response.status, response.headers, await response.read())
            content_type = response.content_type
        said = f"{method} {path}: {answer.status} {answer.body[:2000]!r}"
        if status != ANY:
            assert answer.status == status if status else answer.status < 300, said
        assert openapi.faults(method, path, answer.status, content_type, answer.body) == [], said
        return answer

    async def try_(self, method: str, path: str, body: object = None) -> Answer:
        """Call, and return whatever the status is."""
        return await self(method, path, body, status=ANY)

    async def make(self, **fields: object) -> Json:
        """Make a subscription in the caller's project."""
        body = {"url": "https://example.com/hook", "types": ["*"], **fields}
        return (await self("POST", "/v1/subscriptions", body, status=201)).json


async def with_key(operator: Caller, project: str, *scopes: str) -> Caller:
    """Return a caller with a new key of *project*."""
    body = {"name": "A key", "scopes": scopes}
    answer = await operator("POST", f"/v1/projects/{project}/api-keys", body, status=201)
    return Caller(operator.session, answer.json["key"], project)


async def all_subscriptions(caller: Caller, query: str = "") -> list[Any]:
    """Return all of a project, read page by page."""
    found: list[Any] = []
    cursor = ""
    while True:
        page = (await caller("GET", f"/v1/subscriptions?limit=500{query}{cursor}")).json
        found += page["data"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


def a_plan_created(id_: str | None = None, **fields: object) -> dict[str, Any]:
    """Return a valid event, without a project."""
    data = {"id": NOBODYS_ID, "project_id": NOBODYS_ID, "status": "planning", "label": "x"}
    return {
        **({} if id_ is None else {"id": id_}),
        "type": "plan.created",
        "created_at": "2026-03-17T09:40:51.000Z",
        "data": data,
        **fields,
    }


async def raw_request(cluster: Cluster, *head: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send a request byte by byte as written; return status and body of the answer."""
    host, _, port = cluster.api.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        lines = [*head, f"Host: {host}", f"Authorization: Bearer {ADMIN_KEY}", "", ""]
        writer.write("\r\n".join(lines).encode("latin-1") + body)
        await writer.drain()
        said = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(said.lower().partition("content-length: ")[2].partition("\r\n")[0])
        return int(said.split()[1]), await reader.readexactly(length)
    finally:
        writer.close()
