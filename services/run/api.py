"""`planner-webhooks api`: builds the REST API on real Kafka, real Postgres and the real network."""

import asyncio
import os
import random
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

import structlog
import uvloop
from aiohttp import web

from services.api import asyncapi, openapi
from services.api.again import AgainRoutes
from services.api.app import Native, problems
from services.api.audit import AuditRoutes
from services.api.backlog import BacklogRoutes
from services.api.descriptions import Descriptions
from services.api.edge import IDLE_SECONDS, MAX_LINE_BYTES, harden
from services.api.egress import EgressRoutes
from services.api.events import EventRoutes
from services.api.filters import FilterRoutes
from services.api.geofences import GeofenceRoutes
from services.api.history import HistoryRoutes
from services.api.journal import JournalRoutes
from services.api.lanes import LaneRoutes
from services.api.once import Once
from services.api.planner import Planner
from services.api.portal import PortalRoutes
from services.api.projects import ProjectRoutes
from services.api.replays import ReplayRoutes
from services.api.routes import native
from services.api.subscriptions import SubscriptionRoutes
from services.broker.offsets import KafkaOffsets
from services.broker.reader import KafkaLogReader, ReaderOptions
from services.broker.topics import DAY_MS, TOPICS
from services.control.access import Access, weakness
from services.control.answers import Answers
from services.control.audit import Audit
from services.control.backlog import Backlogs
from services.control.batches import Batches
from services.control.dead_letters import DeadLetters
from services.control.dry_runs import DryRuns
from services.control.dry_runs import Limits as DryRunLimits
from services.control.dry_runs import Runner as DryRunner
from services.control.fields import Bounds, Fields
from services.control.filters import Filters
from services.control.from_log import FromLog
from services.control.geofences import Geofences
from services.control.history import History
from services.control.ingest import Ingest
from services.control.journal import Journal, Readers
from services.control.keys import Keys
from services.control.lanes import Lanes
from services.control.log_begins import Log
from services.control.match_counts import MatchCounts
from services.control.matches import Matches
from services.control.portal import PortalLinks
from services.control.projects import Projects
from services.control.rates import Rates
from services.control.replay_counts import Counts
from services.control.replays import Replays
from services.control.requests import Requests
from services.control.resending import Runner
from services.control.resends import Kept, Resends
from services.control.starts import Starts
from services.control.subscriptions import Subscriptions
from services.control.tail import Tail
from services.control.test_calls import TestCalls
from services.control.test_days import TestDays
from services.control.volumes import Volumes
from services.deliver.http import NameChecker
from services.deliver.send import SigningSender
from services.dev.day import of_one_van as day_of_one_van
from services.feed.decode import Decoder
from services.kernel.clock import Clock, SystemClock
from services.kernel.errors import StoreGoneError
from services.kernel.ports.broker import LogReader
from services.kernel.ports.history import Unrecorded
from services.observe import metrics
from services.observe.health import Standing
from services.record import codec
from services.run import parts
from services.run.dashboard import add_dashboard
from services.settings import Settings
from services.store.audit import PostgresAudit
from services.store.backlog import PostgresBacklog
from services.store.counts import PostgresMatchCounts
from services.store.dead_letters import PostgresDeadLetters
from services.store.dry_runs import PostgresDryRuns
from services.store.geofences import PostgresGeofences
from services.store.history import PostgresHistory
from services.store.idempotency import PostgresAnswers
from services.store.keys import PostgresKeys
from services.store.pool import Pool
from services.store.portal_links import PostgresPortalLinks
from services.store.projects import PostgresApiKeys, PostgresProjects
from services.store.registrations import PostgresRegistrations
from services.store.replays import PostgresReplays
from services.store.resends import PostgresResends

log = structlog.get_logger()

CLEAN_SECONDS = 3600.0
EVICT_SECONDS = 60.0
PING_SECONDS = 2.0
SHUTDOWN_SECONDS = 5.0
RESOLVE_SECONDS = 3.0
HEADS = ReaderOptions(max_partition_fetch_bytes=16 << 10)
"""Of readers that want one record of each of many partitions: a page would wait for megabytes of each."""


class Expire(Protocol):
    """Forgets what is older than a moment."""

    async def __call__(self, *, before: datetime) -> None:
        """Forget it. Raises StoreGoneError."""


class Chore(NamedTuple):
    """Something that is kept for a while."""

    what: str
    expire: Expire
    kept: timedelta


