"""The native API, `/v1`, served by a process of its own: what callers are told, and what is changed."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from services.broker.topics import TOPICS, create_missing
from tests.support.cluster import (
    Cluster,
    Receiver,
    a_cluster,
    receiving,
)
from tests.support.databases import a_database
from tests.support.group import a_connection
from tests.support.native import Caller, with_key

OURS = pytest_asyncio.fixture(loop_scope="package")


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def cluster(
    embedded_kafka: str,
    embedded_postgres: str,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Cluster]:
    """One API process for all tests of this folder; each has a project of its own."""
    await create_missing(a_connection(embedded_kafka), TOPICS, replication_factor=1)
    folder = tmp_path_factory.mktemp("api")
    async with (
        a_database(embedded_postgres, template=template_database) as dsn,
        a_cluster(embedded_kafka, dsn, folder) as cluster,
    ):
        yield cluster


@OURS
async def operator(cluster: Cluster) -> AsyncIterator[Caller]:
    """Who has the admin key."""
    async with ClientSession(cluster.api) as session:
        yield Caller(session)
    errors = [line for process in cluster.processes for line in process.lines()]
    assert [line for line in errors if line["event"] == "api_error"] == []


@OURS
async def owner(operator: Caller) -> Caller:
    """Who has a key of a new project that may do all that such a key may."""
    project = (await operator("POST", "/v1/projects", {"name": "A project"})).json["id"]
    return await with_key(operator, project, "manage", "ingest")


@OURS
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver
