"""What most tests of the API begin with; who needs it otherwise has a fixture of that name at hand."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from services.broker.topics import TOPICS, create_missing
from tests.support.api import ServedApi, an_api
from tests.support.group import a_connection
from tests.support.native import Caller


@pytest.fixture
async def topics(kafka: str) -> None:
    """All that `migrate` makes."""
    await create_missing(a_connection(kafka), TOPICS, replication_factor=1)


@pytest.fixture
async def api(kafka: str, database: str) -> AsyncIterator[ServedApi]:
    """The API, with a project and a key of it."""
    async with an_api(kafka, database) as api:
        yield api


@pytest.fixture
async def owner(api: ServedApi) -> AsyncIterator[Caller]:
    """Who has that key."""
    async with ClientSession(api.url) as session:
        yield Caller(session, api.key, api.project)
