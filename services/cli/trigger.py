"""`trigger`: the example of an event type, changed, into Kafka or as a test to one subscription."""

import copy
import os
from typing import Annotated, Any

import orjson
import typer

from services import catalogue
from services.cli.command import AnswerIsNoError, UsageError, command
from services.cli.console import Console
from services.control.bench import Misbehaviour
from services.kernel.clock import SystemClock, rfc3339
from services.kernel.event import Json
from services.kernel.ids import new_id


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "planner-webhooks trigger stop.report.completed --set data.stop.external_id=ORD-1"
    command(app, "trigger", example=example)(trigger)


async def trigger(
    console: Console,
    *,
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="Event type; older names work too.")],
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", help="Change a field; the value is JSON or plain text."
        ),
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="Project; needed only if the key is not bound to one.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="SUBSCRIPTION", help="Send it as a test to this subscription only."),
    ] = None,
    misbehave: Annotated[
        Misbehaviour | None,
        typer.Option(help="What the test does wrong on purpose."),
    ] = None,
) -> None:
    """Send the example of an event type to Kafka, or as a test to one subscription."""
    if misbehave is not None and to is None:
        raise UsageError("--misbehave tries one receiver: name its subscription with --to")
    # A test call takes an umbrella as well; then it sends the first of its types.
    members = sorted(catalogue.umbrellas().get(type_, ())) if to is not None else []
    event = an_example(next(iter(members), type_))
    for change in changes or ():
        apply(event, change)
    if project is not None:
        event["project_id"] = project
    async with console.api() as api:
        if to is not None:
            body = {"type": type_, "data": event["data"], "misbehave": misbehave}
            tested = await api.call("POST", f"/v1/subscriptions/{to}/test", body)
            console.record(tested)
            if misbehave is not None:
                _judge(console, tested["bench"])
            return
        answer = await api.call("POST", "/v1/events", event)
    console.rows(answer["events"], ["id", "topic", "partition", "offset"])


def _judge(console: Console, bench: Json) -> None:
    """Say what a correct receiver does. Raises AnswerIsNoError where this one did something else."""
    console.hint(f"{bench['does']} A correct receiver: {bench['expects']}")
    console.hint(bench["found"])
    if bench["correct"] is not True:
        raise AnswerIsNoError(bench["found"])


def an_example(type_: str) -> Json:
    """Return a fresh event of *type_*, without a project. Raises UsageError with the nearest name."""
    name = catalogue.canonical(type_)
    if name not in catalogue.examples():
        raise UsageError(catalogue.unknown(type_))
    clock = SystemClock()
    event = copy.deepcopy(dict(catalogue.examples()[name]))
    del event["project_id"]  # the key says whose event it is
    event["id"] = new_id(now=clock.time(), entropy=os.urandom)
    event["created_at"] = rfc3339(clock.now())
    return event


def apply(event: Json, change: str) -> None:
    """Set one field of *event*; `data.stop.external_id=ORD-1`. Raises UsageError."""
    path, equals, text = change.partition("=")
    if not equals or not path:
        raise UsageError(f"--set {change!r} is not PATH=VALUE")
    *parents, last = path.split(".")
    place: Any = event
    for step in parents:
        place = _within(place, step, path)
    if isinstance(place, list):
        place[_index(place, last, path)] = _value(text)
    elif isinstance(place, dict):
        place[last] = _value(text)
    else:
        raise UsageError(f"--set {path}: there is nothing to set in {place!r}")


def _within(place: object, step: str, path: str) -> object:
    if isinstance(place, list):
        return place[_index(place, step, path)]
    if isinstance(place, dict):
        return place.setdefault(step, {})
    raise UsageError(f"--set {path}: {step!r} is in no object")


def _index(place: list[Any], step: str, path: str) -> int:
    if not step.isdecimal() or int(step) >= len(place):
        raise UsageError(f"--set {path}: {step!r} is not an index into a list of {len(place)}")
    return int(step)


def _value(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
