"""Requests made at once: a test event to a subscription, or a look whether a URL answers."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from services import catalogue
from services.control import bench, certificates
from services.control.access import Caller
from services.control.bench import POLITE, Finding, Made, Misbehaviour
from services.control.checks import Checker, kind
from services.control.fields import Fields
from services.control.subscriptions import Subscriptions
from services.control.written import written
from services.kernel.attempt import Attempt
from services.kernel.clock import Clock, rfc3339
from services.kernel.delivery import Delivery, Trigger
from services.kernel.errors import Fault, FaultsError
from services.kernel.event import Event, Json, Partition, Position
from services.kernel.ids import Entropy, new_id
from services.kernel.ports.history import AttemptLog
from services.kernel.ports.network import Answer, BenchSender, HttpClient
from services.kernel.registration import Registration
from services.match import types

PING = "webhook.ping"
PROBE_SECONDS = 5.0
INVALID = "The test call is not valid"
NOWHERE = Position(Partition("", 0), 0)


class Requested(NamedTuple):
    """One request, and what came back."""

    delivery: Delivery
    attempt: Attempt


class Tested(NamedTuple):
    """What was sent to whom."""

    registration: Registration
    requests: Sequence[Requested]
    misbehaviour: Misbehaviour | None = None
    finding: Finding | None = None
    """Of what was done wrong on purpose."""

    @property
    def last(self) -> Requested:
        """The request that tells."""
        return self.requests[-1]


class TestCalls:
    """Test calls and probes, through the same guarded sender as everything else."""

    __test__ = False  # not a test class, whatever its name

    def __init__(
        self,
        *,
        subscriptions: Subscriptions,
        fields: Fields,
        sender: BenchSender,
        client: HttpClient,
        clock: Clock,
        entropy: Entropy,
        max_body_bytes: int,
        user_agent: str,
        attempts: AttemptLog,
    ) -> None:
        self._attempts = attempts
        self._subscriptions = subscriptions
        self._fields = fields
        self._sender = sender
        self._client = client
        self._clock = clock
        self._entropy = entropy
        self._max_body_bytes = max_body_bytes
        self._user_agent = user_agent

    async def send(
        self,
        caller: Caller,
        id_: str,
        *,
        type_: object = None,
        data: object = None,
        misbehave: object = None,
        noted: Sequence[Fault] = (),
    ) -> Tested:
        """Send one example event; works while paused, is marked, counts in no statistics.

        *misbehave* names what is done wrong on purpose, with one request or two.
        *noted* is what a caller found already: told with the rest, and nothing is sent then.
        """
        registration = await self._subscriptions.get(caller, id_)
        check = Checker(INVALID, {"misbehave": misbehave}, known=("misbehave",))
        chosen = check.choice("misbehave", list(Misbehaviour))
        faults = [*noted, *_faults(type_, data), *check.faults]
        if faults:
            raise FaultsError(INVALID, faults)
        misbehaviour = None if chosen is None else Misbehaviour(chosen)
        asked = str(type_ or PING)
        plan = bench.requests_of(misbehaviour, registration.timeout_seconds)
        events: dict[int, Event] = {}
        requests = []
        for made in plan:
            if made.event not in events:
                type_name = types.selected(asked)[0]
                events[made.event] = self._event(registration, type_name, data, made)
            event = events[made.event]
            requests.append(await self.request(registration, event, asked=asked, made=made))
        tested = Tested(registration, requests)
        if misbehaviour is None:
            return tested
        attempts = [each.attempt for each in requests]
        finding = bench.judge(misbehaviour, plan, attempts)
        return tested._replace(misbehaviour=misbehaviour, finding=finding)

    async def request(
        self, registration: Registration, event: Event, *, asked: str, made: Made = POLITE
    ) -> Requested:
        """Send one event as a test; it is shown among the attempts, and nothing else comes of it."""
        delivery = written(
            event,
            registration,
            asked=asked,
            trigger=Trigger.TEST,
            max_body_bytes=self._max_body_bytes + made.padding,
        )
        subscription = await self._subscriptions.as_sent_to(registration)
        attempt = await self._sender.deliver(delivery, subscription, manner=made.manner)
        self._attempts.add(delivery, attempt, None)
        return Requested(delivery, attempt)

    async def probe(self, body: Json) -> Mapping[str, Any]:
        """Make one `HEAD` request to a URL; nothing is stored. Any status counts as reachable.

        A `client_certificate` is shown to a server that asks for one, as the webhook's would be.
        """
        check = Checker("The probe is not valid", body, known=("url", certificates.FIELD))
        check.faults += await self._fields.url_faults(check.body.get("url"), pointer="/url")
        certificate = None
        if certificates.FIELD in check.body:
            certificate = await certificates.checked(check, clock=self._clock)
        check.faults += certificates.unused(str(check.body.get("url")), certificate, check)
        check.finish()
        url = str(check.body["url"])
        began = self._clock.monotonic()
        answer = await self._client.request(
            "HEAD",
            url,
            headers={"User-Agent": self._user_agent},
            body=b"",
            timeout_seconds=PROBE_SECONDS,
            certificate=certificate,
        )
        ms = round((self._clock.monotonic() - began) * 1000)
        return {**_probed(answer, url), "ms": ms}

    def _event(self, registration: Registration, type_: str, data: object, made: Made) -> Event:
        happened = self._clock.now() - timedelta(seconds=made.happened_ago)
        example = catalogue.examples()[type_]
        if type_ == PING:
            example = {
                **example,
                "user": None,
                "data": {"subscription_id": registration.id, "url": registration.url},
            }
        body = {
            **example,
            "id": new_id(now=self._clock.time(), entropy=self._entropy),
            "created_at": rfc3339(happened),
            "project_id": registration.project_id,
            "test": True,
        }
        if data is not None:
            body["data"] = data
        if made.padding:
            body["data"] = {**body["data"], "padding": "x" * made.padding}
        return as_test(body, registration, at=self._clock.time())


def as_test(body: Json, registration: Registration, *, at: float) -> Event:
    """Return *body* as an event that is sent to one subscription alone, *at* Unix seconds."""
    key = catalogue.record_key(body)
    return Event(
        id=body["id"],
        type=body["type"],
        project_id=registration.project_id,
        created_at=body["created_at"],
        body=body,
        position=NOWHERE,
        key=key.removeprefix(registration.project_id + ":") if key else None,
        timestamp_ms=int(at * 1000),
    )


def _faults(type_: object, data: object) -> list[Fault]:
    found = []
    if isinstance(type_, str) and type_.endswith("*"):
        found.append(Fault("unknown_type", "name one type: a wildcard names many", "/type"))
    elif type_ is not None:
        found += [fault._replace(pointer="/type") for fault in types.faults([type_], pointer="")]
    if data is not None and not isinstance(data, dict):
        found.append(Fault("type", f"expected an object, got {kind(data)}", "/data"))
    return found


def _probed(answer: Answer, url: str) -> dict[str, Any]:
    reached = answer.status is not None
    failed = answer.outcome.value
    return {
        "dns": "failed" if failed == "dns" else "ok",
        "address": answer.address,
        "tls": None
        if url.startswith("http:")
        else "failed"
        if failed == "tls"
        else "ok"
        if reached
        else None,
        "status": answer.status,
        "errors": [] if reached else [answer.error or failed],
    }
