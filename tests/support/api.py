"""The real API in the test's own process, on real Kafka and Postgres."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
from aiohttp import ClientSession, web

from services.api.server import Runner
from services.observe.health import Standing
from services.run.api.role import build
from services.settings import Settings
from services.settings.serving import Api, Dashboard
from services.settings.shared import Kafka, Postgres, Secrets
from services.settings.working import Deliver

SECRETS_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
ADMIN_KEY = "priv_admin_for_tests_only_0123456789abcdef"


@dataclass
class Answered:
    """What the API said."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        return orjson.loads(self.text)


@dataclass
class ServedApi:
    """Where it listens, and one project with a key of its own."""

    url: str
    dsn: str
    session: ClientSession
    project: str = ""
    key: str = ""
    others: list[tuple[str, str]] = field(default_factory=list)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        key: str | None = ADMIN_KEY,
        **request: Any,  # noqa: ANN401 - as aiohttp takes it
    ) -> Answered:
        """Make one request to exactly *path*; *key* goes into the header."""
        headers = {**request.pop("headers", {})}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        async with self.session.request(
            method, f"{self.url}{path}", headers=headers, allow_redirects=False, **request
        ) as response:
            return Answered(response.status, response.headers, await response.text())

    async def native(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Call the native API as its operator; it must succeed."""
        answered = await self.ask(method, path, json=body)
        assert answered.status < 300, answered
        return answered.json

    async def new_project(self, *scopes: str) -> tuple[str, str]:
        """Return a new project's id, and a key of it."""
        project = await self.native("POST", "/v1/projects", {"name": "test"})
        key = await self.native(
            "POST",
            f"/v1/projects/{project['id']}/api-keys",
            {"name": "test", "scopes": list(scopes or ("manage",))},
        )
        return project["id"], key["key"]

    async def sql(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()


@asynccontextmanager
async def an_api(
    kafka: str,
    dsn: str,
    *,
    deliver: Deliver | None = None,
    dashboard: Dashboard | None = None,
    **settings: Any,  # noqa: ANN401 - of the section `api`
) -> AsyncIterator[ServedApi]:
    """Serve it on a free port; loopback and http:// are allowed unless *deliver* says otherwise."""
    chosen = Settings(
        kafka=Kafka(bootstrap_servers=kafka),
        postgres=Postgres(dsn=dsn),
        secrets=Secrets(key=SECRETS_KEY),
        api=Api(admin_key=ADMIN_KEY, **settings),
        dashboard=dashboard or Dashboard(),
        deliver=deliver or Deliver(allow_networks=("127.0.0.0/8",), allow_http=True),
    )
    async with AsyncExitStack() as stack:
        app = (await build(chosen, stack, Standing())).app
        runner = Runner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        session = await stack.enter_async_context(ClientSession())
        served = ServedApi(f"http://127.0.0.1:{port}", dsn, session)
        served.project, served.key = await served.new_project()
        yield served
