"""The dashboard as people meet it: real processes, a project with a history, Chromium in front of it."""

import asyncio
import os
import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    async_playwright,
)
from playwright.async_api import TimeoutError as TooLate

from services.catalogue import examples
from tests.support.cluster import (
    ADMIN_KEY,
    Cluster,
    Put,
    Receiver,
    a_cluster,
    create_topics,
    receiving,
)
from tests.support.eventually import eventually
from tests.support.tools import missing, tool

NPM = Path(__file__).resolve().parents[1] / "browser" / "npm"
CACHE = Path.home() / ".cache" / "planner-webhooks"
TYPES = (
    "plan.created", "plan.optimized", "route.created", "route.started", "stop.created",
    "stop.report.completed", "stop.report.canceled", "vehicle.updated", "customer.created",
)  # fmt: skip
SOON_MS, TRIES = 12_000, 4
"""An open page looks at once after an event and once more 4 s later. On a busy machine one may be stored
later still: it is seen with the next."""
FAILED_LOAD = "Failed to load resource"
"""What Chromium says of each page that isn't answered with 2xx; the test knows that itself."""


@dataclass
class Site:
    """What is there to look at."""

    cluster: Cluster
    receiver: Receiver
    healthy: str
    """A webhook whose receiver answers 200."""
    failing: str
    """One whose receiver answers 500."""
    key: str
    """Of its project, with the scope `manage`."""
    reader: str
    """Of its project, with the scope `read` alone."""
    outsider: str
    """Of another project, that has nothing."""
    dead: str = ""
    """A webhook without retries, whose receiver answers 404."""
    delivery: str = ""
    """One that failed and will be retried."""
    event: str = ""
    """Where its event stands: topic/partition/offset."""
    replay: str = ""
    resend: str = ""
    dry_run: str = ""
    """A job that tried a filter on what happened."""

    @property
    def url(self) -> str:
        return self.cluster.api

    async def put(self, type_: str, **data: object) -> str:
        """Produce the example of a type, of this project; return its id."""
        example = examples()[type_]
        id_ = uuid.uuid4().hex[:24]
        body = {**example, "id": id_, "project_id": self.cluster.project}
        body["data"] = {**example["data"], **data}
        await self.cluster.put(Put(orjson.dumps(body), key=self.cluster.project.encode()))
        return id_


@asynccontextmanager
async def a_site(kafka: str, dsn: str, folder: Path) -> AsyncIterator[Site]:
    """Start it all, and wait until what was produced is in the history."""
    attempts = f"site.{uuid.uuid4().hex[:8]}.attempts"
    await create_topics(kafka, [attempts], partitions=1)
    settings = {"WEBHOOKS_RECORD__TOPIC": attempts}
    async with (
        receiving() as receiver,
        a_cluster(kafka, dsn, folder, settings=settings) as cluster,
    ):
        await asyncio.gather(cluster.start(), cluster.start("r0", role="record"))
        receiver.answers["/failing"] = lambda _: 500
        healthy = await cluster.subscribe(
            f"{receiver.url}/orders", description="Order system", types=["*"]
        )
        failing = await cluster.subscribe(
            f"{receiver.url}/failing",
            description="Legacy ERP",
            types=["stop.report.*"],
            retry_schedule=[3600],
            filter={"data": {"report": {"type": [{"prefix": "service_report_"}]}}},
        )
        receiver.answers["/moved"] = lambda _: web.Response(
            status=404, text="no route for POST /moved"
        )
        dead = await cluster.subscribe(
            f"{receiver.url}/moved",
            description="Moved",
            types=["stop.report.canceled"],
            retry_schedule=[],
        )
        await cluster.subscribe(f"{receiver.url}/crm", types=["customer.*", "vehicle.position"])
        key, reader = await a_key(cluster, "manage"), await a_key(cluster, "read")
        other = str((await cluster.call("POST", "/v1/projects", {"name": "Elsewhere"}))["id"])
        outsider = await a_key(cluster, "manage", project=other)
        site = Site(cluster, receiver, healthy, failing, key, reader, outsider, dead)
        for type_ in (*TYPES, "vehicle.position"):
            await site.put(type_)
        await _geofence(site)
        await _portal_links(site)
        await eventually(lambda: _recorded(site), within=30, every=0.1)
        await _look_up(site)
        site.dry_run = await _dry_run(site)
        for job in (f"/v1/replays/{site.replay}", f"/v1/resends/{site.resend}"):
            await _done(site, job)  # or it sends beside the first test
        yield site
        lines = cluster.processes[0].lines()
        errors = [line["exception"] for line in lines if line["event"] == "api_error"]
        assert not errors, "\n".join(map(str, errors))


async def a_key(cluster: Cluster, *scopes: str, project: str | None = None) -> str:
    path = f"/v1/projects/{project or cluster.project}/api-keys"
    made = await cluster.call("POST", path, {"name": "test", "scopes": list(scopes)})
    return str(made["key"])


async def _geofence(site: Site) -> None:
    """Make one around where the examples drive."""
    circle = {"center": {"lat": 41.4, "lng": 2.17}, "radius_m": 800}
    body = {"project_id": site.cluster.project, "label": "Depot", "circle": circle}
    await site.cluster.call("POST", "/v1/geofences", body)


