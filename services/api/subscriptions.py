"""`/v1/subscriptions`: make, list, change, pause, resume, test calls, probes."""

from services.api.call import Answer, Call
from services.api.history import phases
from services.api.problems import shown_fault
from services.control.backlog import Backlogs, Short
from services.control.bench import RULES
from services.control.checks import Checker
from services.control.fields import shown
from services.control.keys import Keys
from services.control.match_counts import MatchCounts
from services.control.subscriptions import Subscriptions
from services.control.test_calls import Requested, TestCalls, Tested
from services.control.test_days import TestDays
from services.kernel.clock import rfc3339, rfc3339_ms
from services.kernel.event import Json
from services.kernel.ids import delivery_id
from services.kernel.registration import Registration
from services.kernel.subscription import Status

FILTERS = ("project_id", "status", "url", "type", "backlog")


class SubscriptionRoutes:
    """What owners do with their subscriptions."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        test_calls: TestCalls,
        keys: Keys,
        counts: MatchCounts,
        backlogs: Backlogs,
        *,
        test_days: TestDays,
    ) -> None:
        self._backlogs = backlogs
        self._subscriptions = subscriptions
        self._counts = counts
        self._keys = keys
        self._test_calls = test_calls
        self._test_days = test_days

    async def create(self, call: Call) -> Answer:
        """Create a subscription; its secret is shown only in this answer."""
        call.caller.require("manage")
        created = await self._subscriptions.create(call.caller, call.body)
        answer = await self._one(created.registration, status=201)
        name = "public_key" if created.secret.startswith("whpk_") else "secret"
        body = {**answer.body, name: created.secret}
        location = {"Location": f"/v1/subscriptions/{created.registration.id}"}
        return answer._replace(body=body, headers={**answer.headers, **location})

    async def list(self, call: Call) -> Answer:
        """List subscriptions, newest first; `backlog=true` adds a summary of what waits for each."""
        call.caller.require("read")
        page = call.page(*FILTERS, choices={"status": list(Status), "backlog": ("true", "false")})
        rows = await self._subscriptions.page(call.caller, filters=call.query, page=page)
        if call.query.get("backlog") != "true":
            return call.listed(rows, page, _shown, *FILTERS)
        found = await self._backlogs.in_short(rows)
        return call.listed(
            rows, page, lambda row: {**_shown(row), "backlog": _short(found[row.id])}, *FILTERS
        )

    async def get(self, call: Call) -> Answer:
        """Return one subscription."""
        call.caller.require("read")
        return await self._one(await self._subscriptions.get(call.caller, call.path["id"]))

    async def update(self, call: Call) -> Answer:
        """Change a subscription, as JSON merge patch."""
        call.caller.require("manage")
        return await self._one(
            await self._subscriptions.update(
                call.caller, call.path["id"], call.body, if_version=call.if_version
            )
        )

    async def delete(self, call: Call) -> Answer:
        """Delete a subscription, and everything that waits for it."""
        call.caller.require("manage")
        await self._subscriptions.delete(call.caller, call.path["id"], if_version=call.if_version)
        return Answer(204)

    async def pause(self, call: Call) -> Answer:
        """Stop sending; nothing is lost meanwhile."""
        call.caller.require("manage")
        return await self._one(await self._subscriptions.pause(call.caller, call.path["id"]))

    async def resume(self, call: Call) -> Answer:
        """Resume sending; also enables a disabled subscription."""
        call.caller.require("manage")
        return await self._one(
            await self._subscriptions.resume(call.caller, call.path["id"], call.body)
        )

    async def release_key(self, call: Call) -> Answer:
        """Retry, or give up, the event that holds a key of an ordered subscription."""
        call.caller.require("manage")
        id_, key = call.path["id"], call.path["key"]
        return Answer(200, await self._keys.release(call.caller, id_, key, call.body))

    async def test(self, call: Call) -> Answer:
        """Send one example event now, misbehaving if asked to; it counts nowhere."""
        call.caller.require("manage")
        known = ("type", "data", "misbehave")
        check = Checker("The test call is not valid", call.body, known=known)
        tested = await self._test_calls.send(
            call.caller,
            call.path["id"],
            type_=check.body.get("type"),
            data=check.body.get("data"),
            misbehave=check.body.get("misbehave"),
            noted=check.faults,
        )
        return Answer(200, {**_tested(tested.last), **_bench(tested)})

    async def test_day(self, call: Call) -> Answer:
        """Send the next events of a simulated delivery day, as tests; they count nowhere."""
        call.caller.require("manage")
        step = await self._test_days.go_on(call.caller, call.path["id"], call.body)
        return Answer(
            200,
            {
                "seed": step.seed,
                "from": step.begin,
                "next": step.next,
                "total": step.total,
                "attempts": [_tested(each) for each in step.requests],
            },
        )

    async def probe(self, call: Call) -> Answer:
        """Check whether a URL answers; nothing is stored."""
        call.caller.require("manage")
        return Answer(200, dict(await self._test_calls.probe(call.body)))

    async def _one(self, registration: Registration, *, status: int = 200) -> Answer:
        warnings = await self._subscriptions.warnings(registration)
        body = {
            **_shown(registration),
            "warnings": [shown_fault(each) for each in warnings],
            "matches": await self._counts.of(registration),
        }
        return Answer(status, body, {"ETag": f'"{registration.version}"'})


def _shown(registration: Registration) -> Json:
    return {
        **shown(registration),
        "created_at": rfc3339(registration.created_at),
        "updated_at": rfc3339(registration.updated_at),
    }


def _short(short: Short) -> Json:
    oldest_at = None if short.oldest_at is None else rfc3339(short.oldest_at)
    return {"lag": short.lag, "retries": short.retries, "oldest_at": oldest_at}


def _bench(tested: Tested) -> Json:
    """Return what came of misbehaving; nothing where nobody asked for that."""
    if tested.misbehaviour is None or tested.finding is None:
        return {}
    rule = RULES[tested.misbehaviour]
    told = {"misbehave": tested.misbehaviour.value, "does": rule.does, "expects": rule.expects}
    attempts = [_tested(each) for each in tested.requests]
    return {"bench": {**told, **tested.finding._asdict(), "attempts": attempts}}


def _tested(requested: Requested) -> Json:
    """Return a test call as `/v1/attempts` shows it; its own id it gets when it is stored."""
    delivery, attempt = requested
    return {
        "delivery_id": delivery_id(delivery.event_id, delivery.subscription_id),
        "event_id": delivery.event_id,
        "type": delivery.about.type or delivery.type,
        "subscription_id": delivery.subscription_id,
        "project_id": delivery.project_id,
        "key": delivery.key,
        "number": delivery.number,
        "trigger": delivery.trigger.value,
        "started_at": rfc3339_ms(int(attempt.started_at * 1000)),
        "phases": phases(attempt),
        "address": attempt.address,
        "outcome": attempt.outcome.value,
        "status": attempt.status,
        "error": attempt.error,
        "response": {
            "headers": dict(attempt.headers),
            "excerpt": attempt.excerpt.decode("utf-8", "replace"),
        },
        "verdict": None,
        "next_attempt_at": None,
        "trace_id": attempt.traceparent.split("-")[1] if attempt.traceparent else None,
    }
