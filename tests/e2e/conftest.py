"""What most stories need: a receiver in this process, and topics, group and API of a test's own.

All of them run on tables in which the releases before and after this one have left their columns: so
this one can be rolled out and back beside either.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, Receiver, a_cluster, receiving
from tests.support.databases import connected
from tests.support.neighbours import widen


@pytest.fixture(scope="session")
def template_database(
    event_loop_of_servers: asyncio.Runner, embedded_postgres: str, template_database: str
) -> str:
    name = f"{template_database}_wide"

    async def make() -> None:
        async with connected(embedded_postgres) as connection:
            await connection.execute(f'create database "{name}" template "{template_database}"')
        await widen(embedded_postgres.rpartition("/")[0] + "/" + name)

    event_loop_of_servers.run(make())
    return name


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def cluster(kafka: str, database: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(kafka, database, tmp_path) as cluster:
        yield cluster