async def _portal_links(site: Site) -> None:
    """Make a page of them, each of two webhooks."""
    body = {
        "project_id": site.cluster.project,
        "expires_in": 3600,
        "origins": ["https://app.example.com"],
    }
    body |= {"subscriptions": [site.healthy, site.failing]}
    for _ in range(12):
        await site.cluster.call("POST", "/v1/portal-links", body)


async def _dry_run(site: Site) -> str:
    since = datetime.now(UTC) - timedelta(hours=1)
    body = {
        "project_id": site.cluster.project,
        "types": ["stop.*"],
        "filter": {"data": {"report": {"type": [{"prefix": "service_report_c"}]}}},
        "from": since.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "subscription": site.failing,
    }
    made = await site.cluster.call("POST", "/v1/filters/dry-run", body)
    await _done(site, f"/v1/filters/dry-runs/{made['id']}")
    return str(made["id"])


async def comes(what: Locator) -> bool:
    """Wait for something that an open page shows by itself; tell whether it came."""
    try:
        await what.wait_for(timeout=SOON_MS)
    except TooLate:
        return False
    return True


async def _done(site: Site, job: str) -> None:
    """Wait until the job at this path has done all."""

    async def is_done() -> bool:
        return bool((await site.cluster.call("GET", job))["state"] == "done")

    await eventually(is_done, within=60, every=0.1)


async def _recorded(site: Site) -> bool:
    path = f"/v1/deliveries?limit=500&subscription={site.healthy}"
    found = await site.cluster.call("GET", path)
    failed = await site.cluster.call("GET", f"/v1/attempts?subscription={site.failing}")
    return len(found["data"]) >= len(TYPES) and len(failed["data"]) > 0


async def _look_up(site: Site) -> None:
    """Note a delivery and its event, and begin a replay and a resend."""
    call = site.cluster.call
    found = await call("GET", f"/v1/deliveries?subscription={site.failing}")
    failed = found["data"][0]
    site.delivery = failed["id"]
    site.event = "{topic}/{partition}/{offset}".format_map(failed)
    since = {"from": failed["attempted_at"][:10] + "T00:00:00Z", "types": ["plan.*"]}
    site.replay = (await call("POST", f"/v1/subscriptions/{site.healthy}/replays", since))["id"]
    resent: dict[str, object] = {"project_id": site.cluster.project, "subscription": site.healthy}
    resent |= {"state": "acknowledged", "type": "plan.created"}
    site.resend = (await call("POST", "/v1/resends", resent))["id"]


@asynccontextmanager
async def a_browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, without a window."""
    path = tool("chromium", get="on Debian and Ubuntu: apt-get install chromium")
    async with async_playwright() as playwright:
        # As root there is no sandbox; everything it opens is ours.
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visitor:
    """Somebody with a browser; what goes wrong in it is kept."""

    context: BrowserContext
    page: Page
    url: str
    heard: list[str] = field(default_factory=list)
    """Errors of the console and of scripts, and addresses of other hosts that were asked."""

    async def goto(self, path: str, *, status: int = 200) -> Page:
        """Open a page; it must answer with *status*."""
        answer = await self.page.goto(self.url + path)
        assert answer is not None
        assert answer.status == status, (path, answer.status, await self.page.inner_text("main"))
        return self.page

    async def sign_in(self, key: str) -> None:
        """Do as a person does."""
        await self.goto("/sign-in")
        await self.page.get_by_label("API key").fill(key)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.wait_for_url("**/webhooks")

    def listen(self) -> None:
        """Keep what goes wrong from now on."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.heard.append(str(error)))
        self.page.on("request", lambda request: self._requested(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(FAILED_LOAD):
            self.heard.append(message.text)

    def _requested(self, url: str) -> None:
        if not url.startswith((self.url, "data:")):
            self.heard.append(f"asked {url}")


@asynccontextmanager
async def a_visitor(
    browser: Browser,
    url: str,
    **context: Any,  # noqa: ANN401 - as Playwright takes it
) -> AsyncIterator[Visitor]:
    """Open a browser of its own; nothing may go wrong in it."""
    opened = await browser.new_context(**context)
    opened.set_default_timeout(30_000)
    visitor = Visitor(opened, await opened.new_page(), url)
    visitor.listen()
    try:
        yield visitor
        assert visitor.heard == []
    finally:
        await opened.close()


async def axe() -> str:
    """Return axe-core's script, installed once by its lock file, outside of the repository."""
    version = orjson.loads((NPM / "package.json").read_bytes())["dependencies"]["axe-core"]
    folder = CACHE / f"axe-core-{version}"
    if not folder.is_dir():
        fresh = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
        shutil.copytree(NPM, fresh)
        process = await asyncio.create_subprocess_exec(
            tool("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts",
            cwd=fresh, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), 120)
        if process.returncode != 0:
            shutil.rmtree(fresh)
            missing(f"npm can't install axe-core: {out.decode()[-300:]}")
        try:
            fresh.rename(folder)  # only complete folders get the name
        except OSError:
            shutil.rmtree(fresh)  # another run was faster
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


OPERATOR = ADMIN_KEY
SCREENSHOTS = os.environ.get("WEBHOOKS_TEST_SCREENSHOTS")
