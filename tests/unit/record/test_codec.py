"""A record of the attempts topic holds what was attempted, and what is none of ours is refused."""

import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.about import About
from services.kernel.attempt import (
    Acknowledged,
    Attempt,
    Dead,
    Disable,
    Outcome,
    RetryAt,
    Verdict,
)
from services.kernel.delivery import Delivery, Trigger
from services.kernel.event import Partition, Position
from services.kernel.ids import delivery_id, is_id
from services.kernel.recorded import LEAST, Recorded
from services.record.codec import UnreadableError, decode, encode, row
from tests.support.rows import NOW, a_delivery, an_attempt

SUBSCRIPTION = "5e208446c97efa37d4830b0c"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
IDS = st.none() | TEXT
SECONDS = st.floats(0, 1e6)
VERDICTS = st.sampled_from([Acknowledged(), RetryAt(NOW), Dead("exhausted"), Disable("gone"), None])
DELIVERIES = st.builds(
    Delivery,
    position=st.builds(
        Position, st.builds(Partition, st.just("planner.events"), st.integers(0, 99)),
        st.integers(0, 2**62),
    ),
    epoch=st.integers(0, 2**62),
    subscription_id=TEXT,
    event_id=TEXT,
    type=TEXT,
    body=st.binary(max_size=20),
    content_type=st.just("application/json"),
    key=IDS,
    project_id=TEXT,
    timestamp_ms=st.integers(0, 2**43),
    number=st.integers(1, 99),
    trigger=st.sampled_from(Trigger),
    replay=IDS,
    about=st.builds(About, TEXT.filter(bool), IDS, IDS, IDS, IDS, IDS, st.lists(TEXT).map(tuple)),
)  # fmt: skip
ATTEMPTS = st.builds(
    Attempt,
    outcome=st.sampled_from(Outcome),
    started_at=st.floats(0, 2**32 - 1),
    seconds=SECONDS,
    waited=SECONDS,
    connect=st.none() | SECONDS,
    tls=st.none() | SECONDS,
    first_byte=st.none() | SECONDS,
    status=st.none() | st.integers(100, 999),
    excerpt=st.binary(max_size=40),
    headers=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
    address=IDS,
    error=IDS,
    traceparent=st.just("00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"),
)


@given(st.lists(st.tuples(DELIVERIES, ATTEMPTS, VERDICTS), max_size=5))
def test_what_is_written_is_read_again(
    attempted: list[tuple[Delivery, Attempt, Verdict | None]],
) -> None:
    value = encode([row(*each) for each in attempted], run="6b1f0a44c9", number=3, first=20)
    written = decode(value)
    assert (written.run, written.number, len(written.attempts)) == ("6b1f0a44c9", 3, len(attempted))
    for found, (delivery, attempt, _) in zip(written.attempts, attempted, strict=True):
        assert is_id(found.id)
        assert found.delivery_id == delivery_id(delivery.event_id, delivery.subscription_id)
        assert (found.event_id, found.subscription_id) == (
            delivery.event_id, delivery.subscription_id,
        )  # fmt: skip
        assert (found.about, found.position) == (delivery.about, delivery.position)
        assert (found.key, found.number, found.trigger) == (
            delivery.key, delivery.number, delivery.trigger,
        )  # fmt: skip
        assert (found.outcome, found.status) == (attempt.outcome, attempt.status)
        assert tuple(map(tuple, found.headers)) == attempt.headers
        assert found.excerpt == attempt.excerpt.decode("utf-8", "replace")
        assert found.seconds == attempt.seconds
        assert found.tls == attempt.tls
        assert found.trace_id == "ab" * 16


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Acknowledged(), ("acknowledged", None, None)),
        (RetryAt(NOW), ("retry", None, NOW.timestamp())),
        (Dead("exhausted"), ("dead", "exhausted", None)),
        (Disable("gone"), ("disable", "gone", None)),
        (None, (None, None, None)),
    ],
)
def test_what_follows_is_kept(verdict: Verdict | None, expected: object) -> None:
    value = encode([row(a_delivery(SUBSCRIPTION), an_attempt(), verdict)], **HEAD)
    (found,) = decode(value).attempts
    assert (found.verdict, found.reason, found.next_at) == expected


