"""What most stories need: a receiver in this process, and topics, group and API of a test's own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, Receiver, a_cluster, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def cluster(kafka: str, database: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(kafka, database, tmp_path) as cluster:
        yield cluster
