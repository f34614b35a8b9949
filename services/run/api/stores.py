"""What the API keeps in Postgres, a table or a family of tables each."""

from typing import NamedTuple

from services.store.audit import PostgresAudit
from services.store.backlog import PostgresBacklog
from services.store.cipher import Cipher
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


class Stores(NamedTuple):
    """One store a noun."""

    projects: PostgresProjects
    api_keys: PostgresApiKeys
    portal_links: PostgresPortalLinks
    audit: PostgresAudit
    answers: PostgresAnswers
    registrations: PostgresRegistrations
    keys: PostgresKeys
    geofences: PostgresGeofences
    replays: PostgresReplays
    resends: PostgresResends
    dead_letters: PostgresDeadLetters
    history: PostgresHistory
    match_counts: PostgresMatchCounts
    dry_runs: PostgresDryRuns
    backlog: PostgresBacklog


def stores(pool: Pool, cipher: Cipher) -> Stores:
    """Return them on one pool of connections; *cipher* is for what is secret."""
    return Stores(
        projects=PostgresProjects(pool=pool),
        api_keys=PostgresApiKeys(pool=pool),
        portal_links=PostgresPortalLinks(pool=pool),
        audit=PostgresAudit(pool=pool),
        answers=PostgresAnswers(pool=pool, cipher=cipher),
        registrations=PostgresRegistrations(pool=pool, cipher=cipher),
        keys=PostgresKeys(pool=pool),
        geofences=PostgresGeofences(pool=pool),
        replays=PostgresReplays(pool=pool),
        resends=PostgresResends(pool=pool),
        dead_letters=PostgresDeadLetters(pool=pool),
        history=PostgresHistory(pool=pool),
        match_counts=PostgresMatchCounts(pool=pool),
        dry_runs=PostgresDryRuns(pool=pool),
        backlog=PostgresBacklog(pool=pool),
    )
