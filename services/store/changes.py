"""All subscriptions for the workers, and word of changes through LISTEN/NOTIFY."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TypeAlias

import asyncpg
import orjson

from services.kernel.clock import Clock
from services.kernel.ids import SubscriptionId
from services.kernel.operation import disabled
from services.kernel.subscription import (
    Profile,
    SignatureScheme,
    SigningKey,
    Status,
    Subscription,
)
from services.store import certificates
from services.store.cipher import Cipher, Encrypted
from services.store.notifications import notifications
from services.store.operations import about, keep
from services.store.options import options_of
from services.store.pool import Pool, queries

CHANNEL = "webhooks_subscriptions"
PAGE = 2_000
"""Rows held at a time while everything is read: a worker has no room for all of it twice."""
SLICE = 200
"""Rows turned into subscriptions between two looks at the event loop, about 5 ms."""

Shared: TypeAlias = dict[tuple[str, ...], tuple[str, ...]]
"""Types that were read already: many subscriptions name the same."""


class PostgresSubscriptionSource:
    """The `SubscriptionSource` of the workers."""

    def __init__(self, *, pool: Pool, cipher: Cipher, clock: Clock) -> None:
        self._pool = pool
        self._cipher = cipher
        self._clock = clock

    async def load_all(self) -> AsyncIterator[Sequence[Subscription]]:
        """Yield all subscriptions that are not deleted, page by page."""
        shared: Shared = {}
        after = ""
        while page := await self._pool.fetch("all_subscriptions", after, PAGE):
            yield await self._subscriptions(page, shared)
            after = page[-1]["id"]

    async def load(self, ids: Collection[SubscriptionId]) -> Sequence[Subscription]:
        """Return those of *ids* that exist."""
        rows = await self._pool.fetch("some_subscriptions", list(ids))
        return await self._subscriptions(rows, {})

    async def changed_within(self, seconds: float) -> Collection[SubscriptionId]:
        """Return which were made, changed or deleted within the last *seconds*."""
        rows = await self._pool.fetch("recent_subscriptions", seconds)
        return [row["id"] for row in rows]

    async def changes(self) -> AsyncIterator[Collection[SubscriptionId] | None]:
        """Yield ids as they change, bursts together; None after each connection was made."""
        async with aclosing(notifications(self._pool, channel=CHANNEL, clock=self._clock)) as heard:
            async for ids in heard:
                yield None if ids is None else [SubscriptionId(id_) for id_ in ids]

    async def disable(self, id_: SubscriptionId, *, reason: str, at: datetime) -> bool:
        """Disable it if it is active; tell whether that changed anything."""
        async with self._pool.transaction() as connection:
            row = await connection.fetchrow(queries()["disable_subscription"], id_, reason, at)
            if row is None:
                return False
            told = disabled(
                about(row), reason=reason, failure_count=row["failure_count"], since=row["since"]
            )
            await keep(connection, [told])
        return True

    async def _subscriptions(
        self, rows: Sequence[asyncpg.Record], shared: Shared
    ) -> list[Subscription]:
        by_subscription: Mapping[str, list[asyncpg.Record]] = defaultdict(list)
        for secret in await self._pool.fetch("signing_secrets", [row["id"] for row in rows]):
            by_subscription[secret["subscription_id"]].append(secret)
        found = []
        for n, row in enumerate(rows, start=1):
            found.append(self._subscription(row, by_subscription[row["id"]], shared))
            if n % SLICE == 0:
                await asyncio.sleep(0)
        return found

    def _subscription(
        self,
        row: asyncpg.Record,
        secrets: Sequence[asyncpg.Record],
        shared: Shared,
    ) -> Subscription:
        types = tuple(row["types"])
        forgiven_at = row["failures_reset_at"]
        return Subscription(
            id=row["id"],
            project_id=row["project_id"],
            url=row["url"],
            types=shared.setdefault(types, types),
            keys=tuple(self._key(secret) for secret in secrets),
            profile=Profile(row["profile"]),
            expand=tuple(row["expand"]),
            headers=self._headers(row),
            client_certificate=certificates.opened(self._cipher, row),
            status=Status(row["status"]),
            max_in_flight=row["max_in_flight"],
            timeout_seconds=row["timeout_seconds"],
            retry_schedule=None if row["retry_schedule"] is None else tuple(row["retry_schedule"]),
            **options_of(row),
            begins_ms=_begins_ms(row),
            forgiven_ms=int(forgiven_at.timestamp() * 1000) if forgiven_at else 0,
            version=row["version"],
            epoch=row["epoch"],
        )

    def _key(self, secret: asyncpg.Record) -> SigningKey:
        plain = self._cipher.decrypt(
            Encrypted(secret["key_id"], secret["ciphertext"]), context=secret["id"]
        )
        expires_at = secret["expires_at"]
        return SigningKey(
            SignatureScheme(secret["scheme"]),
            plain,
            expires_at.timestamp() if expires_at else None,
        )

    def _headers(self, row: asyncpg.Record) -> tuple[tuple[str, str], ...]:
        if row["headers"] is None:
            return ()
        plain = self._cipher.decrypt(
            Encrypted(row["headers_key_id"], row["headers"]), context=row["id"]
        )
        return tuple(orjson.loads(plain).items())


def _begins_ms(row: asyncpg.Record) -> int:
    match row["start_from"]:
        case "now":
            moment = row["created_at"]
        case "earliest":
            return 0
        case text:
            moment = datetime.fromisoformat(text)
    return int(moment.timestamp() * 1000)
