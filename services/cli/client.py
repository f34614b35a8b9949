"""The API as the command line sees it: JSON in and out, refusals and silence as exceptions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from services.kernel.errors import WebhooksError
from services.kernel.event import Json

RECONNECT_SECONDS = 1.0
LINE_BYTES = 4 << 20
"""Of an event on one line, and more."""
SECONDS = 40.0
"""Of one call: a test call may wait 30 s for the receiver."""


class UnreachableError(WebhooksError):
    """Nobody answers at the API's address."""


class RefusedError(WebhooksError):
    """The API answered no; `faults` has a line for each thing that is wrong."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        title = problem.get("title") or problem.get("message") or "refused"
        detail = problem.get("detail")
        super().__init__(f"{title} ({status})" + (f": {detail}" if detail else ""))
        self.status = status
        self.errors: list[Json] = problem.get("errors", [])
        self.faults = [
            f"{fault.get('pointer') or fault.get('parameter') or '/'}: {fault.get('message', '')}"
            for fault in self.errors
        ]


class Api:
    """One session, for the time of a command."""

    def __init__(self, *, url: str, key: str | None) -> None:
        self.url = url.rstrip("/")
        self._key = key
        self._session: aiohttp.ClientSession | None = None

    @property
    def identity(self) -> str:
        """Who is calling: the key, else where."""
        return self._key or self.url

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        timeout = aiohttp.ClientTimeout(total=SECONDS, sock_connect=5.0)
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        """Make one call and return the answer's object; bytes are sent as they are.

        Raises RefusedError, UnreachableError.
        """
        assert self._session is not None, "enter the context first"  # noqa: S101 - a caller's bug
        data = body if isinstance(body, bytes) else None if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            async with self._session.request(
                method, self.url + path, data=data, params=query, headers=headers
            ) as response:
                answer = _object(await response.read())
                if not response.ok:
                    raise RefusedError(response.status, answer)
                return answer
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise UnreachableError(f"nobody answers at {self.url}: {why}") from error

    async def follow(self, path: str, query: Mapping[str, str]) -> AsyncIterator[tuple[str, Json]]:
        """Yield (name, data) of server-sent events, over broken lines too, until cancelled.

        Raises RefusedError; UnreachableError where nobody answers at first.
        """
        assert self._session is not None, "enter the context first"  # noqa: S101 - a caller's bug
        last, timeout = "", aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=45.0)
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            try:
                async with self._session.get(
                    self.url + path,
                    params=query,
                    headers=headers,
                    timeout=timeout,
                    read_bufsize=LINE_BYTES,
                ) as response:
                    if not response.ok:
                        raise RefusedError(response.status, _object(await response.read()))
                    fields: dict[str, str] = {}
                    async for line in response.content:
                        name, _, text = line.decode().rstrip("\n").partition(": ")
                        if name:
                            fields[name] = text
                            continue
                        last = fields.get("id", last)
                        if "data" in fields:
                            yield fields["event"], orjson.loads(fields["data"])
                        fields = {}
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                if not last:
                    why = str(error) or type(error).__name__
                    raise UnreachableError(f"nobody answers at {self.url}: {why}") from error
            await asyncio.sleep(RECONNECT_SECONDS)

    async def pages(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Json]:
        """Yield every object of a list, page after page."""
        cursor: str | None = None
        while True:
            page = await self.call(
                "GET", path, query={**query, **({"cursor": cursor} if cursor else {})}
            )
            for row in page["data"]:
                yield row
            cursor = page.get("next")
            if cursor is None:
                return


def call_as(url: str, key: str) -> Callable[[str, str, object], Awaitable[Json]]:
    """Return what makes one call: verb, path and body in, the answer's object out."""

    async def call(method: str, path: str, body: object) -> Json:
        async with Api(url=url, key=key) as api:
            return await api.call(method, path, body)

    return call


def _object(body: bytes) -> Json:
    try:
        found = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        return {"detail": body[:200].decode(errors="replace")}
    return found if isinstance(found, dict) else {"data": found}
