"""`bench pages`: lists and pages over a month of history, each beside what it may take.

The API serves them, as it does for people, to one who asks one thing at a time. Every page of the
dashboard that can be asked for with `GET` is asked for: a new one that this doesn't know fails the run.
"""

import asyncio
import re
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import orjson

from services.catalogue import examples
from services.dashboard.routes import ROUTES
from services.dev.bench_filters import Figure
from services.dev.cpu import cpu_seconds, family
from services.dev.process import ServerError
from services.kernel.clock import SystemClock, rfc3339
from services.kernel.ids import delivery_id
from services.run import month
from services.run.month import Month, Sample
from services.run.stack import Call, Stack
from services.store.pool import Pool

EVENTS, SAMPLES = 4_000, 20
LOOKS = 20
MAY_TAKE = {"subscription": 20.0, "vehicle": 50.0, "stats": 50.0, "page": 150.0}
"""Milliseconds, as a median over what is looked for."""
NO_PAGES = (
    "/sign-in",
    "/portal",
    "/portal/{token}",
    "/live",
    "/deliveries.csv",
    "/deliveries.ndjson",
    "/",
    "/find",
)
"""`GET`s that show no page of somebody who is signed in, lead to another, or never end."""
FILTERED = (
    "/deliveries?subscription={webhook}", "/deliveries?vehicle_id={vehicle}", "/deliveries?status=5xx",
    "/deliveries?state=dead", "/deliveries?q=upstream", "/failed?subscription={webhook}",
    "/resends/new?subscription={webhook}", "/audit?object={webhook}", "/map?route={route}",
)  # fmt: skip
TOKEN = re.compile(r'name="token" value="([^"]+)"')


class Question(NamedTuple):
    """What is asked some times over, each time of another; and what it may take."""

    what: str
    paths: Sequence[str]
    ms: float


async def measure(
    folder: Path, *, attempts: int, call_as: Callable[[str, str], Call], say: Callable[[str], None]
) -> list[Figure]:
    """Fill *folder*, where it is empty; ask everything. Raises WebhooksError."""
    async with Stack(folder, call_as=call_as, own={}) as stack:
        pool = Pool(dsn=stack.postgres.dsn(), size=2, seconds=1_200.0)
        await pool.open()
        try:
            if not await pool.fetch("attempt_days"):
                await Month(pool, stack.settings, say=say).fill(attempts)
            began = SystemClock().now()
            samples = await _events(stack)
            await Month(pool, stack.settings, say=say).put(samples)
        finally:
            await pool.close()
        names = await _known(stack, samples[0], since=rfc3339(began))
        kafka, postgres = stack.servers
        visitor = Visitor(
            stack.settings.api.listen,
            stack.environment["WEBHOOKS_API__ADMIN_KEY"],
            spent=lambda: cpu_seconds([stack.api.pid, kafka, *family(postgres)]),
        )
        await asyncio.to_thread(visitor.sign_in, month.project(0))
        return [await asyncio.to_thread(visitor.asked, question) for question in _questions(names)]


class Visitor:
    """Who asks: with a session on pages, with the key in the API."""

    def __init__(self, at: str, key: str, *, spent: Callable[[], float]) -> None:
        self._at = f"http://{at}"
        self._key = key
        self._spent = spent
        self._browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def sign_in(self, project: str) -> None:
        """Begin a session, and choose a project."""
        self._post("/sign-in", self._get("/sign-in"), key=self._key)
        self._post("/project", self._get("/webhooks/new"), project=project)

    def asked(self, question: Question) -> Figure:
        """Ask; return the median, with the least, the most, and the CPU that the servers took.

        On a busy machine the last is what a quiet one would show.
        """
        took = []
        self._get(question.paths[0])  # what is done once in a process's life
        before = self._spent()
        for path in question.paths:
            began = time.perf_counter()
            self._get(path)
            took.append((time.perf_counter() - began) * 1000)
        cpu = (self._spent() - before) / len(took) * 1000
        what = f"{question.what} ({min(took):,.0f} to {max(took):,.0f}; CPU {cpu:,.0f})"
        return Figure(what, statistics.median(took), "ms", question.ms)

    def _get(self, path: str) -> str:
        request = urllib.request.Request(f"{self._at}{path}")  # noqa: S310 - our own API
        if path.startswith("/v1/"):
            request.add_header("Authorization", f"Bearer {self._key}")
        with self._browser.open(request, timeout=60) as answer:
            if urlsplit(answer.url).path != urlsplit(path).path:
                raise ServerError(
                    f"{path} leads to {answer.url}: another page isn't what was asked for"
                )
            return str(answer.read().decode())

    def _post(self, path: str, page: str, **fields: str) -> None:
        found = TOKEN.search(page)
        token = found.group(1) if found else ""
        data = urlencode({"token": token, "next": "/webhooks", **fields}).encode()
        request = urllib.request.Request(  # noqa: S310 - our own API
            f"{self._at}{path}", data, headers={"Origin": self._at}
        )
        with self._browser.open(request, timeout=60):
            return


