"""The test bench: any event with edited data, sent well or badly on purpose; and a delivery day."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiohttp import web

from services.control.bench import RULES
from services.control.test_days import MAX_EVENTS
from services.dashboard import words
from services.dashboard.forms import Form, number
from services.dashboard.views.event_types import ONE, edited, pretty
from services.dashboard.views.webhooks import known_webhooks
from services.dashboard.visit import Visit
from services.kernel.errors import FaultsError

AT = "/test-bench"
TEST = "POST /v1/subscriptions/{id}/test"
DAY = "POST /v1/subscriptions/{id}/test-day"
USUAL = "stop.report.completed"
FIELDS = {"/data": "f-data", "/type": "f-type", "/misbehave": "f-how", "/seed": "f-seed"}


class Progress(NamedTuple):
    """How far a day is, and what came of it."""

    step: Mapping[str, Any]
    taken: int
    refused: int
    lately: Sequence[Mapping[str, Any]]
    """Those of the last step that were not taken."""

    @property
    def done(self) -> int:
        """Events that were sent."""
        return self.taken + self.refused

    @property
    def goes_on(self) -> bool:
        """Whether it should, by itself: nobody is served by a day that nobody takes."""
        return self.step["next"] is not None and len(self.lately) < len(self.step["attempts"])


async def index(visit: Visit) -> web.StreamResponse:
    """Show what can be sent; the address may name the webhook and the type."""
    return await _draw(visit, Form())


async def send(visit: Visit) -> web.StreamResponse:
    """Send one test, as it was asked for, and show what came of it."""
    try:
        how = visit.typed.get("how") or None
        data = edited(visit.typed.get("data", ""))
        body = {"type": visit.typed.get("type"), "data": data, "misbehave": how}
        id_ = visit.typed.get("webhook", "")
        tested = await visit.ask(TEST, id=id_, body=body, once=True)
    except FaultsError as error:
        return await _draw(visit, Form(visit.typed, error.faults))
    return await _draw(visit, Form(visit.typed), tested=tested)


async def day(visit: Visit) -> web.StreamResponse:
    """Send the next events of a day."""
    typed = visit.typed
    body = {name: number(typed.get(name, "")) for name in ("seed", "from")}
    try:
        step = await visit.ask(DAY, id=typed.get("webhook", ""), body=body, once=True)
    except FaultsError as error:
        return await _draw(visit, Form(typed), day_form=Form(typed, error.faults))
    lately = [each for each in step["attempts"] if each["outcome"] != "ok"]
    taken = _count(typed.get("taken", "")) + len(step["attempts"]) - len(lately)
    refused = _count(typed.get("refused", "")) + len(lately)
    progress = Progress(step, taken, refused, lately)
    return await _draw(visit, Form(typed), progress=progress)


def _count(text: str) -> int:
    """Return what the step before counted; what nobody can have counted is none."""
    return int(text) if text.isdecimal() and len(text) < len(str(MAX_EVENTS)) else 0


async def _draw(
    visit: Visit,
    form: Form,
    *,
    tested: Mapping[str, Any] | None = None,
    day_form: Form | None = None,
    progress: Progress | None = None,
) -> web.StreamResponse:
    visit.caller.require("manage")
    webhooks = await known_webhooks(visit)
    given = form.values or visit.query
    chosen = given.get("webhook", "")
    chosen = chosen if chosen in webhooks else next(iter(webhooks), "")
    types = [row["type"] for row in (await visit.ask("GET /v1/event-types"))["data"]]
    type_ = given.get("type", "")
    type_ = type_ if type_ in types else _usual(webhooks.get(chosen), types)
    known = await visit.ask(ONE, type=type_)
    faults = [*form.faults, *(day_form.faults if day_form else ())]
    return visit.render(
        "test_bench.html",
        status=422 if faults else 200,
        at=AT if visit.request.method == "POST" else None,
        form=form,
        day_form=day_form or Form(),
        fields=FIELDS,
        webhooks=words.titles(webhooks),
        webhook=webhooks.get(chosen),
        types=[(each, each) for each in types],
        known=known,
        data=pretty(known["examples"]["planner-2022"]["data"]),
        rules=RULES,
        tested=tested,
        progress=progress,
    )


def _usual(webhook: Mapping[str, Any] | None, types: Sequence[str]) -> str:
    """Return a type that the webhook asks for by its name; else one that most have."""
    asked = webhook["types"] if webhook else ()
    return next((each for each in asked if each in types), USUAL)
