"""The test bench: requests that misbehave on purpose, what a correct receiver does, and whether one did.

Each is sent like any test call, marked and counted nowhere. What shows in answers is judged; what a
receiver does with it inside only its owner sees, and is told to look at. Pure.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from services.kernel.attempt import Attempt, Outcome
from services.kernel.ports.network import WELL, Manner

HOUR = 3_600.0
LATE_SECONDS = 6 * HOUR
EARLIER_SECONDS = 600.0
OLD_SECONDS = 600.0
"""Twice the tolerance that receivers are asked to have."""
SLOW_SECONDS = 4.0
LARGE_BYTES = 5_000_000
REFUSED_FROM, REFUSED_BELOW = 400, 500
TOO_LARGE = 413
UNREACHED = frozenset({Outcome.CONNECT, Outcome.DNS, Outcome.TLS, Outcome.BLOCKED})
"""Ends of a request that say nothing about how a receiver takes it."""


class Misbehaviour(StrEnum):
    """What a test call does wrong."""

    TWICE = "twice"
    OUT_OF_ORDER = "out_of_order"
    LATE = "late"
    SLOW = "slow"
    OLD_SIGNATURE = "old_signature"
    LARGE = "large"


class Made(NamedTuple):
    """One request of a test call."""

    event: int = 0
    """Which event: the same one again where the number is the same."""
    happened_ago: float = 0.0
    """Seconds that `created_at` lies back."""
    padding: int = 0
    """Bytes that are added to `data`."""
    manner: Manner = WELL


class Rule(NamedTuple):
    """One misbehaviour: in words, and as requests."""

    name: str
    does: str
    expects: str
    """Of a correct receiver."""
    requests: Sequence[Made]
    taken: str = ""
    """What is found where it takes them all, as it has to."""
    refused: str = ""
    """Where it doesn't take the last; *{how}* it ended."""


class Finding(NamedTuple):
    """What a receiver did."""

    correct: bool | None
    """None: it can't be told, since nobody was reached."""
    found: str


POLITE = Made()
RULES: Mapping[Misbehaviour, Rule] = {
    Misbehaviour.TWICE: Rule(
        "Twice",
        "One event, sent twice under one webhook-id, as after an answer that was lost.",
        "Answers both with 2xx, and does the work once.",
        (Made(), Made()),
        "It took both. That it did the work once, only its own records say: look there.",
        "It took the first and not its repeat ({how}): a repeat would come again and again.",
    ),
    Misbehaviour.OUT_OF_ORDER: Rule(
        "Out of order",
        "Two events; the one that happened ten minutes earlier comes last.",
        "Answers both with 2xx, and keeps the state of the one with the later created_at.",
        (Made(), Made(event=1, happened_ago=EARLIER_SECONDS)),
        "It took both. Which state it kept, only its own records say: the later one is right.",
        "It didn't take the earlier event after the later one ({how}); it would come again.",
    ),
    Misbehaviour.LATE: Rule(
        "Late",
        "An event of six hours ago, signed now, as from a phone that was offline.",
        "Answers with 2xx: its tolerance is for webhook-timestamp, not for created_at.",
        (Made(happened_ago=LATE_SECONDS),),
        "It took an event that happened six hours ago.",
        "It didn't take an event of six hours ago ({how}): retries don't make it younger.",
    ),
    Misbehaviour.SLOW: Rule(
        "Slow",
        "The body trickles in over seconds, in twenty pieces.",
        "Waits for all of it, verifies the signature, then answers with 2xx.",
        (Made(manner=Manner(body_seconds=SLOW_SECONDS)),),
    ),
    Misbehaviour.OLD_SIGNATURE: Rule(
        "Old signature",
        "One request as it should be; then one signed for ten minutes ago, like a recording.",
        "Takes the first, and refuses the second with 4xx: its webhook-timestamp is out of tolerance.",
        (Made(), Made(event=1, manner=Manner(signed_ago=OLD_SECONDS))),
    ),
    Misbehaviour.LARGE: Rule(
        "5 MB",
        "A body of 5 MB, more than is ever sent by itself.",
        "Takes it with 2xx or refuses it with 413, and stays up.",
        (Made(padding=LARGE_BYTES),),
    ),
}


def requests_of(misbehaviour: Misbehaviour | None, timeout_seconds: float) -> Sequence[Made]:
    """Return what is sent, within the subscription's time limit."""
    if misbehaviour is None:
        return (POLITE,)
    most = timeout_seconds / 2
    return [
        made._replace(manner=made.manner._replace(body_seconds=min(made.manner.body_seconds, most)))
        for made in RULES[misbehaviour].requests
    ]


def judge(
    misbehaviour: Misbehaviour, requests: Sequence[Made], attempts: Sequence[Attempt]
) -> Finding:
    """Say whether a receiver did what is right, as far as its answers to *requests* tell."""
    if any(attempt.outcome in UNREACHED for attempt in attempts):
        return Finding(None, "Nobody was reached, so this says nothing about the receiver.")
    if len(attempts) > 1 and not _took(attempts[0]):
        how = _how(attempts[0])
        return _wrong(f"It didn't take even the first, which was as it should be: {how}.")
    last = attempts[-1]
    match misbehaviour:
        case Misbehaviour.SLOW:
            return _of_slow(last, requests[-1].manner.body_seconds)
        case Misbehaviour.OLD_SIGNATURE:
            return _of_old_signature(last)
        case Misbehaviour.LARGE:
            return _of_large(last)
        case _:
            return _of_the_last(RULES[misbehaviour], last)


def _right(found: str) -> Finding:
    return Finding(correct=True, found=found)


def _wrong(found: str) -> Finding:
    return Finding(correct=False, found=found)


def _took(attempt: Attempt) -> bool:
    return attempt.outcome is Outcome.OK


def _how(attempt: Attempt) -> str:
    if attempt.status is not None:
        return f"it answered {attempt.status}"
    return attempt.error or f"the request ended as {attempt.outcome}"


def _of_the_last(rule: Rule, last: Attempt) -> Finding:
    return _right(rule.taken) if _took(last) else _wrong(rule.refused.format(how=_how(last)))


def _of_slow(last: Attempt, seconds: float) -> Finding:
    if not _took(last):
        return _wrong(f"It didn't take a body that came over {seconds:g} s ({_how(last)}).")
    if last.first_byte is not None and last.first_byte < seconds * 0.9:
        text = "It answered before it had the body, so it can't have verified the signature."
        return _wrong(text)
    return _right(f"It waited {seconds:g} s for the body, and took it.")


def _of_old_signature(last: Attempt) -> Finding:
    if _took(last):
        text = (
            "It took a request signed ten minutes ago: whoever recorded one could send it again"
            " at any time. Refuse a webhook-timestamp more than five minutes away."
        )
        return _wrong(text)
    status = last.status or 0
    if REFUSED_FROM <= status < REFUSED_BELOW:
        return _right(f"It took the first, and refused the old one with {status}.")
    return _wrong(f"It neither took nor refused it: {_how(last)}. A 400 or 401 says it plainly.")


def _of_large(last: Attempt) -> Finding:
    if _took(last):
        return _right("It took all 5 MB.")
    if last.status == TOO_LARGE:
        return _right("It refused it as too large, and nothing it gets by itself is.")
    return _wrong(f"It neither took it nor refused it with 413: {_how(last)}.")
