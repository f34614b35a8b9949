"""Things to store: projects, subscriptions, deliveries; what doesn't matter has a default."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

from services.kernel.attempt import Attempt, Outcome
from services.kernel.delivery import Delivery
from services.kernel.event import Partition, Position
from services.kernel.ids import ProjectId, SecretId, SubscriptionId
from services.kernel.ports.store.partitions import Stand
from services.kernel.ports.store.sources import SubscriptionSource
from services.kernel.registration import NewSecret, Project, Registration
from services.kernel.subscription import (
    ClientCertificate,
    SignatureScheme,
    SigningKey,
    Subscription,
)
from services.store.cipher import Cipher
from services.store.pool import Pool
from services.store.projects import PostgresProjects
from services.store.registrations import PostgresRegistrations

NOW = datetime(2026, 3, 17, 9, 40, 51, tzinfo=UTC)
EVENTS = Partition("planner.events", 0)
PROJECT = ProjectId("5e208446c97efa37d4830b01")

_numbers = count(1)


def an_id(n: int | None = None) -> str:
    """Return an id, each one above those before."""
    return f"{next(_numbers) if n is None else n:024x}"


def a_cipher(*keys: bytes) -> Cipher:
    return Cipher(keys=keys or (bytes(32),), entropy=os.urandom)


@asynccontextmanager
async def a_pool(dsn: str, *, size: int = 4) -> AsyncIterator[Pool]:
    pool = Pool(dsn=dsn, size=size, seconds=10.0)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


def a_stand(epoch: int, committed: int | None) -> Stand:
    """Where an owner is that has read a little more than it has committed."""
    return Stand(epoch, committed, read=(committed or 0) + 5, open=5)


async def a_project(pool: Pool, id_: str = PROJECT) -> ProjectId:
    project = Project(id=ProjectId(id_), name="A project", created_at=NOW, updated_at=NOW)
    await PostgresProjects(pool=pool).add(project)
    return project.id


def a_registration(**fields: object) -> Registration:
    return Registration(
        **{
            "id": SubscriptionId(an_id()),
            "project_id": PROJECT,
            "url": "https://example.com/hook",
            "types": ("*",),
            "status_at": NOW,
            "created_by": "admin",
            "created_at": NOW,
            "updated_at": NOW,
            **fields,
        }
    )


async def everybody(source: SubscriptionSource) -> list[Subscription]:
    """Return all subscriptions as a worker reads them."""
    return [each async for page in source.load_all() for each in page]


def a_certificate(subject: str = "CN=hooks.example.com") -> ClientCertificate:
    """Return one that no TLS has seen: texts of it and its key."""
    return ClientCertificate(
        "a certificate", f"the hidden key of {subject}", subject, NOW.timestamp(), "0" * 64
    )


def a_secret(
    scheme: SignatureScheme = SignatureScheme.V1, *, key: bytes | None = None, at: datetime = NOW
) -> NewSecret:
    public = bytes(32) if scheme is SignatureScheme.V1A else None
    return NewSecret(
        SecretId(an_id()), SigningKey(scheme, os.urandom(32) if key is None else key), public, at
    )


async def a_subscription(pool: Pool, **fields: object) -> SubscriptionId:
    """Store a subscription with a secret, its project being there."""
    registration = a_registration(**fields)
    store = PostgresRegistrations(pool=pool, cipher=a_cipher())
    await store.add([(registration, a_secret())])
    return registration.id


def a_delivery(
    subscription_id: SubscriptionId,
    *,
    offset: int = 0,
    partition: Partition = EVENTS,
    epoch: int = 1,
    **fields: object,
) -> Delivery:
    return Delivery(
        **{
            "position": Position(partition, offset),
            "epoch": epoch,
            "subscription_id": subscription_id,
            "event_id": f"event-{offset}",
            "type": "plan.created",
            "body": b'{"id":"%d"}' % offset,
            "content_type": "application/json; charset=utf-8",
            "key": "plan-1",
            "project_id": PROJECT,
            "timestamp_ms": 1_774_000_000_000,
            **fields,
        }
    )


def an_attempt(outcome: Outcome = Outcome.HTTP, **fields: object) -> Attempt:
    return Attempt(
        **{
            "outcome": outcome,
            "started_at": NOW.timestamp(),
            "seconds": 0.1,
            "status": 500,
            **fields,
        }
    )


def after(seconds: float) -> datetime:
    """Return the moment *seconds* after NOW."""
    return NOW + timedelta(seconds=seconds)