Background: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""What runs beside the requests, until it is cancelled."""


def main(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises StartError."""
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        standing = await parts.standing(settings, stack)
        app, pool, background = await _build(settings, stack, standing)
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await _listen(app, settings.api.listen, stack)
        standing.started(lambda: _trouble(app))
        log.info("api_starts", listen=settings.api.listen)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work()) for work in background]
            tasks.append(group.create_task(_watch(pool, app)))
            await stopping.wait()
            for task in tasks:
                task.cancel()
    log.info("api_stopped")


TROUBLE = web.AppKey("trouble", list[str])


def _trouble(app: web.Application) -> str | None:
    return app[TROUBLE][0] if app[TROUBLE] else None


async def _build(
    settings: Settings, stack: AsyncExitStack, standing: Standing
) -> tuple[web.Application, Pool, Sequence[Background]]:
    clock = SystemClock()
    admin_key = _admin_key(settings)
    cipher = parts.cipher(settings)
    pool = await parts.pool(settings, stack, standing=standing)
    producer = await parts.producer(settings, stack, standing=standing)
    policy = parts.policy(settings)
    client = await stack.enter_async_context(parts.client(settings, policy))

    projects = PostgresProjects(pool=pool)
    keys = PostgresApiKeys(pool=pool)
    links = PostgresPortalLinks(pool=pool)
    access = Access(
        keys=keys,
        links=links,
        projects=projects,
        admin_key=admin_key,
        rates=Rates(per_second=settings.api.key_requests_per_second, monotonic=clock.monotonic),
        clock=clock,
    )
    fields = Fields(
        Bounds(
            policy=policy,
            resolver=NameChecker(policy=policy, seconds=RESOLVE_SECONDS),
            max_in_flight=settings.deliver.max_in_flight_per_subscription,
            timeout_seconds=settings.deliver.timeout_seconds,
        ),
        clock=clock,
    )
    entries = PostgresAudit(pool=pool)
    audit = Audit(store=entries, clock=clock, entropy=os.urandom)
    registrations = PostgresRegistrations(pool=pool, cipher=cipher)
    await registrations.check_keys()
    fences = PostgresGeofences(pool=pool)
    filters = Filters(access=access, geofences=fences)
    offsets = await _offsets(settings, stack, standing)
    subscriptions = Subscriptions(
        store=registrations,
        access=access,
        fields=fields,
        filters=filters,
        starts=Starts(offsets=offsets, topics=parts.topics(settings)),
        audit=audit,
        clock=clock,
        entropy=os.urandom,
    )
    attempts = parts.attempts(settings, producer, worker=f"api/{socket.gethostname()}", clock=clock)
    sender = SigningSender(
        client=client,
        clock=clock,
        user_agent=parts.user_agent(settings),
        randbytes=random.Random(os.urandom(16)).randbytes,  # noqa: S311 - ids of spans, no secrets
    )
    test_calls = TestCalls(
        attempts=attempts or Unrecorded(),
        subscriptions=subscriptions,
        fields=fields,
        sender=sender,
        client=client,
        clock=clock,
        entropy=os.urandom,
        max_body_bytes=settings.deliver.max_body_bytes,
        user_agent=parts.user_agent(settings),
    )
    ingest = Ingest(
        producer=producer,
        access=access,
        clock=clock,
        entropy=os.urandom,
        max_record_bytes=settings.kafka.max_record_bytes,
    )
    answers = PostgresAnswers(pool=pool, cipher=cipher)
    make_reader = partial(KafkaLogReader, connection=parts.connection(settings))
    journal = _journal(settings, stack, make_reader, offsets, subscriptions, fences, clock)
    tail = Tail(
        make_reader=make_reader,
        offsets=offsets,
        journal=journal,
        attempts_topic=settings.record.topic if settings.record.enabled else None,
        decode=codec.decode,
        clock=clock,
    )
    log_ = Log(topics=parts.topics(settings), offsets=offsets, reader=make_reader)
    replays = Replays(
        store=PostgresReplays(pool=pool),
        log=log_,
        subscriptions=subscriptions,
        counts=Counts(
            log=log_,
            decoder=Decoder(max_bytes=settings.kafka.max_record_bytes),
            clock=clock,
            max_body_bytes=settings.deliver.max_body_bytes,
        ),
        audit=audit,
        clock=clock,
        entropy=os.urandom,
    )
    letters, jobs, kept_attempts, batches = (
        PostgresDeadLetters(pool=pool),
        PostgresResends(pool=pool),
        PostgresHistory(pool=pool),
        Batches(journal=journal, max_body_bytes=settings.deliver.max_body_bytes),
    )
    readers, history = _readers(stack, make_reader), History(store=kept_attempts, clock=clock)
    heads = _readers(stack, partial(make_reader, options=HEADS))
    resends = Resends(
        store=jobs,
        kept=Kept(
            letters=letters, history=kept_attempts, journal=journal, batches=batches, log=log_
        ),
        subscriptions=subscriptions,
        audit=audit,
        clock=clock,
        entropy=os.urandom,
    )
    runner = Runner(
        store=jobs,
        history=kept_attempts,
        from_log=FromLog(
            readers=readers,
            offsets=offsets,
            registrations=registrations,
            batches=batches,
            decoder=Decoder(max_bytes=settings.kafka.max_record_bytes),
            max_body_bytes=settings.deliver.max_body_bytes,
            clock=clock,
        ),
        clock=clock,
        name=f"{socket.gethostname()}/{os.getpid()}",
    )
    dry_runs, match_counts, waiting = (
        PostgresDryRuns(pool=pool),
        PostgresMatchCounts(pool=pool),
        PostgresBacklog(pool=pool),
    )
    rehearsing = DryRunner(
        readers=readers,
        offsets=offsets,
        topics=parts.topics(settings),
        decoder=Decoder(max_bytes=settings.kafka.max_record_bytes),
        store=dry_runs,
        registrations=registrations,
        filters=filters,
        limits=DryRunLimits(
            events=settings.api.dry_run_events, seconds=settings.api.dry_run_seconds
        ),
        clock=clock,
        name=f"{socket.gethostname()}/{os.getpid()}",
    )
    backlogs = Backlogs(
        store=waiting,
        offsets=offsets,
        topics=parts.topics(settings),
        readers=heads,
        subscriptions=subscriptions,
        clock=clock,
    )
    routes = native(
        projects=ProjectRoutes(
            Projects(store=projects, keys=keys, audit=audit, clock=clock, entropy=os.urandom)
        ),
        subscriptions=SubscriptionRoutes(
            subscriptions,
            test_calls,
            Keys(store=PostgresKeys(pool=pool), subscriptions=subscriptions, audit=audit),
            MatchCounts(store=match_counts, clock=clock),
            backlogs,
            test_days=TestDays(
                calls=test_calls,
                subscriptions=subscriptions,
                journal=journal,
                day=day_of_one_van,
                clock=clock,
            ),
            history=history,
        ),
        events=EventRoutes(ingest, Volumes(store=match_counts, clock=clock)),
        audit=AuditRoutes(audit),
        again=AgainRoutes(DeadLetters(store=letters, audit=audit), resends),
        journal=JournalRoutes(journal, tail),
        history=HistoryRoutes(
            history,
            Requests(
                subscriptions=subscriptions,
                journal=journal,
                batches=batches,
                store=kept_attempts,
                headers=sender.headers,
                max_body_bytes=settings.deliver.max_body_bytes,
            ),
            clock=clock,
        ),
        geofences=GeofenceRoutes(
            Geofences(
                store=fences,
                access=access,
                audit=audit,
                clock=clock,
                entropy=os.urandom,
            )
        ),
        filters=FilterRoutes(
            filters,
            DryRuns(
                store=dry_runs,
                filters=filters,
                subscriptions=subscriptions,
                clock=clock,
                entropy=os.urandom,
            ),
            Matches(journal=journal, subscriptions=subscriptions, filters=filters),
            clock,
        ),
        replays=ReplayRoutes(replays, clock=clock),
        lanes=LaneRoutes(
            Lanes(
                store=waiting,
                offsets=offsets,
                topics=parts.topics(settings),
                readers=heads,
                clock=clock,
            )
        ),
        backlogs=BacklogRoutes(backlogs),
        egress=EgressRoutes(
            addresses=settings.deliver.egress_addresses or settings.deliver.source_addresses,
            next_addresses=settings.deliver.egress_next_addresses,
            next_from=settings.deliver.egress_next_from,
        ),
        portal=PortalRoutes(
            PortalLinks(
                store=links,
                access=access,
                subscriptions=subscriptions,
                audit=audit,
                clock=clock,
                entropy=os.urandom,
            ),
            public_url=settings.dashboard.public_url,
        ),
    )
    app = web.Application(middlewares=[problems], client_max_size=settings.api.max_body_bytes)
    app[TROUBLE] = []
    harden(app)
    app.on_shutdown.append(tail.stop)
    once = Once(Answers(store=answers, clock=clock, hours=settings.api.idempotency_hours))
    Native(
        routes=routes,
        access=access,
        once=once,
        ready=lambda: _trouble(app),
        descriptions=Descriptions(openapi=openapi.document(routes), asyncapi=asyncapi_document()),
        max_body_bytes=settings.api.max_body_bytes,
    ).add_to(app)
    Planner(
        subscriptions=subscriptions,
        test_calls=test_calls,
        access=access,
        max_body_bytes=settings.api.max_body_bytes,
    ).add_to(app)
    add_dashboard(app, settings, routes, once=once, access=access, cipher=cipher, clock=clock)
    chores = [
        Chore("answers", answers.expire, timedelta(hours=settings.api.idempotency_hours)),
        Chore("audit", entries.expire, timedelta(days=settings.api.audit_days)),
        Chore("portal_links", links.expire, timedelta(days=30)),
        Chore("dry_runs", dry_runs.expire, timedelta(days=1)),
        Chore("match_counts", match_counts.expire, timedelta(days=1, hours=1)),
        Chore("dead_letters", letters.expire, timedelta(days=settings.retry.dead_letter_days)),
    ]
    background: list[Background] = [
        partial(_clean, chores),
        partial(_evict, letters, settings.retry.dead_letter_bytes),
        runner.run,
        rehearsing.run,
    ]
    return app, pool, [*background, *([attempts.run] if attempts else [])]


