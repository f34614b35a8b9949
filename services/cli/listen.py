"""`listen`: events arrive at a local program as a webhook's do, without a public URL.

They come over `GET /v1/stream` and are matched, rendered, signed and retried here, by the parts that
dispatchers have. Nothing of it is stored: what fails is tried again for as long as the command runs.
"""

import asyncio
import hashlib
import hmac
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer

from services.cli.client import Api
from services.cli.command import AnswerIsNoError, UsageError, command
from services.cli.console import Console
from services.cli.filters import SAID, Project, read
from services.deliver.send import SigningSender
from services.deliver.signing import secret_text
from services.kernel.attempt import Attempt, Dead, Disable, RetryAt
from services.kernel.clock import SystemClock, rfc3339
from services.kernel.delivery import Delivery, Trigger
from services.kernel.event import Event, Json, Partition, Position
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.retry import DEFAULT_SCHEDULE, decide
from services.kernel.subscription import Profile, SignatureScheme, SigningKey, Subscription
from services.match import types as patterns
from services.match.filters import Evaluator, evaluator, stored
from services.render import render
from services.run.listen import local_sender
from services.settings import load

LABEL = b"planner-webhooks listen"
MAX_WAITING = 1_000
"""Retries that wait: what fails beyond them isn't tried again."""
EVERYTHING = ("*",)


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "planner-webhooks listen --forward-to http://localhost:3000/hooks --types 'stop.*'"
    command(app, "listen", example=example)(listen)


async def listen(
    console: Console,
    *,
    forward_to: Annotated[
        str | None,
        typer.Option(
            "--forward-to", metavar="URL", help="Your program; without it, events are only shown."
        ),
    ] = None,
    types: Annotated[
        list[str] | None, typer.Option("--types", help="Event types or patterns; repeat for more.")
    ] = None,
    filter_: Annotated[
        Path | None,
        typer.Option(
            "--filter", metavar="FILE", exists=True, dir_okay=False, help="A filter as JSON."
        ),
    ] = None,
    project: Project = None,
) -> None:
    """Send events to a local program, signed and retried like a webhook. Ctrl-C stops."""
    if forward_to is not None and not forward_to.startswith(("http://", "https://")):
        raise UsageError(f"{forward_to!r} is not a URL: write http://localhost:3000/hooks")
    faults = patterns.faults(types or EVERYTHING, pointer="")
    if faults:
        raise UsageError(faults[0].message)
    settings = load()
    async with console.api() as api, local_sender(settings) as sender:
        wanted = Wanted(
            types=tuple(types or EVERYTHING),
            fits=await _filter(console, api, filter_, types, project),
            key=SigningKey(SignatureScheme.V1, _secret(api)),
            url=forward_to or "",
            max_body_bytes=settings.deliver.max_body_bytes,
        )
        console.hint(f"signed with {secret_text(wanted.key)}; Ctrl-C stops")
        async with asyncio.TaskGroup() as group:
            forwarder = Forwarder(console, sender, wanted, group)
            query = {"of": "events"} | ({} if project is None else {"project_id": project})
            async for name, data in api.follow("/v1/stream", query):
                if name == "event":
                    await forwarder.take(data)
                else:
                    console.hint(f"missed: {orjson.dumps(data).decode()}")


class Wanted:
    """What a webhook with these types and this filter would get, and how."""

    def __init__(
        self,
        *,
        types: Sequence[str],
        fits: Evaluator | None,
        key: SigningKey,
        url: str,
        max_body_bytes: int,
    ) -> None:
        self._types = tuple(types)
        self._fits = fits
        self._max_body_bytes = max_body_bytes
        self._id = SubscriptionId(hashlib.blake2b(key.key, digest_size=12).hexdigest())
        self._subscriptions: dict[str, Subscription] = {}
        self.key = key
        self.url = url

    def subscription(self, project_id: str) -> Subscription:
        """Return the webhook as the sender knows it."""
        found = self._subscriptions.get(project_id)
        if found is None:
            found = self._subscriptions[project_id] = Subscription(
                id=self._id,
                project_id=ProjectId(project_id),
                url=self.url,
                types=self._types,
                keys=(self.key,),
            )
        return found

    def delivery(self, data: Json) -> Delivery | None:
        """Return what is sent of an event of the stream; None: nothing."""
        event = _event(data)
        asked = patterns.asked_name(self._types, event.type, Profile.PLANNER_2022)
        if asked is None:
            return None
        if self._fits is not None and not self._fits(event.body):
            return None
        body, content_type = render(
            event,
            profile=Profile.PLANNER_2022,
            asked=asked,
            expand=(),
            max_bytes=self._max_body_bytes,
        )
        return Delivery(
            position=event.position,
            epoch=0,
            subscription_id=self._id,
            event_id=event.id,
            type=asked,
            body=body,
            content_type=content_type,
            key=event.key,
            project_id=event.project_id,
            timestamp_ms=event.timestamp_ms,
        )


