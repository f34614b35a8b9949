"""Secrets at rest outlive the rotation of the key that encrypts them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from services.kernel.clock import SystemClock
from services.kernel.ids import SubscriptionId
from services.store.changes import PostgresSubscriptionSource
from services.store.cipher import CipherError, key_id
from services.store.idempotency import PostgresAnswers
from services.store.pool import Pool
from services.store.registrations import PostgresRegistrations
from services.store.rotation import Rotation
from tests.support.databases import connected
from tests.support.rows import (
    NOW,
    a_certificate,
    a_cipher,
    a_pool,
    a_project,
    a_registration,
    a_secret,
    after,
    everybody,
)

OLD, NEW = b"o" * 32, b"n" * 32
HEADERS = (("Authorization", "Bearer token"),)
CLOCK = SystemClock()


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with a_pool(database) as pool:
        await a_project(pool)
        yield pool


def store(pool: Pool, *keys: bytes) -> PostgresRegistrations:
    return PostgresRegistrations(pool=pool, cipher=a_cipher(*keys))


def source(pool: Pool, *keys: bytes) -> PostgresSubscriptionSource:
    return PostgresSubscriptionSource(pool=pool, cipher=a_cipher(*keys), clock=CLOCK)


def rotation(pool: Pool, *keys: bytes) -> Rotation:
    return Rotation(pool=pool, cipher=a_cipher(*keys))


async def key_ids(database: str) -> tuple[list[str], list[str]]:
    """Return with which keys secrets and static headers are encrypted, in the order of creation.

    A client certificate is written with the headers of its subscription, and comes with them.
    """
    async with connected(database) as connection:
        secrets = await connection.fetch("select key_id from secrets order by created_at")
        headers = await connection.fetch("select headers_key_id from subscriptions order by id")
    return [row[0] for row in secrets], [row[0] for row in headers]


async def test_after_a_rotation_older_rows_are_read_and_new_ones_use_the_new_key(
    database: str, pool: Pool
) -> None:
    first, second = (a_registration(headers=HEADERS) for _ in range(2))
    old, new = a_secret(), a_secret(at=after(1))
    await store(pool, OLD).add([(first, old)])
    await store(pool, NEW, OLD).add([(second, new)])
    names = [key_id(OLD), key_id(NEW)]
    assert await key_ids(database) == (names, names)
    loaded = await everybody(source(pool, NEW, OLD))
    assert [(row.keys, row.headers) for row in loaded] == [
        ((old.key,), HEADERS),
        ((new.key,), HEADERS),
    ]
    assert await store(pool, NEW, OLD).signing_keys(first.id) == [old.key]
    assert await store(pool, NEW, OLD).get(first.id) == first


async def test_what_is_written_again_moves_to_the_new_key(database: str, pool: Pool) -> None:
    registration = a_registration(headers=HEADERS)
    await store(pool, OLD).add([(registration, a_secret())])
    rotated = store(pool, NEW, OLD)
    await rotated.rotate(registration.id, a_secret(at=after(1)), previous_expires_at=NOW)
    await rotated.replace(replace(registration, description="new"), version=1)
    assert await key_ids(database) == ([key_id(OLD), key_id(NEW)], [key_id(NEW)])
    (loaded,) = await everybody(source(pool, NEW))
    assert loaded.headers == HEADERS, "with the old secret ended, the old key may go"


async def test_without_the_key_that_reads_it_a_row_says_which_key_is_missing(pool: Pool) -> None:
    registration = a_registration()
    await store(pool, OLD).add([(registration, a_secret())])
    sentence = f"encrypted with key {key_id(OLD)}.*WEBHOOKS_SECRETS__PREVIOUS_KEYS"
    with pytest.raises(CipherError, match=sentence):
        await store(pool, NEW).signing_keys(registration.id)
    with pytest.raises(CipherError, match=sentence):
        await everybody(source(pool, NEW))


async def test_a_secret_copied_to_another_row_signs_nothing(database: str, pool: Pool) -> None:
    mine, theirs = a_registration(), a_registration()
    await store(pool).add([(mine, a_secret()), (theirs, a_secret())])
    async with connected(database) as connection:
        await connection.execute(
            "update secrets set ciphertext = (select ciphertext from secrets where"
            " subscription_id = $1) where subscription_id = $2",
            theirs.id,
            mine.id,
        )
    with pytest.raises(CipherError, match="altered or moved"):
        await store(pool).signing_keys(SubscriptionId(mine.id))


@pytest.mark.parametrize("column", ["client_certificate", "headers"])
async def test_a_certificate_and_headers_stay_what_and_whose_they_are(
    database: str, pool: Pool, column: str
) -> None:
    """Moved to another row, or to the other column of the same one."""
    mine = a_registration(headers=HEADERS, client_certificate=a_certificate())
    theirs = a_registration(headers=HEADERS, client_certificate=a_certificate("CN=theirs"))
    await store(pool).add([(mine, a_secret()), (theirs, a_secret())])
    async with connected(database) as connection:
        await connection.execute(
            "update subscriptions set client_certificate ="  # noqa: S608 - a column's name
            f" (select {column} from subscriptions where id = $1) where id = $2",
            theirs.id if column == "client_certificate" else mine.id,
            mine.id,
        )
    with pytest.raises(CipherError, match="altered or moved"):
        await store(pool).get(SubscriptionId(mine.id))


async def test_answers_kept_before_a_rotation_are_given_again_after_it(pool: Pool) -> None:
    kept = PostgresAnswers(pool=pool, cipher=a_cipher(OLD))
    day = timedelta(hours=24)
    assert await kept.begin("admin", "k", b"hash", at=NOW, after=NOW - day) is None
    await kept.finish("admin", "k", status=201, headers={}, body=b"whsec_hidden")
    rotated = PostgresAnswers(pool=pool, cipher=a_cipher(NEW, OLD))
    stored = await rotated.begin("admin", "k", b"hash", at=NOW, after=NOW - day)
    assert stored is not None
    assert stored.body == b"whsec_hidden"


async def test_everything_comes_under_the_new_key_and_the_old_one_may_go(
    database: str, pool: Pool
) -> None:
    registrations = [
        a_registration(headers=HEADERS, client_certificate=a_certificate()), a_registration(),
    ]  # fmt: skip
    secrets = [a_secret(), a_secret(at=after(1))]
    await store(pool, OLD).add(list(zip(registrations, secrets, strict=True)))
    day = timedelta(hours=24)
    kept = PostgresAnswers(pool=pool, cipher=a_cipher(OLD))
    await kept.begin("caller", "key", b"hash", at=NOW, after=NOW - day)
    await kept.finish("caller", "key", status=201, headers={}, body=b"once")
    assert await rotation(pool, NEW, OLD).run() == {
        "secrets": 2, "headers": 1, "certificates": 1, "answers": 1,
    }  # fmt: skip
    assert await key_ids(database) == ([key_id(NEW)] * 2, [key_id(NEW), None])
    loaded = await everybody(source(pool, NEW))
    assert {row.keys for row in loaded} == {(secret.key,) for secret in secrets}
    assert [row.client_certificate for row in loaded] == [a_certificate(), None]
    assert await store(pool, NEW).get(registrations[0].id) == registrations[0]
    answers = PostgresAnswers(pool=pool, cipher=a_cipher(NEW))
    stored = await answers.begin("caller", "key", b"hash", at=NOW, after=NOW - day)
    assert stored is not None
    assert stored.body == b"once"
    assert set((await rotation(pool, NEW).run()).values()) == {0}


async def test_a_rotation_without_the_old_key_changes_nothing_and_names_it(
    database: str, pool: Pool
) -> None:
    await store(pool, OLD).add([(a_registration(), a_secret())])
    with pytest.raises(CipherError, match=f"encrypted with key {key_id(OLD)}"):
        await rotation(pool, NEW).run()
    assert await key_ids(database) == ([key_id(OLD)], [None])
