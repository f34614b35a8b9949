"""Answers under an Idempotency-Key: claimed once, kept encrypted, forgotten in time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.kernel.registration import Stored
from services.store.idempotency import PostgresAnswers
from services.store.pool import Pool
from tests.support.databases import connected
from tests.support.rows import NOW, a_cipher, a_pool, after

HASH, OTHER_HASH = b"h" * 32, b"o" * 32
HEADERS = {"Content-Type": "application/json", "ETag": '"1"'}
DAY = timedelta(hours=24)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with a_pool(database) as pool:
        yield pool


@pytest.fixture
def answers(pool: Pool) -> PostgresAnswers:
    return PostgresAnswers(pool=pool, cipher=a_cipher())


async def begin(
    answers: PostgresAnswers,
    *,
    caller: str = "admin",
    key: str = "k",
    request_hash: bytes = HASH,
    seconds: float = 0,
) -> Stored | None:
    at = after(seconds)
    return await answers.begin(caller, key, request_hash, at=at, after=at - DAY)


async def finish(answers: PostgresAnswers, *, body: bytes = b'{"a":1}') -> None:
    await answers.finish("admin", "k", status=201, headers=HEADERS, body=body)


async def test_the_first_claims_a_key_and_the_next_learns_that_it_runs(
    answers: PostgresAnswers,
) -> None:
    assert await begin(answers) is None
    assert await begin(answers) == Stored(HASH, None, {}, b"")


async def test_of_many_at_once_one_claims_the_key(answers: PostgresAnswers) -> None:
    found = await asyncio.gather(*(begin(answers) for _ in range(20)))
    assert found.count(None) == 1


async def test_an_answer_is_given_again_as_it_was(answers: PostgresAnswers) -> None:
    await begin(answers)
    await finish(answers, body=b'{"secret":"whsec_\xc3\xa7"}')
    expected = Stored(HASH, 201, HEADERS, b'{"secret":"whsec_\xc3\xa7"}')
    assert await begin(answers, request_hash=OTHER_HASH) == expected


async def test_an_empty_answer_is_an_answer_too(answers: PostgresAnswers) -> None:
    await begin(answers)
    await finish(answers, body=b"")
    assert await begin(answers) == Stored(HASH, 201, HEADERS, b"")


async def test_a_key_belongs_to_its_caller(answers: PostgresAnswers) -> None:
    await begin(answers, caller="admin")
    await finish(answers)
    assert await begin(answers, caller="5e208446c97efa37d4830b01") is None


async def test_a_released_key_is_free_again_but_an_answer_stays(answers: PostgresAnswers) -> None:
    await begin(answers)
    await answers.release("admin", "k")
    assert await begin(answers) is None
    await finish(answers)
    await answers.release("admin", "k")
    assert await begin(answers) is not None


async def test_a_key_is_free_again_after_a_day(answers: PostgresAnswers) -> None:
    await begin(answers)
    await finish(answers)
    assert await begin(answers, seconds=86_399) is not None
    assert await begin(answers, request_hash=OTHER_HASH, seconds=86_400) is None
    assert await begin(answers, seconds=86_401) == Stored(OTHER_HASH, None, {}, b"")


async def test_old_answers_are_forgotten_and_young_ones_are_not(answers: PostgresAnswers) -> None:
    await begin(answers, key="old")
    await begin(answers, key="young", seconds=1)
    await answers.expire(before=NOW)
    assert await begin(answers, key="old") is None
    assert await begin(answers, key="young") is not None


async def test_a_secret_in_an_answer_is_not_readable_in_the_database(
    database: str, answers: PostgresAnswers
) -> None:
    await begin(answers)
    await finish(answers, body=b'{"secret":"whsec_hidden"}')
    async with connected(database) as connection:
        row = await connection.fetchrow("select * from idempotency")
    assert row is not None
    assert row["status"] == 201
    assert "whsec_hidden" not in repr(tuple(row))