class Forwarder:
    """Sends one after the other, in the order of the stream; retries come beside."""

    def __init__(
        self, console: Console, sender: SigningSender, wanted: Wanted, group: asyncio.TaskGroup
    ) -> None:
        self._console = console
        self._sender = sender
        self._wanted = wanted
        self._group = group
        self._clock = SystemClock()
        self._chance = random.Random(os.urandom(16)).random  # noqa: S311 - jitter
        self._waiting = 0

    async def take(self, data: Json) -> None:
        """Send an event of the stream, or only show it where there is nobody to send it to."""
        delivery = self._wanted.delivery(data)
        if delivery is None:
            return
        if self._wanted.url:
            await self._deliver(delivery)
        else:
            self._say(delivery, None)

    async def _deliver(self, delivery: Delivery) -> None:
        subscription = self._wanted.subscription(delivery.project_id)
        attempt = await self._sender.deliver(delivery, subscription)
        self._say(delivery, attempt)
        number, now = delivery.number, self._clock.now
        match decide(
            attempt, number=number, schedule=DEFAULT_SCHEDULE, now=now, chance=self._chance
        ):
            case RetryAt(due_at) if self._waiting < MAX_WAITING:
                again = replace(
                    delivery,
                    number=number + 1,
                    trigger=Trigger.RETRY,
                    retry_reason=attempt.outcome.value,
                )
                seconds = (due_at - now()).total_seconds()
                self._console.hint(f"{delivery.event_id} again in {seconds:.0f} s")
                self._group.create_task(self._later(again, seconds))
            case RetryAt():
                self._console.hint(
                    f"{delivery.event_id} isn't tried again: {MAX_WAITING} are waiting already"
                )
            case Disable():
                self._console.hint("410 would disable a webhook; listen goes on")
            case Dead():
                self._console.hint(f"{delivery.event_id} would be a dead letter now")
            case _:
                pass

    async def _later(self, delivery: Delivery, seconds: float) -> None:
        self._waiting += 1
        try:
            await self._clock.sleep(seconds)
        finally:
            self._waiting -= 1
        await self._deliver(delivery)

    def _say(self, delivery: Delivery, attempt: Attempt | None) -> None:
        """Say one line of a request."""
        status = None if attempt is None else attempt.status
        outcome = None if attempt is None else attempt.outcome.value
        ms = None if attempt is None else round(attempt.seconds * 1000, 1)
        at = rfc3339(self._clock.now())
        if self._console.as_json:
            self._console.record({
                "at": at, "id": delivery.event_id, "type": delivery.type, "number": delivery.number,
                "outcome": outcome, "status": status, "ms": ms, "body": orjson.Fragment(delivery.body),
            })  # fmt: skip
            return
        said = f"{status or outcome or '-'!s:<8} {'' if ms is None else f'{ms:.0f} ms':>8}"
        self._console.line(
            f"{at}  {said}  {delivery.type:<28} {delivery.event_id}  #{delivery.number}"
        )


def _event(data: Json) -> Event:
    body = data["event"]
    return Event(
        id=data["id"],
        type=data["type"],
        project_id=data["project_id"],
        created_at=body["created_at"],
        body=body,
        position=Position(Partition(data["topic"], data["partition"]), data["offset"]),
        key=data["key"],
        timestamp_ms=int(datetime.fromisoformat(data["produced_at"]).timestamp() * 1000),
    )


def _secret(api: Api) -> bytes:
    """Return what signs: the same for an API key, whenever and wherever it listens."""
    return hmac.new(api.identity.encode(), LABEL, hashlib.sha256).digest()


async def _filter(
    console: Console,
    api: Api,
    file: Path | None,
    types: Sequence[str] | None,
    project: str | None,
) -> Evaluator | None:
    """Return the filter of *file*, once the API finds nothing wrong with it."""
    if file is None:
        return None
    written = read(console, file, types or EVERYTHING, project_id=project)
    found = await api.call("POST", "/v1/filters/check", written.body)
    for said in SAID:
        for fault in found[said]:
            console.error(written.line(fault))
    if not found["valid"]:
        raise AnswerIsNoError
    tree = stored(orjson.dumps(found["normal"]).decode())
    return None if tree is None else evaluator(tree)
