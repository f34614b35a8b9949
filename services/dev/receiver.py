"""The demo's receiver: verifies each signature and says one line per delivery."""

from collections.abc import Callable, Mapping

import orjson
from aiohttp import web

from services.deliver import verify as rules
from services.kernel.clock import Clock

UNKNOWN = "not verified: its secret is not known here"


class Receiver:
    """Answers 200 where the signature is valid or can't be checked, 401 where it is not valid."""

    def __init__(
        self, *, secrets: Mapping[str, str], clock: Clock, say: Callable[[str], None]
    ) -> None:
        self._verifiers = {id_: rules.parse(secret) for id_, secret in secrets.items()}
        self._clock = clock
        self._say = say

    def add_to(self, app: web.Application) -> None:
        """Take the requests to any path."""
        app.router.add_post("/{path:.*}", self._receive)

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        status, judged = self._judge(headers, body)
        self._say(_line(self._clock, headers, request.path, body, judged))
        return web.Response(status=status)

    def _judge(self, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        verifier = self._verifiers.get(headers.get("planner-webhook-id", ""))
        if verifier is None:
            return 200, UNKNOWN
        found = rules.verify(verifier, headers=headers, body=body, now=self._clock.time())
        return (200, "valid") if found.valid else (401, f"NOT VALID: {found.message}")


def _line(clock: Clock, headers: Mapping[str, str], path: str, body: bytes, judged: str) -> str:
    type_ = headers.get("planner-event-type", "?")
    attempt = headers.get("planner-attempt", "1")
    again = f" attempt {attempt}" if attempt != "1" else ""
    at = clock.now().strftime("%H:%M:%S")
    what = f"{type_:<24}{_subject(body):<34}"
    return f"{at}  {path:<6} {what} {len(body):>6} B  {judged}{again}"


def _subject(body: bytes) -> str:
    """Return what a person would ask about: which stop, which van."""
    try:
        data = orjson.loads(body)["data"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
    inner = next((data[name] for name in ("stop", "route", "plan") if name in data), data)
    if not isinstance(inner, dict):
        return ""
    if "position" in data and isinstance(data["position"], dict):
        return f"{data['position'].get('lat', 0):.5f}, {data['position'].get('lng', 0):.5f}"
    named = inner.get("external_id") or inner.get("label") or inner.get("id") or ""
    status = inner.get("status")
    return f"{named} {status}" if status else str(named)
