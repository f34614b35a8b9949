"""`/v1/attempts`, `/v1/deliveries` and `/v1/stats`: what was sent, and what came back."""

import csv
import io
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from services.api.call import QUERY, Answer, Call, Streamed
from services.api.encode import encoded
from services.control.history import FILTERS, STATS_FILTERS, History, filter_of_query
from services.control.requests import Request, Requests
from services.kernel.attempt import Attempt
from services.kernel.clock import Clock, rfc3339, rfc3339_ms
from services.kernel.errors import Fault, FaultsError
from services.kernel.event import Json
from services.kernel.histogram import quantiles
from services.kernel.history import DeliveryState, state_of
from services.kernel.recorded import Recorded
from services.kernel.rollup import Sums

SIGNED, SIGNATURES = "signed", ("then", "now")
CSV, NDJSON = "text/csv", "application/x-ndjson"
MOMENT = timedelta(milliseconds=1)
"""A cursor counts whole ones."""
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
"""Ascending."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would run where a field begins with it."""


class HistoryRoutes:
    """Lists, single ones, and their numbers."""

    def __init__(self, history: History, requests: Requests, *, clock: Clock) -> None:
        self._history = history
        self._requests = requests
        self._clock = clock

    async def attempts(self, call: Call) -> Answer | Streamed:
        """List attempts, newest first; CSV and NDJSON have all of them."""
        return await self._list(call, attempt_shown, deliveries=False)

    async def deliveries(self, call: Call) -> Answer | Streamed:
        """List deliveries by their newest attempt, newest first; CSV and NDJSON have all of them."""
        return await self._list(call, delivery_shown, deliveries=True)

    async def _list(
        self, call: Call, show: Callable[[Recorded], Json], *, deliveries: bool
    ) -> Answer | Streamed:
        call.caller.require("read")
        asked, faults = filter_of_query(call.query)
        page = call.page(*FILTERS, noted=faults)
        asked = asked._replace(deliveries=deliveries)
        wanted = call.headers.get("Accept", "")
        if CSV in wanted or NDJSON in wanted:
            rows = self._history.export(call.caller, asked)
            if CSV in wanted:
                return Streamed(_csv(rows, show), f"{CSV}; charset=utf-8")
            return Streamed(_ndjson(rows, show), NDJSON)
        if deliveries:
            asked = asked._replace(as_of=page.as_of)
        found = await self._history.page(call.caller, asked, page)
        if deliveries and page.as_of is None:
            page = page._replace(as_of=self._as_of(found))
        return call.listed(found, page, show, *FILTERS)

    def _as_of(self, found: Sequence[Recorded]) -> datetime:
        """Return the moment that a first page tells of: now, or later where a worker's clock is ahead."""
        newest = found[0].started_at if found else 0.0
        return datetime.fromtimestamp(max(newest, self._clock.time()), UTC) + MOMENT

    async def attempt(self, call: Call) -> Answer:
        """Return one attempt."""
        call.caller.require("read")
        call.only()
        return Answer(200, attempt_shown(await self._history.attempt(call.caller, call.path["id"])))

    async def delivery(self, call: Call) -> Answer:
        """Return a delivery: its event, all its attempts, and the newest request as it was sent."""
        call.caller.require("read")
        signed_at = self._signed_at(call)
        found = await self._history.delivery(call.caller, call.path["id"])
        event, request = await self._requests.of(call.caller, found, signed_at=signed_at)
        return Answer(
            200,
            {
                **delivery_shown(found[-1]),
                "event": None if event is None else event.body,
                "event_ids": next((ids for each in found if (ids := each.event_ids)), None),
                "attempts": [attempt_shown(attempt) for attempt in found],
                "request": None if request is None else _request(request),
            },
        )

    def _signed_at(self, call: Call) -> float | None:
        """Return for which moment the request is signed; None: that of its attempt."""
        asked = call.only(SIGNED).get(SIGNED, SIGNATURES[0])
        if asked not in SIGNATURES:
            message = f"{asked!r} is not one of {', '.join(SIGNATURES)}"
            raise FaultsError(QUERY, [Fault("choice", message, parameter=SIGNED)])
        if asked == SIGNATURES[0]:
            return None
        call.caller.require("manage")  # with it anybody can send the event as we do
        return self._clock.time()

    async def stats(self, call: Call) -> Answer:
        """Count deliveries by minute, hour or day, with the times of receivers and from end to end."""
        call.caller.require("read")
        noted = call.unknown(*STATS_FILTERS)
        step, since, until, points = await self._history.points(call.caller, call.query, noted)
        total = Sums()
        for sums in points.values():
            total.add(sums)
        return Answer(
            200,
            {
                "step": step.value,
                "from": rfc3339(since),
                "to": rfc3339(until),
                "total": _counted(total),
                "data": [
                    {"at": rfc3339(at), **_counted(sums)} for at, sums in sorted(points.items())
                ],
            },
        )