def test_ids_differ_within_a_record_and_between_records_and_are_the_same_when_read_again() -> None:
    rows = [row(a_delivery(SUBSCRIPTION), an_attempt(), None)] * 50
    values = [encode(rows, run="00000000aa", number=n, first=n * 50) for n in range(4)]
    values.append(encode(rows, run="00000000bb", number=0, first=1_000))
    ids = [found.id for value in values for found in decode(value).attempts]
    assert len(set(ids)) == len(ids) == 250
    assert ids == [found.id for value in values for found in decode(value).attempts]


def test_ids_sort_by_the_start_of_the_attempt() -> None:
    starts = [1_764_022_000.000001, 1_764_022_000.5, 1_764_022_001.25]
    rows = [row(a_delivery(SUBSCRIPTION), an_attempt(started_at=at), None) for at in starts]
    ids = [found.id for found in decode(encode(rows, run="ffffffffff", number=1, first=7)).attempts]
    assert ids == sorted(ids)


def test_fields_that_a_newer_version_adds_at_the_end_are_passed_over() -> None:
    rows = [(*row(a_delivery(SUBSCRIPTION), an_attempt(), None), "new", 17)]
    assert decode(encode(rows, **HEAD)).attempts[0].subscription_id == SUBSCRIPTION


def test_what_was_written_before_batches_were_found_is_read() -> None:
    rows = [row(a_delivery(SUBSCRIPTION, offset=n), an_attempt(), None)[:LEAST] for n in range(3)]
    found = decode(encode(rows, **HEAD)).attempts
    assert [attempt.offset for attempt in found] == [0, 1, 2]
    assert {(attempt.also, attempt.about.also) for attempt in found} == {(None, ())}


def test_attempts_take_a_fraction_of_their_text() -> None:
    rows = [row(a_delivery(SUBSCRIPTION, offset=n), an_attempt(), None) for n in range(1_000)]
    assert len(encode(rows, **HEAD)) < 100 * len(rows)


HEAD = {"run": "6b1f0a44c9", "number": 1, "first": 0}
BOMB = zstandard.compress(bytes(100 << 20))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"no zstd",
        zstandard.compress(b"no JSON"),
        zstandard.compress(b"[]"),
        zstandard.compress(b'{"v":1}'),
        zstandard.compress(orjson.dumps({"v": 2, "attempts": [], **HEAD})),
        zstandard.compress(orjson.dumps({"v": 1, "attempts": [[1, 2]], **HEAD})),
        zstandard.compress(orjson.dumps({"v": 1, "attempts": 7, **HEAD})),
        BOMB,
    ],
    ids=["empty", "bytes", "text", "array", "fields", "version", "short", "number", "bomb"],
)
def test_what_is_none_of_ours_is_refused_with_a_reason(value: bytes) -> None:
    with pytest.raises(UnreadableError, match=r"\w"):
        decode(value)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("event_id", 5), ("event_id", None), ("type", "x" * 3_000), ("plan_id", ["x"]),
        ("partition", 1 << 31), ("partition", True), ("offset", 1 << 63), ("offset", 1.5),
        ("number", -5), ("status", 1 << 15), ("started_at", "now"), ("started_at", 1e300),
        ("waited", None), ("tls", 1e300), ("next_at", -1e9), ("headers", {"a": "b"}),
        ("headers", [["a"]]), ("headers", [["a", 5]]), ("headers", None), ("traceparent", 7),
        ("address", "x" * 1_000), ("also", "e:1"), ("also", [5]), ("also", ["x" * 700]),
    ],
)  # fmt: skip
def test_a_record_with_one_attempt_that_postgres_would_refuse_is_none_of_ours(
    field: str, wrong: object
) -> None:
    good = row(a_delivery(SUBSCRIPTION), an_attempt(), Acknowledged())
    bad = list(good)
    bad[Recorded._fields.index(field)] = wrong
    with pytest.raises(UnreadableError, match=field):
        decode(encode([good, tuple(bad)], **HEAD))
