"""`planner-webhooks dispatch`: builds a worker on real Kafka, real Postgres and the real network."""

import asyncio
import gc
import os
import random
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
import uvloop

from services.dispatch.assemble import Options, Ports, assemble
from services.dispatch.limits import Limits
from services.dispatch.worker import Worker
from services.kernel.clock import SystemClock
from services.settings import Settings

log = structlog.get_logger()


def limits(settings: Settings) -> Limits:
    """Derive the worker's bounds from the settings."""
    dispatch, retry = settings.dispatch, settings.retry
    return Limits(
        commit_interval=dispatch.commit_interval_ms / 1000,
        revoke=dispatch.revoke_seconds,
        park_after=dispatch.park_after_seconds,
        overflow=dispatch.overflow_seconds,
        retry_poll=retry.poll_seconds,
        reload=dispatch.reload_seconds,
        window_open=dispatch.window_open,
        window_offsets=dispatch.window_offsets,
        window_bytes=dispatch.window_bytes,
        budget_rows=retry.budget_rows,
        budget_bytes=retry.budget_bytes,
        max_body_bytes=settings.deliver.max_body_bytes,
    )


def instance(settings: Settings) -> str:
    """Return the name of this worker: what is set, else the host's."""
    return settings.dispatch.instance or socket.gethostname()
