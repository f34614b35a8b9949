"""Receivers with manners, good and bad, at the other end of an HTTP client without a network."""

import asyncio
import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from services.kernel.attempt import Outcome
from services.kernel.ports.network import Answer
from services.kernel.subscription import ClientCertificate
from tests.support.processes import later
from tests.support.server import no_time

_TOKEN = re.compile(rb'"token":"([^"]+)"')


class Manner(StrEnum):
    """How a receiver behaves, until it is told to behave."""

    OK = "ok"  #: answers at once
    SLOW = "slow"  #: takes up to two seconds
    FAILING = "failing"  #: 500, each time
    FLAPPING = "flapping"  #: well for some seconds, 500 for some seconds
    HANGING = "hanging"  #: takes the request and says nothing
    GONE = "gone"  #: 410
    RESETTING = "resetting"  #: takes the request, then breaks the connection, now and then
    THROTTLING = "throttling"  #: 429 with `Retry-After`, now and then
    UNREACHABLE = "unreachable"  #: refuses connections
    HOPELESS = "hopeless"  #: 500, and never gets well


class Reply(NamedTuple):
    """What a receiver does with a request."""

    seconds: float
    outcome: Outcome
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Seen:
    """One request that arrived."""

    at: float
    url: str
    token: str
    """What tells events apart, from the body."""
    subscription_id: str
    webhook_id: str
    """Of the event; in a batch of the item."""
    request_id: str
    """Of the request."""
    attempt: int
    body: bytes
    reply: Reply | None
    """None: none is given."""


@dataclass
class Receiver:
    """One of them."""

    manner: Manner
    chance: random.Random
    behaves: bool = False
    """Whether it answers well from now on, if it can at all."""

    def reply(self, now: float) -> Reply | None:  # noqa: PLR0911 - a table
        """Decide on an answer; None: there will be none."""
        well = Reply(self.chance.uniform(0.001, 0.03), Outcome.OK, 200)
        if self.behaves and self.manner is not Manner.HOPELESS:
            return well
        match self.manner:
            case Manner.SLOW:
                return well._replace(seconds=self.chance.uniform(0.1, 2.0))
            case Manner.FAILING | Manner.HOPELESS:
                return _failed(500)
            case Manner.FLAPPING:
                return well if now % 7 < 4 else _failed(500)
            case Manner.HANGING:
                return None
            case Manner.GONE:
                return _failed(410)
            case Manner.RESETTING if self.chance.random() < 0.3:
                return Reply(0.01, Outcome.RESET)
            case Manner.THROTTLING if self.chance.random() < 0.3:
                return _failed(429)._replace(headers=(("Retry-After", "1"),))
            case _:
                return well


def _failed(status: int) -> Reply:
    return Reply(0.005, Outcome.HTTP, status)


@dataclass
class Internet:
    """All receivers, by URL, and what they have seen."""

    receivers: dict[str, Receiver] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    latency: Callable[[], float] = no_time
    watch: Callable[[Seen], None] = lambda _: None


class FakeHttp:
    """The `HttpClient` of a worker."""

    def __init__(self, internet: Internet) -> None:
        self._internet = internet

    async def request(
        self,
        method: str,  # noqa: ARG002 - always POST
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        timeout_seconds: float,
        body_seconds: float = 0.0,  # noqa: ARG002 - workers send at once
        certificate: ClientCertificate | None = None,  # noqa: ARG002 - nobody asks for one here
    ) -> Answer:
        """Make one request."""
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        receiver = self._internet.receivers[url]
        if receiver.manner is Manner.UNREACHABLE and not receiver.behaves:
            await asyncio.sleep(self._internet.latency())
            return _answer(Reply(0, Outcome.CONNECT))
        later(self._internet.latency(), self._arrives, url, dict(headers), body, answer)
        try:
            async with asyncio.timeout(timeout_seconds):
                return _answer(await answer)
        except TimeoutError:
            return _answer(Reply(timeout_seconds, Outcome.TIMEOUT))

    def _arrives(
        self, url: str, headers: dict[str, str], body: bytes, answer: asyncio.Future[Reply]
    ) -> None:
        now = asyncio.get_running_loop().time()
        reply = self._internet.receivers[url].reply(now)
        tokens = [found.decode() for found in _TOKEN.findall(body)]
        assert tokens, body
        ids = [headers["webhook-id"]]
        if "planner-batch-size" in headers:
            assert int(headers["planner-batch-size"]) == len(tokens)
            ids = [item["id"] for item in json.loads(body)]
        for token, id_ in zip(tokens, ids, strict=True):
            seen = Seen(
                at=now,
                url=url,
                token=token,
                subscription_id=headers["planner-webhook-id"],
                webhook_id=id_,
                request_id=headers["webhook-id"],
                attempt=int(headers["planner-attempt"]),
                body=body,
                reply=reply,
            )
            self._internet.seen.append(seen)
            self._internet.watch(seen)
        if reply is not None:
            later(reply.seconds + self._internet.latency(), _resolve, answer, reply)


def _resolve(answer: asyncio.Future[Reply], reply: Reply) -> None:
    if not answer.done():
        answer.set_result(reply)


def _answer(reply: Reply) -> Answer:
    error = None if reply.status else reply.outcome.value
    return Answer(reply.outcome, reply.status, reply.headers, b"", None, error)
