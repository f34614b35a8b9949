"""One stack and one Chromium for all tests of pages, on one loop; each test has a browser of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, StorageState

from tests.support.databases import drop_database, new_database
from tests.support.site import OPERATOR, SCREENSHOTS, Site, Visitor, a_browser, a_site, a_visitor

collect_ignore = [] if SCREENSHOTS else ["test_screenshots.py"]  # `make screenshots` runs it


@pytest.fixture(scope="session")
def site_database(
    event_loop_of_servers: asyncio.Runner, embedded_postgres: str, template_database: str
) -> Iterator[str]:
    """DSN of a database that lasts as long as the site."""
    made = new_database(embedded_postgres, template=template_database, named="site")
    dsn = event_loop_of_servers.run(made)
    yield dsn
    event_loop_of_servers.run(drop_database(embedded_postgres, dsn))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(
    embedded_kafka: str, site_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    folder: Path = tmp_path_factory.mktemp("site")
    async with a_site(embedded_kafka, site_database, folder) as site:
        yield site


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with a_browser() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def signed_in(chromium: Browser, site: Site) -> StorageState:
    """The cookies of the site's owner, who has signed in once."""
    async with a_visitor(chromium, site.url) as visitor:
        await visitor.sign_in(site.key)
        return await visitor.context.storage_state()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def operator_signed_in(chromium: Browser, site: Site) -> StorageState:
    """The cookies of whoever runs the installation."""
    async with a_visitor(chromium, site.url) as visitor:
        await visitor.sign_in(OPERATOR)
        return await visitor.context.storage_state()


@pytest_asyncio.fixture(loop_scope="session")
async def operator(
    chromium: Browser, site: Site, operator_signed_in: StorageState
) -> AsyncIterator[Visitor]:
    """Somebody with the operator's key."""
    async with a_visitor(chromium, site.url, storage_state=operator_signed_in) as visitor:
        yield visitor


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(chromium: Browser, site: Site) -> AsyncIterator[Visitor]:
    """Somebody who hasn't signed in."""
    async with a_visitor(chromium, site.url) as visitor:
        yield visitor


@pytest_asyncio.fixture(loop_scope="session")
async def owner(chromium: Browser, site: Site, signed_in: StorageState) -> AsyncIterator[Visitor]:
    """Somebody with a key of the site's project, who may manage it."""
    async with a_visitor(chromium, site.url, storage_state=signed_in) as visitor:
        yield visitor


@pytest_asyncio.fixture(loop_scope="session")
async def unscripted(
    chromium: Browser, site: Site, signed_in: StorageState
) -> AsyncIterator[Visitor]:
    """The same, with JavaScript switched off."""
    async with a_visitor(
        chromium, site.url, storage_state=signed_in, java_script_enabled=False
    ) as visitor:
        yield visitor
