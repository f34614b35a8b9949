"""A record of `webhooks.attempts`: many attempts, JSON behind zstd, with a version.

    {"v": 1, "run": "6b1f0a44c9", "number": 17, "first": 20481, "attempts": [[…], …]}

`run` is one process of a worker, and `number` grows by one with each of its records: together they reveal
a record that was written twice because nobody knew whether Kafka had it. `first` is the number of its
first attempt. An attempt is an array in the order of `Recorded`; newer versions add fields at its end. It
is JSON because people read topics, at zstd's level 1, which takes 400 bytes to 100 in 0.5 µs per attempt.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import orjson
import zstandard

from services.kernel.attempt import (
    Acknowledged,
    Attempt,
    Dead,
    Disable,
    RetryAt,
    Superseded,
    Verdict,
)
from services.kernel.delivery import Delivery
from services.kernel.errors import WebhooksError
from services.kernel.ports.history import Written
from services.kernel.recorded import LEAST, WIDTH, Recorded
from services.record.sound import unsound

VERSION = 1
LEVEL = 1
MAX_BYTES = 64 << 20
"""Of what a record may unpack to: ours have under 1 MB, and anybody may write to a topic."""
RUN_BYTES = 5
_FRACTIONS = 1 << 24
_COUNTED = 1 << 40

Row: TypeAlias = tuple[Any, ...]
"""An attempt, ready for JSON."""


class UnreadableError(WebhooksError):
    """A record of the attempts topic wasn't written by us."""


def row(delivery: Delivery, attempt: Attempt, verdict: Verdict | None) -> Row:
    """Return what is kept of an attempt, in the order of `Recorded`.

    On the way of every delivery: no loop, no helper.
    """
    partition, offset = delivery.position
    what: str | None = None
    reason: str | None = None
    next_at: float | None = None
    match verdict:
        case Acknowledged():
            what = "acknowledged"
        case RetryAt(due_at):
            what, next_at = "retry", due_at.timestamp()
        case Superseded():
            what = "superseded"
        case Dead(why):
            what, reason = "dead", why
        case Disable(why):
            what, reason = "disable", why
        case None:
            pass
    type_, plan, route, stop, vehicle, external, also = delivery.about
    excerpt = attempt.excerpt
    return (
        delivery.event_id,
        type_ or delivery.type,
        plan,
        route,
        stop,
        vehicle,
        external,
        delivery.subscription_id,
        delivery.project_id,
        partition.topic,
        partition.number,
        offset,
        delivery.key,
        delivery.number,
        delivery.trigger,
        delivery.replay or delivery.resend,
        delivery.timestamp_ms,
        len(delivery.body),
        attempt.started_at,
        attempt.waited,
        attempt.connect,
        attempt.tls,
        attempt.first_byte,
        attempt.seconds,
        attempt.address,
        attempt.outcome,
        attempt.status,
        attempt.headers,
        excerpt.decode("utf-8", "replace") if excerpt else "",
        attempt.error,
        what,
        reason,
        next_at,
        attempt.traceparent,
        also or None,
    )


def encode(rows: Sequence[Row], *, run: str, number: int, first: int) -> bytes:
    """Return the record's value."""
    record = {"v": VERSION, "run": run, "number": number, "first": first, "attempts": rows}
    return zstandard.compress(orjson.dumps(record), LEVEL)


def decode(value: bytes) -> Written:
    """Return what a record holds. Raises UnreadableError."""
    try:
        text = zstandard.ZstdDecompressor().decompress(value, max_output_size=MAX_BYTES)
        record = orjson.loads(text)
        version, run, first = record["v"], record["run"], record["first"]
        if version != VERSION:
            raise UnreadableError(f"version {version} of the attempts log, this is {VERSION}")
        rows = [each if len(each) > LEAST else [*each, None] for each in record["attempts"]]
        fault = unsound(rows)
        if fault is not None:
            raise UnreadableError(fault)
        found = list(_attempts(rows, int(run, 16), first))
        return Written(run, int(record["number"]), found)
    except (zstandard.ZstdError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def _attempts(rows: Sequence[Sequence[Any]], run: int, first: int) -> Iterator[Recorded]:
    started = Recorded._fields.index("started_at")
    for n, fields in enumerate(rows, start=first):
        # 7 bytes of the start, as `ids.new_id` has them, and 5 that no other attempt shares.
        id_ = f"{int(fields[started] * _FRACTIONS):014x}{(run ^ n) % _COUNTED:010x}"
        yield Recorded._make((*fields[:WIDTH], id_))
