"""What the API stores: projects and keys, subscriptions and their secrets."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from services.kernel.clock import SystemClock
from services.kernel.ids import ApiKeyId, ProjectId, SubscriptionId
from services.kernel.ports.store.health import HealthRow
from services.kernel.ports.store.partitions import Floor
from services.kernel.ports.store.retries import Park
from services.kernel.registration import ApiKey, Page, Project, Secret
from services.kernel.subscription import (
    Grouping,
    Mode,
    OnExhausted,
    OrderBy,
    Ordered,
    Profile,
    SignatureScheme,
    SigningKey,
    Status,
)
from services.store.cipher import CipherError, key_id
from services.store.health import PostgresHealth
from services.store.partitions import PostgresPartitions
from services.store.pool import Pool
from services.store.projects import PostgresApiKeys, PostgresProjects
from services.store.registrations import PostgresRegistrations
from services.store.retries import PostgresRetries
from tests.support.databases import connected
from tests.support.rows import (
    EVENTS,
    NOW,
    PROJECT,
    a_certificate,
    a_cipher,
    a_delivery,
    a_pool,
    a_project,
    a_registration,
    a_secret,
    a_subscription,
    after,
    an_id,
)

OTHER = ProjectId("5e208446c97efa37d4830b99")
ALL = Page(limit=500, before=None)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with a_pool(database) as pool:
        await a_project(pool)
        await a_project(pool, OTHER)
        yield pool


@pytest.fixture
def store(pool: Pool) -> PostgresRegistrations:
    return PostgresRegistrations(pool=pool, cipher=a_cipher())


@pytest.fixture
def projects(pool: Pool) -> PostgresProjects:
    return PostgresProjects(pool=pool)


@pytest.fixture
def keys(pool: Pool) -> PostgresApiKeys:
    return PostgresApiKeys(pool=pool)


def a_key(**fields: object) -> ApiKey:
    return ApiKey(
        **{
            "id": ApiKeyId(an_id()),
            "project_id": PROJECT,
            "name": "A key",
            "prefix": "priv_abcdefg",
            "hash": an_id().encode(),
            "scopes": ("ingest", "read"),
            "created_at": NOW,
            "expires_at": None,
            "last_used_at": None,
            **fields,
        }
    )


async def waiting_for(pool: Pool, id_: SubscriptionId) -> None:
    """Give a subscription a retry row and a failure."""
    owned = await PostgresPartitions(pool=pool).assign({EVENTS: Floor(0, 0)}, worker="w0")
    parked = Park(a_delivery(id_, epoch=owned[EVENTS].epoch), NOW, None)
    await PostgresRetries(pool=pool).write([parked])
    await failing(pool, id_, 1)


async def failing(pool: Pool, id_: SubscriptionId, count: int, *, worker: str = "w0") -> None:
    row = HealthRow(id_, count, "http", 500, NOW)
    await PostgresHealth(pool=pool).report(worker=worker, partitions=1, rows=[row])


async def traces(database: str) -> tuple[int, int]:
    async with connected(database) as connection:
        return (
            await connection.fetchval("select count(*) from retries"),
            await connection.fetchval("select count(*) from health"),
        )


# Subscriptions.


async def test_a_subscription_reads_as_it_was_written(store: PostgresRegistrations) -> None:
    registration = a_registration(
        types=("plan.*", "service.report"),
        description="plaça",
        headers=(("Authorization", "Bearer secret"),),
        client_certificate=a_certificate(),
        profile=Profile.ROUTAL_2,
        expand=("stops", "routes"),
        max_in_flight=7,
        timeout_seconds=1.5,
        retry_schedule=(),
        rate_limit=2.5,
        ordered=Ordered.KEY,
        order_by=OrderBy.ROUTE,
        on_exhausted=OnExhausted.BLOCK,
        delivery=Grouping(Mode.BATCH, max_events=100),
        filter='{"data":{"status":["finished"]}}',
        max_age_seconds=(("vehicle.position", 60.0),),
        start_from="earliest",
        status=Status.DISABLED,
        status_reason="gone",
        status_at=after(1),
        signature=SignatureScheme.V1A,
        updated_at=after(2),
    )
    await store.add([(registration, a_secret(SignatureScheme.V1A))])
    assert await store.get(registration.id) == registration


async def test_of_several_all_are_stored_or_none(store: PostgresRegistrations) -> None:
    good, same = a_registration(), a_registration()
    with pytest.raises(asyncpg.UniqueViolationError):
        await store.add([(good, a_secret()), (same, a_secret()), (same, a_secret())])
    assert await store.page(project_id=None, among=None, filters={}, page=ALL) == []


async def test_static_headers_and_secrets_are_not_readable_in_the_database(
    database: str, store: PostgresRegistrations
) -> None:
    secret = a_secret(key=b"this is the secret of a customer")
    registration = a_registration(
        headers=(("Authorization", "Bearer hidden-token"),), client_certificate=a_certificate()
    )
    await store.add([(registration, secret)])
    await store.replace(replace(registration, description="new"), version=1)
    async with connected(database) as connection:
        for table in ("subscriptions", "secrets"):
            for row in await connection.fetch(f"select * from {table}"):  # noqa: S608
                stored = repr(tuple(row))
                assert "hidden-token" not in stored
                assert "hidden key" not in stored
                assert "this is the secret" not in stored


async def test_a_list_goes_on_below_the_last_one_newest_first(
    store: PostgresRegistrations, pool: Pool
) -> None:
    ids = [await a_subscription(pool) for _ in range(5)]

    async def page(before: str | None) -> list[str]:
        rows = await store.page(project_id=PROJECT, among=None, filters={}, page=Page(2, before))
        return [row.id for row in rows]

    assert await page(None) == [ids[4], ids[3]]
    assert await page(ids[3]) == [ids[2], ids[1]]
    assert await page(ids[1]) == [ids[0]]
    assert await page(ids[0]) == []


async def test_lists_are_of_one_project_and_filtered(
    store: PostgresRegistrations, pool: Pool
) -> None:
    url = "https://example.com/wanted"
    wanted = await a_subscription(pool, url=url, types=("plan.*", "stop.report.completed"))
    paused = await a_subscription(pool, status=Status.PAUSED)
    foreign = await a_subscription(pool, project_id=OTHER)

    async def ids(project: ProjectId | None = PROJECT, **filters: str) -> set[str]:
        rows = await store.page(project_id=project, among=None, filters=filters, page=ALL)
        return {row.id for row in rows}

    assert await ids() == {wanted, paused}
    assert await ids(OTHER) == {foreign}
    assert await ids(None) == {wanted, paused, foreign}
    assert await ids(status="paused") == {paused}
    assert await ids(url=url) == {wanted}
    assert await ids(type="stop.report.completed") == {wanted}
    assert await ids(type="stop.report.completed", status="paused") == set()


async def test_a_window_counts_all_and_shows_some(store: PostgresRegistrations, pool: Pool) -> None:
    ids = [await a_subscription(pool) for _ in range(4)]
    await a_subscription(pool, project_id=OTHER)
    await store.delete(ids.pop(), at=NOW)
    rows, total = await store.window(PROJECT, offset=1, limit=1)
    assert ([row.id for row in rows], total) == ([ids[1]], 3)
    rows, total = await store.window(PROJECT, offset=0, limit=None)
    assert ([row.id for row in rows], total) == (ids[::-1], 3)
    assert await store.window(PROJECT, offset=9, limit=5) == ([], 3)


async def test_of_two_changes_of_one_version_the_first_holds(store: PostgresRegistrations) -> None:
    registration = a_registration()
    await store.add([(registration, a_secret())])
    first, second = (replace(registration, description=text) for text in ("first", "second"))
    assert await store.replace(first, version=1)
    assert not await store.replace(second, version=1)
    assert await store.get(registration.id) == replace(first, version=2)


async def test_deleting_a_subscription_takes_its_rows_and_its_failures_with_it(
    database: str, store: PostgresRegistrations, pool: Pool
) -> None:
    id_, other = await a_subscription(pool), await a_subscription(pool)
    await waiting_for(pool, id_)
    await waiting_for(pool, other)
    assert await traces(database) == (2, 2)
    before = await store.get(id_)
    assert before is not None
    assert await store.delete(id_, at=NOW)
    assert await traces(database) == (1, 1)
    assert await store.get(id_) is None
    assert not await store.delete(id_, at=NOW)
    assert not await store.replace(before, version=before.version)
    rows = await store.page(project_id=PROJECT, among=None, filters={}, page=ALL)
    assert [row.id for row in rows] == [other]


async def test_failures_in_a_row_are_those_of_all_workers_since_the_last_reset(
    store: PostgresRegistrations, pool: Pool
) -> None:
    registration = a_registration()
    await store.add([(registration, a_secret())])

    async def count() -> int:
        shown = await store.get(registration.id)
        assert shown is not None
        return shown.failure_count

    await failing(pool, registration.id, 3, worker="w0")
    await failing(pool, registration.id, 4, worker="w1")
    assert await count() == 7
    forgiven = replace(registration, failures_reset_at=SystemClock().now() + timedelta(seconds=1))
    await store.replace(forgiven, version=1)
    assert await count() == 0


# Secrets.


async def test_secrets_are_listed_newest_first_without_their_values(
    store: PostgresRegistrations,
) -> None:
    registration = a_registration()
    old, new = a_secret(SignatureScheme.V1A), a_secret(SignatureScheme.V1A, at=after(1))
    await store.add([(registration, old)])
    await store.rotate(registration.id, new, previous_expires_at=after(60))
    scheme = SignatureScheme.V1A
    assert await store.secrets(registration.id) == [
        Secret(new.id, scheme, new.public_key, after(1), None),
        Secret(old.id, scheme, old.public_key, NOW, after(60)),
    ]


async def test_a_rotation_never_makes_an_older_secret_live_longer(
    store: PostgresRegistrations,
) -> None:
    registration = a_registration()
    await store.add([(registration, a_secret())])
    await store.rotate(registration.id, a_secret(at=after(1)), previous_expires_at=after(60))
    await store.rotate(registration.id, a_secret(at=after(2)), previous_expires_at=after(900))
    ends = [secret.expires_at for secret in await store.secrets(registration.id)]
    assert ends == [None, after(900), after(60)]


async def test_the_secrets_that_sign_are_those_that_have_not_ended(
    store: PostgresRegistrations,
) -> None:
    registration = a_registration()
    now = SystemClock().now()
    old, new = a_secret(at=NOW), a_secret(at=after(1))
    await store.add([(registration, old)])
    assert await store.signing_keys(registration.id) == [old.key]
    ends = now + timedelta(hours=1)
    await store.rotate(registration.id, new, previous_expires_at=ends)
    ending = SigningKey(SignatureScheme.V1, old.key.key, ends.timestamp())
    assert await store.signing_keys(registration.id) == [new.key, ending]
    assert await store.end_secret(registration.id, old.id, at=now)
    assert await store.signing_keys(registration.id) == [new.key]
    assert not await store.end_secret(registration.id, old.id, at=now)
    assert not await store.end_secret(registration.id, new.id, at=now), "the last one stays"
    assert await store.signing_keys(registration.id) == [new.key]


async def test_public_keys_are_those_of_v1a_secrets_that_sign(
    store: PostgresRegistrations,
) -> None:
    hmac, ended, deleted = (a_registration() for _ in range(3))
    old, new = a_secret(SignatureScheme.V1A), a_secret(SignatureScheme.V1A, at=after(1))
    await store.add([(hmac, a_secret()), (ended, old), (deleted, a_secret(SignatureScheme.V1A))])
    await store.rotate(ended.id, new, previous_expires_at=NOW)
    await store.delete(deleted.id, at=NOW)
    assert await store.public_keys() == [(ended.id, new.id, new.public_key)]


# Projects and their keys.


async def test_projects_are_named_renamed_and_listed(projects: PostgresProjects) -> None:
    changed = Project(id=OTHER, name="plaça", created_at=NOW, updated_at=after(1))
    assert await projects.replace(changed, before=NOW)
    assert not await projects.replace(changed, before=NOW), "somebody was faster"
    assert await projects.get(OTHER) == changed
    assert [row.id for row in await projects.page(ALL)] == [OTHER, PROJECT]
    assert [row.id for row in await projects.page(Page(1, OTHER))] == [PROJECT]


async def test_deleting_a_project_takes_all_that_belongs_to_it(
    database: str,
    pool: Pool,
    projects: PostgresProjects,
    keys: PostgresApiKeys,
    store: PostgresRegistrations,
) -> None:
    id_, kept = await a_subscription(pool), await a_subscription(pool, project_id=OTHER)
    await waiting_for(pool, id_)
    await waiting_for(pool, kept)
    key = a_key()
    await keys.add(key)
    await projects.delete(PROJECT, at=NOW)
    assert await projects.get(PROJECT) is None
    assert await keys.by_hash(key.hash) is None
    rows = await store.page(project_id=None, among=None, filters={}, page=ALL)
    assert [row.id for row in rows] == [kept]
    assert await traces(database) == (1, 1)
    assert [row.id for row in await projects.page(ALL)] == [OTHER]


async def test_a_key_is_found_by_its_hash_until_it_is_revoked(keys: PostgresApiKeys) -> None:
    key = a_key(expires_at=after(60))
    await keys.add(key)
    assert await keys.by_hash(key.hash) == key
    assert await keys.by_hash(b"another") is None
    assert not await keys.delete(OTHER, key.id, at=NOW), "a key of another project"
    assert await keys.delete(PROJECT, key.id, at=NOW)
    assert not await keys.delete(PROJECT, key.id, at=NOW)
    assert await keys.by_hash(key.hash) is None
    assert await keys.page(PROJECT, ALL) == []


async def test_keys_are_listed_newest_first_with_their_last_use_to_the_minute(
    keys: PostgresApiKeys,
) -> None:
    rows = [a_key() for _ in range(3)]
    for key in (*rows, a_key(project_id=OTHER)):
        await keys.add(key)
    await keys.used(rows[1].id, at=NOW)
    used = replace(rows[1], last_used_at=NOW.replace(second=0))
    assert await keys.page(PROJECT, Page(2, None)) == [rows[2], used]
    assert await keys.page(PROJECT, Page(2, rows[1].id)) == [rows[0]]


async def test_who_lacks_the_key_of_anything_that_requests_are_made_of_is_told_at_the_start(
    pool: Pool,
) -> None:
    old, new = b"o" * 32, b"n" * 32
    first, both, second = (
        PostgresRegistrations(pool=pool, cipher=a_cipher(*keys))
        for keys in ((old,), (new, old), (new,))
    )
    registration = a_registration(headers=(("Authorization", "Bearer token"),))
    await first.add([(registration, a_secret())])
    await both.rotate(registration.id, a_secret(at=after(1)), previous_expires_at=NOW)
    await both.check_keys()
    with pytest.raises(CipherError, match=key_id(old)):  # of the headers alone by now
        await second.check_keys()
