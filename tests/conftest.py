"""Real servers, one of each per run; a fresh database per test; guards that hold for all tests."""

import asyncio
import logging
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from services.dev.kafka import EmbeddedKafka
from services.dev.postgres import EmbeddedPostgres
from services.run.probes import kafka_answers, postgres_answers
from services.store.migrate import migrate
from tests.support.databases import a_database, new_database

REQUIRE_TOOLS = os.environ.get("REQUIRE_TOOLS") == "1"
OUTSIDE_KAFKA = os.environ.get("WEBHOOKS_TEST_KAFKA")
OUTSIDE_POSTGRES = os.environ.get("WEBHOOKS_TEST_POSTGRES")
LONG = os.environ.get("WEBHOOKS_TEST_LONG") == "1"
HERE = Path(__file__).resolve().parent
FOLDERS = ("browser", "e2e", "simulation", "integration", "contract", "unit")
SHARED = Path(__file__).resolve().parents[2] / "shared"

settings.register_profile("ours", deadline=None)  # a busy machine is no fault of an example
settings.load_profile("ours")

for _name in [name for name in os.environ if name.startswith("WEBHOOKS_")]:
    if not _name.startswith("WEBHOOKS_TEST_"):
        del os.environ[_name]  # no test depends on what its caller has configured


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="full counts and figures: run `make test-long`")
    for item in items:
        if "long" in item.keywords and not LONG:
            item.add_marker(skip)
    # Files that take minutes come first: at the end of the run the jobs share out short ones, and none
    # works alone. Within a folder the order is the random one.
    items.sort(key=lambda item: FOLDERS.index(item.path.relative_to(HERE).parts[0]))


class OneBrowser(LoadFileScheduling):
    """A job takes a file at a time, and one job all files of pages: Chromium wants a core of its own.

    Of the simulation's stories it takes a hundred at a time: each is alone in its world.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("tests/browser/"):
            return "browser"
        if nodeid.startswith("tests/simulation/test_simulation.py"):
            return nodeid[: -len("00]")]
        return super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneBrowser | None:
    return OneBrowser(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def event_loop_of_servers() -> Iterator[asyncio.Runner]:
    """One loop, for the servers alone, that lives as long as the run."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Not one of pytest's: each run closes the folder above those, and root's Postgres is another
    user."""
    with tempfile.TemporaryDirectory(prefix="planner-webhooks-tests-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def embedded_kafka(event_loop_of_servers: asyncio.Runner, servers_folder: Path) -> Iterator[str]:
    if OUTSIDE_KAFKA:
        yield OUTSIDE_KAFKA
        return
    server = EmbeddedKafka(servers_folder / "kafka", probe=kafka_answers)
    event_loop_of_servers.run(server.start())
    yield server.bootstrap_servers
    event_loop_of_servers.run(server.kill())


@pytest.fixture(scope="session")
def embedded_postgres(event_loop_of_servers: asyncio.Runner, servers_folder: Path) -> Iterator[str]:
    if OUTSIDE_POSTGRES:
        yield OUTSIDE_POSTGRES
        return
    server = EmbeddedPostgres(servers_folder / "postgres", probe=postgres_answers)
    yield event_loop_of_servers.run(server.start())
    event_loop_of_servers.run(server.kill())


@pytest.fixture(scope="session")
def template_database(event_loop_of_servers: asyncio.Runner, embedded_postgres: str) -> str:
    async def make() -> str:
        dsn = await new_database(embedded_postgres, named="template")
        await migrate(dsn)
        return dsn.rpartition("/")[2]

    return event_loop_of_servers.run(make())


@pytest.fixture
def kafka(embedded_kafka: str) -> str:
    """Address of a real Kafka; topics and groups are the test's own."""
    return embedded_kafka


@pytest.fixture
async def database(embedded_postgres: str, template_database: str) -> AsyncIterator[str]:
    """DSN of a fresh database with today's schema."""
    async with a_database(embedded_postgres, template=template_database) as dsn:
        yield dsn


@pytest.fixture
def shared() -> Path:
    """The folder of worked examples beside the repository, where there is one."""
    if not SHARED.is_dir():
        pytest.skip(f"the worked examples are not here: {SHARED.name}/ beside the repository")
    return SHARED


@pytest.fixture(autouse=True)
def _guards(request: pytest.FixtureRequest) -> Iterator[None]:
    """No blocking call on the loop; in unit tests, no network either."""
    folder = request.path.relative_to(Path(__file__).parent).parts[0]
    if folder not in ("unit", "simulation"):
        yield
        return
    with blockbuster_ctx("services"), pytest.MonkeyPatch.context() as patch:
        if folder == "unit":
            patch.setattr(socket.socket, "connect", _no_network)
        yield


@pytest.fixture(autouse=True)
def _no_unexpected_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A lost exception of a task is told of in asyncio's log alone."""
    yield
    lost = [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.name == "asyncio" and record.levelno >= logging.ERROR
    ]
    assert not lost, lost


def _no_network(*_: object) -> None:
    raise AssertionError("a unit test opens no connection")