def asyncapi_document() -> bytes:
    """Return what describes the topics that `migrate` makes."""
    topics = [
        asyncapi.LogTopic(
            topic.name,
            topic.partitions,
            None if topic.retention_days is None else topic.retention_days * DAY_MS,
        )
        for topic in TOPICS
    ]
    return asyncapi.document(topics)


def _admin_key(settings: Settings) -> str | None:
    """Return the operator's key. Raises StartError where it could be guessed."""
    if settings.api.admin_key is None:
        return None
    key = settings.api.admin_key.get_secret_value()
    weak = weakness(key)
    if weak is not None:
        raise parts.StartError(f"WEBHOOKS_API__ADMIN_KEY {weak}")
    return key


async def _offsets(settings: Settings, stack: AsyncExitStack, standing: Standing) -> KafkaOffsets:
    found = KafkaOffsets(connection=parts.connection(settings), group=settings.kafka.group)
    stack.push_async_callback(found.stop)
    seconds = settings.dispatch.start_timeout_seconds
    await parts.waited_for("Kafka", found.start, seconds=seconds, standing=standing)
    return found


def _readers(stack: AsyncExitStack, make: Callable[[], LogReader]) -> Readers:
    found = Readers(make)
    stack.push_async_callback(found.stop)
    return found


def _journal(  # noqa: PLR0917 - its parts
    settings: Settings,
    stack: AsyncExitStack,
    make_reader: Callable[[], LogReader],
    offsets: KafkaOffsets,
    subscriptions: Subscriptions,
    fences: PostgresGeofences,
    clock: Clock,
) -> Journal:
    return Journal(
        readers=_readers(stack, make_reader),
        offsets=offsets,
        topics=parts.topics(settings),
        subscriptions=subscriptions,
        geofences=fences,
        decoder=Decoder(max_bytes=settings.kafka.max_record_bytes),
        max_body_bytes=settings.deliver.max_body_bytes,
        clock=clock,
    )


