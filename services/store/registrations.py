"""Tables `subscriptions` and `secrets`, as the API writes them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from services.kernel.ids import ProjectId, SecretId, SubscriptionId
from services.kernel.lane import Start
from services.kernel.operation import About, secret_rotated
from services.kernel.registration import NewSecret, Page, ProjectUsage, Registration, Secret
from services.kernel.subscription import Profile, SignatureScheme, SigningKey, Status
from services.store import certificates
from services.store.cipher import Cipher, Encrypted
from services.store.lanes import start_columns
from services.store.operations import keep
from services.store.options import ages_text, grouping_text, options_of
from services.store.pool import Pool, queries

_ANY = None


class PostgresRegistrations:
    """The `RegistrationStore` of the API."""

    def __init__(self, *, pool: Pool, cipher: Cipher) -> None:
        self._pool = pool
        self._cipher = cipher

    async def check_keys(self) -> None:
        """Raise CipherError where what is stored can't be read: nothing else may be written then.

        One row under a key that workers don't have keeps them all from starting.
        """
        rows = await self._pool.fetch("secret_keys")
        self._cipher.check(row["key_id"] for row in rows)

    async def add(
        self,
        rows: Sequence[tuple[Registration, NewSecret]],
        *,
        starts: Mapping[SubscriptionId, Sequence[Start]] | None = None,
    ) -> None:
        """Store all of them with where they start, or none."""
        sql = queries()
        async with self._pool.transaction() as connection:
            for registration, secret in rows:
                await connection.execute(
                    sql["add_subscription"],
                    registration.id,
                    registration.project_id,
                    *self._settings(registration),
                    registration.created_by,
                    registration.created_at,
                    registration.updated_at,
                    registration.version,
                )
                await self._add_secret(connection, registration.id, secret)
            await connection.execute(sql["add_starts"], *start_columns(starts or {}))

    async def get(self, id_: SubscriptionId) -> Registration | None:
        """Return one that is not deleted, with its failure count."""
        rows = await self._find(id_=id_, limit=1)
        return rows[0] if rows else None

    async def page(
        self,
        *,
        project_id: ProjectId | None,
        among: Collection[str] | None,
        filters: Mapping[str, str],
        page: Page,
    ) -> Sequence[Registration]:
        """Return those of a project (None: of all), newest first."""
        return await self._find(
            project_id=project_id,
            among=among,
            filters=filters,
            before=page.before,
            limit=page.limit,
        )

    async def window(
        self, project_id: ProjectId, *, offset: int, limit: int | None
    ) -> tuple[Sequence[Registration], int]:
        """Return some of a project, newest first, and how many there are."""
        row = await self._pool.fetchrow("count_subscriptions", project_id)
        found = await self._find(project_id=project_id, limit=limit, offset=offset)
        return found, row["total"] if row else 0

    async def usage(self, project_id: ProjectId) -> ProjectUsage:
        """Return how many a project has, and what their filters take."""
        row = await self._pool.fetchrow("project_usage", project_id)
        return ProjectUsage(*row) if row else ProjectUsage(0, 0, 0)

    async def replace(
        self,
        registration: Registration,
        *,
        version: int,
        starts: Sequence[Start] = (),
    ) -> bool:
        """Overwrite it if it still has *version*, with what begins anew; tell whether it had."""
        sql = queries()
        async with self._pool.transaction() as connection:
            replaced = await connection.fetch(
                sql["replace_subscription"],
                registration.id,
                version,
                *self._settings(registration),
                registration.failures_reset_at,
                registration.updated_at,
                1 if starts else 0,
            )
            if not replaced:
                return False
            if starts:
                columns = start_columns({registration.id: starts})
                await connection.execute(sql["add_starts"], *columns)
                await connection.execute(sql["skip_retries"], *columns)
        return True

    async def delete(self, id_: SubscriptionId, *, at: datetime) -> bool:
        """Delete it with its retry rows and lanes; tell whether it was there."""
        sql = queries()
        async with self._pool.transaction() as connection:
            if not await connection.fetch(sql["delete_subscription"], id_, at):
                return False
            await connection.execute(sql["delete_retries"], [id_])
            await connection.execute(sql["delete_health"], [id_])
            await connection.execute(sql["delete_trouble"], [id_])
            await connection.execute(sql["delete_lanes"], [id_])
            await connection.execute(sql["delete_starts"], [id_])
        return True

    async def signing_keys(self, id_: SubscriptionId) -> Sequence[SigningKey]:
        """Return the secrets that sign now, newest first, decrypted."""
        rows = await self._pool.fetch("signing_secrets", [id_])
        return [
            SigningKey(
                SignatureScheme(row["scheme"]),
                self._cipher.decrypt(
                    Encrypted(row["key_id"], row["ciphertext"]), context=row["id"]
                ),
                row["expires_at"].timestamp() if row["expires_at"] else None,
            )
            for row in rows
        ]

    async def secrets(self, id_: SubscriptionId) -> Sequence[Secret]:
        """Return what is known of its secrets, newest first."""
        rows = await self._pool.fetch("list_secrets", id_)
        return [Secret(**{**row, "scheme": SignatureScheme(row["scheme"])}) for row in rows]

    async def rotate(
        self, id_: SubscriptionId, secret: NewSecret, *, previous_expires_at: datetime
    ) -> None:
        """Add a secret; those from before end at *previous_expires_at*, or earlier."""
        async with self._pool.transaction() as connection:
            await connection.execute(queries()["end_secrets"], id_, previous_expires_at)
            await self._add_secret(connection, id_, secret)
            owner = await connection.fetchval(queries()["project_of"], id_)
            about = About(project_id=owner, subscription_id=id_)
            await keep(connection, [secret_rotated(about, previous_expires_at=previous_expires_at)])

    async def end_secret(self, id_: SubscriptionId, secret_id: SecretId, *, at: datetime) -> bool:
        """End a secret now, if another one is left; tell whether it was there."""
        return bool(await self._pool.fetch("end_secret", id_, secret_id, at))

    async def public_keys(self) -> Sequence[tuple[SubscriptionId, SecretId, bytes]]:
        """Return the public keys of all v1a secrets that sign."""
        rows = await self._pool.fetch("public_keys")
        return [(row["subscription_id"], row["id"], row["public_key"]) for row in rows]

    async def _find(
        self,
        *,
        id_: SubscriptionId | None = _ANY,
        project_id: ProjectId | None = _ANY,
        among: Collection[str] | None = None,
        filters: Mapping[str, str] | None = None,
        before: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Registration]:
        asked = filters or {}
        rows = await self._pool.fetch(
            "registrations",
            id_,
            project_id,
            asked.get("status"),
            asked.get("url"),
            asked.get("type"),
            before,
            limit,
            offset,
            among,
        )
        return [self._registration(row) for row in rows]

    async def _add_secret(
        self, connection: asyncpg.Connection, id_: SubscriptionId, secret: NewSecret
    ) -> None:
        sealed = self._cipher.encrypt(secret.key.key, context=secret.id)
        await connection.execute(
            queries()["add_secret"],
            secret.id,
            id_,
            secret.key.scheme.value,
            sealed.key_id,
            sealed.ciphertext,
            secret.public_key,
            secret.created_at,
        )

    def _settings(self, registration: Registration) -> tuple[Any, ...]:
        sealed = self._sealed_headers(registration)
        certificate = certificates.sealed(
            self._cipher, registration.id, registration.client_certificate
        )
        return *_settings(registration, sealed), *certificate

    def _sealed_headers(self, registration: Registration) -> Encrypted | None:
        if not registration.headers:
            return None
        plain = orjson.dumps(dict(registration.headers))
        return self._cipher.encrypt(plain, context=registration.id)

    def _registration(self, row: asyncpg.Record) -> Registration:
        headers: Mapping[str, str] = {}
        if row["headers"] is not None:
            sealed = Encrypted(row["headers_key_id"], row["headers"])
            headers = orjson.loads(self._cipher.decrypt(sealed, context=row["id"]))
        schedule = row["retry_schedule"]
        return Registration(
            id=row["id"],
            project_id=row["project_id"],
            url=row["url"],
            types=tuple(row["types"]),
            description=row["description"],
            headers=tuple(headers.items()),
            client_certificate=certificates.opened(self._cipher, row),
            profile=Profile(row["profile"]),
            expand=tuple(row["expand"]),
            max_in_flight=row["max_in_flight"],
            timeout_seconds=row["timeout_seconds"],
            retry_schedule=None if schedule is None else tuple(schedule),
            start_from=row["start_from"],
            **options_of(row),
            status=Status(row["status"]),
            status_reason=row["status_reason"],
            status_at=row["status_at"],
            failures_reset_at=row["failures_reset_at"],
            failure_count=row["failure_count"],
            signature=SignatureScheme(row["scheme"]),
            created_by=row["created_by"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            version=row["version"],
        )


def _settings(registration: Registration, sealed: Encrypted | None) -> tuple[Any, ...]:
    schedule = registration.retry_schedule
    return (
        registration.url,
        list(registration.types),
        registration.description,
        sealed.ciphertext if sealed else None,
        sealed.key_id if sealed else None,
        registration.profile.value,
        list(registration.expand),
        registration.max_in_flight,
        registration.timeout_seconds,
        None if schedule is None else list(schedule),
        registration.rate_limit,
        registration.ordered.value,
        registration.order_by.value,
        registration.on_exhausted.value,
        grouping_text(registration.delivery),
        registration.filter,
        ages_text(registration.max_age_seconds),
        registration.start_from,
        registration.status.value,
        registration.status_reason,
        registration.status_at,
    )