def _questions(names: Mapping[str, str]) -> Iterator[Question]:
    """Yield what the figures are of: lists, then every page."""
    s, p = month.subscription, month.project
    some = range(2, 2 + 2 * LOOKS, 2)
    rare = range(month.SUBSCRIPTIONS - month.RARE, month.SUBSCRIPTIONS)
    since = rfc3339(SystemClock().now() - timedelta(days=month.DAYS - 1))
    ms = MAY_TAKE
    for name, may_take, queries in (
        ("of a subscription", ms["subscription"], [f"subscription={s(n)}" for n in some]),
        ("of one that gets few", ms["subscription"], [f"subscription={s(n)}" for n in rare]),
        ("of a vehicle", ms["vehicle"], [f"vehicle_id={month.vehicle(n)}" for n in some]),
        ("of a project", ms["vehicle"], [f"project_id={p(n)}" for n in range(month.PROJECTS)]),
        ("of all", ms["vehicle"], ["limit=50"] * LOOKS),
    ):
        for noun in ("attempts", "deliveries"):
            paths = [f"/v1/{noun}?{query}" for query in queries]
            yield Question(f"newest 50 {noun} {name}", paths, may_take)
    stats = f"/v1/stats?from={quote(since)}&step=hour"
    yield Question(
        "30 days of a subscription by hour",
        [f"{stats}&subscription={s(n)}" for n in some],
        ms["stats"],
    )
    yield Question(
        "30 days of a project by hour",
        [f"{stats}&project_id={p(n)}" for n in range(month.PROJECTS)],
        ms["stats"],
    )
    for page in [*every_page(), *FILTERED]:
        path = filled(page, names)
        yield Question(f"page {page}", [path] * LOOKS, ms["page"])


def every_page() -> Sequence[str]:
    """Return the paths of all pages, with what has to be filled in."""
    return [r.path for r in ROUTES if r.method == "GET" and r.path not in NO_PAGES]


def filled(page: str, names: Mapping[str, str]) -> str:
    """Return the path of a page: `{id}` is of the noun before it. KeyError where *names* lacks it."""
    noun = page.removeprefix("/").rpartition("/{id}")[0] if "{id}" in page else ""
    of = {"id": names[noun]} if noun else {}
    return page.format(**names, **of)


async def _known(stack: Stack, sample: Sample, *, since: str) -> Mapping[str, str]:
    """Make what pages show beside the history; return what they are asked for."""
    webhook = month.subscription(0)
    replay = await stack.call("POST", f"/v1/subscriptions/{webhook}/replays", {"from": since})
    body = {"types": ["*"], "project_id": month.project(0), "from": since}
    dry_run = await stack.call("POST", "/v1/filters/dry-run", body)
    return known(sample, replay=replay["id"], dry_run=dry_run["id"])


def known(sample: Sample, *, replay: str, dry_run: str) -> Mapping[str, str]:
    """Return what stands for what in paths."""
    webhook = month.subscription(0)
    partition, offset = sample.position
    return {
        "webhook": webhook,
        "webhooks": webhook,
        "vehicle": month.vehicle(7),
        "route": examples()["vehicle.position"]["data"]["route_id"],
        "deliveries": delivery_id(sample.event_id, webhook),
        "resends": f"{1000:024x}",
        "replays": replay,
        "filters/dry-runs": dry_run,
        "projects": month.project(0),
        "topic": partition.topic,
        "partition": str(partition.number),
        "offset": str(offset),
        "type": month.TYPES[0],
    }


async def _events(stack: Stack) -> Sequence[Sample]:
    """Write events of the first project, and positions; return where the last of them are."""
    samples: list[Sample] = []
    for n in range(EVENTS):
        type_ = month.TYPES[n % len(month.TYPES)]
        samples.append(await _event(stack, "planner.events", type_, n))
        if n % 4 == 0:
            await _event(stack, "planner.positions", "vehicle.position", n)
    return samples[-SAMPLES:]


async def _event(stack: Stack, topic: str, type_: str, n: int) -> Sample:
    event: dict[str, Any] = orjson.loads(orjson.dumps(examples()[type_]))
    now = SystemClock().now()
    event |= {"id": f"{int(now.timestamp() * 1000):x}{n:0>13x}", "project_id": month.project(0)}
    event["created_at"] = rfc3339(now)
    if type_ == "vehicle.position":
        event["data"]["vehicle_id"] = month.vehicle(n % 200)
    key = f"{month.project(0)}:{n % 500:024x}".encode()
    position = await stack.producer.produce(topic, key=key, value=orjson.dumps(event))
    return Sample(event["id"], position)
