"""The demo's receiver: verifies each signature and says one line per delivery."""

from collections.abc import Callable, Mapping

import orjson
from aiohttp import web

from services.deliver import verify as rules
from services.dev.demo import OK, Answer, Manner
from services.kernel.clock import Clock

UNVERIFIED = "not verified: its secret is not known here"
WRONG = 401


class Receiver:
    """Answers 401 where the signature is not valid, else as the webhook's manner says: 200 usually."""

    def __init__(
        self,
        *,
        secrets: Mapping[str, str],
        manners: Mapping[str, Manner],
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        """Know both by the webhook's id; who isn't there can't be verified, and is answered 200."""
        self._verifiers = {id_: rules.parse(secret) for id_, secret in secrets.items()}
        self._manners = manners
        self._clock = clock
        self._began = clock.monotonic()
        self._say = say

    def add_to(self, app: web.Application) -> None:
        """Take the requests to any path."""
        app.router.add_post("/{path:.*}", self._receive)

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer, judged = self._judge(headers, body)
        self._say(_line(self._clock, headers, request.path, body, judged))
        return web.Response(status=answer.status, text=answer.text)

    def _judge(self, headers: Mapping[str, str], body: bytes) -> tuple[Answer, str]:
        id_ = headers.get("planner-webhook-id", "")
        verifier = self._verifiers.get(id_)
        if verifier is None:
            return Answer(), UNVERIFIED
        found = rules.verify(verifier, headers=headers, body=body, now=self._clock.time())
        if not found.valid:
            return Answer(WRONG), f"NOT VALID: {found.message}"
        answer = self._manners[id_](headers, self._clock.monotonic() - self._began)
        refused = f", answered {answer.status}" if answer.status != OK else ""
        return answer, f"valid{refused}"


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