def phases(attempt: Recorded | Attempt) -> Json:
    """Return how long each step of an attempt took, in milliseconds; null where it had none."""
    first_byte = attempt.first_byte
    if first_byte is not None:  # kept less exactly than the whole, it may seem longer
        first_byte = min(first_byte, attempt.seconds)
    return {
        "queue_ms": _ms(attempt.waited),
        "connect_ms": _ms(attempt.connect),
        "tls_ms": _ms(attempt.tls),
        "first_byte_ms": _ms(first_byte),
        "total_ms": _ms(attempt.seconds),
    }


def attempt_shown(attempt: Recorded) -> Json:
    """Return an attempt as the API shows it."""
    return {
        "id": attempt.id,
        "delivery_id": attempt.delivery_id,
        **_position(attempt),
        "number": attempt.number,
        "trigger": attempt.trigger,
        "replay": attempt.replay,
        "started_at": _moment(attempt.started_at),
        "phases": phases(attempt),
        "address": attempt.address,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "error": attempt.error,
        "response": {"headers": dict(attempt.headers), "excerpt": attempt.excerpt},
        "verdict": attempt.verdict,
        "next_attempt_at": _moment(attempt.next_at),
        "trace_id": attempt.trace_id,
    }


def delivery_shown(newest: Recorded) -> Json:
    """Return a delivery as its newest attempt tells of it."""
    state = state_of(newest)
    return {
        "id": newest.delivery_id,
        "state": state.value,
        **_position(newest),
        "number": newest.number,
        "attempted_at": _moment(newest.started_at),
        "attempt_id": newest.id,
        "outcome": newest.outcome,
        "status": newest.status,
        "reason": newest.reason,
        "next_attempt_at": _moment(newest.next_at) if state is DeliveryState.PARKED else None,
    }


def _request(request: Request) -> Json:
    return {
        "method": "POST",
        "url": request.url,
        "headers": request.headers,
        "body": request.body.decode("utf-8", "replace"),
    }


def _position(attempt: Recorded) -> Json:
    position = attempt.position
    return {
        "event_id": attempt.event_id,
        "type": attempt.type,
        "topic": position.partition.topic if position else None,
        "partition": position.partition.number if position else None,
        "offset": position.offset if position else None,
        "subscription_id": attempt.subscription_id,
        "project_id": attempt.project_id,
        "key": attempt.key,
        "plan_id": attempt.plan_id,
        "route_id": attempt.route_id,
        "stop_id": attempt.stop_id,
        "vehicle_id": attempt.vehicle_id,
        "external_id": attempt.external_id,
    }


def _moment(unix: float | None) -> str | None:
    return None if unix is None else rfc3339_ms(int(unix * 1000))


def _ms(seconds: float | None) -> float | None:
    """Return milliseconds, to the microsecond."""
    return None if seconds is None else round(seconds * 1000, 3)


def _counted(sums: Sums) -> Json:
    return {
        "delivered": sums.delivered,
        "failed": sums.failed,
        "retried": sums.retried,
        "dead": sums.dead,
        "bytes": sums.bytes,
        "receiver_ms": _quantiles(sums.receiver),
        "end_to_end_ms": _quantiles(sums.end_to_end),
    }


def _quantiles(counts: dict[int, int]) -> Json:
    found = quantiles(counts, [*QUANTILES.values()])
    return {
        name: None if ms is None else round(ms, 2)
        for name, ms in zip(QUANTILES, found, strict=True)
    }


async def _ndjson(
    rows: AsyncGenerator[Sequence[Recorded], None], show: Callable[[Recorded], Json]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(rows):
        async for some in rows:
            yield b"".join(encoded(show(row)) + b"\n" for row in some)


async def _csv(
    rows: AsyncGenerator[Sequence[Recorded], None], show: Callable[[Recorded], Json]
) -> AsyncGenerator[bytes, None]:
    """Yield a line each, after one of names; what is nested has names with a dot."""
    head = False
    async with aclosing(rows):
        async for some in rows:
            text = io.StringIO()
            writer = csv.writer(text)
            for row in some:
                flat = dict(_flat(show(row)))
                if not head:
                    head = True
                    writer.writerow(flat)
                writer.writerow(map(_field, flat.values()))
            yield text.getvalue().encode()


def _flat(shown: Json, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in shown.items():
        if isinstance(value, dict) and name != "headers":
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, encoded(value).decode() if isinstance(value, dict) else value


def _field(value: object) -> object:
    if isinstance(value, str) and value.startswith(FORMULA):
        return "'" + value
    return value