async def _listen(app: web.Application, listen: str, stack: AsyncExitStack) -> None:
    host, _, port = listen.rpartition(":")
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=SHUTDOWN_SECONDS,
        keepalive_timeout=IDLE_SECONDS,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_LINE_BYTES,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, host.strip("[]") or "127.0.0.1", int(port)).start()
    except OSError as error:
        raise parts.StartError(
            f"can't listen on {listen}: {error.strerror}; choose another with WEBHOOKS_API__LISTEN"
        ) from error


async def _watch(pool: Pool, app: web.Application) -> None:
    """Be ready while Postgres answers."""
    while True:
        try:
            async with pool.connection() as connection:
                await connection.execute("select 1")
            app[TROUBLE].clear()
        except StoreGoneError as error:
            app[TROUBLE][:] = [str(error)]
        await asyncio.sleep(PING_SECONDS)


async def _clean(chores: Sequence[Chore]) -> None:
    """Forget what nobody may ask for any more."""
    clock = SystemClock()
    while True:
        for chore in chores:
            try:
                await chore.expire(before=clock.now() - chore.kept)
            except StoreGoneError as error:
                log.warning("cleaning_waits", what=chore.what, error=str(error))
        await asyncio.sleep(CLEAN_SECONDS)


async def _evict(letters: PostgresDeadLetters, most: int) -> None:
    """Forget the oldest dead letters of projects that have too many bytes of them; say so."""
    while True:
        try:
            for project_id, count in (await letters.evict(bytes_=most)).items():
                metrics.DEAD_LETTERS_EVICTED.inc(count)
                log.warning("dead_letters_evicted", project_id=project_id, count=count)
        except StoreGoneError as error:
            log.warning("cleaning_waits", what="dead_letters", error=str(error))
        await asyncio.sleep(EVICT_SECONDS)
