"""`listen`: a local program gets what a webhook would, signed and retried, without a public URL."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from standardwebhooks import Webhook

from tests.support.cluster import ADMIN_KEY, Cluster, Put, Receiver, an_event
from tests.support.commands import planner_webhooks
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(90)


@asynccontextmanager
async def listening(cluster: Cluster, *words: str) -> AsyncIterator[tuple[Process, str]]:
    """Run it; return it with the secret that it says it signs with."""
    options = ["--json", "--project", cluster.project, "--api", cluster.api, "--key", ADMIN_KEY]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", "listen", *words, *options),
        stdout=PIPE,
        stderr=PIPE,
        env=cluster.environment,
    )
    try:
        assert process.stderr is not None
        said = ""
        while "whsec_" not in said:  # what is odd with the filter comes first
            said = (await process.stderr.readline()).decode()
            assert said, "it ended"
        yield process, next(word.strip(";") for word in said.split() if "whsec_" in word)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_local_program_gets_what_it_asked_for_and_what_it_refused_once_more(
    cluster: Cluster, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answers["/local"] = lambda seen: 500 if seen.attempt == 1 else 200
    rules = tmp_path / "filter.json"
    rules.write_text('{"data": {"status": ["planning"]}}')
    words = ["--forward-to", f"{receiver.url}/local", "--types", "plan.*", "--filter", str(rules)]
    async with listening(cluster, *words) as (listener, secret):
        sent = 0

        async def heard() -> bool:  # until it listens, what is produced is none of its business
            nonlocal sent
            others = Put(an_event(f"{sent:023x}a", type_="route.started", project=cluster.project))
            await cluster.put(others)
            await cluster.produce(1)
            sent += 1
            return bool(receiver.seen)

        await eventually(heard, within=30, every=0.5)
        first = receiver.seen[0]
        await eventually(lambda: receiver.ids("/local")[first.id] == 2, within=30)
        again = [seen for seen in receiver.seen if seen.id == first.id][1]
        assert (again.attempt, again.headers["planner-retry-reason"]) == (2, "http")
        for seen in (first, again):
            assert Webhook(secret).verify(seen.body, dict(seen.headers))["type"] == "plan.created"
        assert {seen.headers["planner-event-type"] for seen in receiver.seen} == {"plan.created"}
        assert listener.stdout is not None
        told = {"id": None}
        while told["id"] != first.id:  # several may have come at once, and are told of as they end
            told = orjson.loads(await listener.stdout.readline())
    assert (told["id"], told["status"], told["number"]) == (first.id, 500, 1)
    assert told["body"] == orjson.loads(first.body)
    async with listening(cluster) as (_, same):
        assert same == secret


async def test_what_is_wrong_is_said_before_anything_is_sent(
    cluster: Cluster, tmp_path: Path
) -> None:
    rules = tmp_path / "filter.json"
    rules.write_text('{"data": {"staus": 5}}')
    for words, code in (
        (["--types", "plan.creatd"], 2),
        (["--forward-to", "localhost:3000"], 2),
        (["--filter", str(rules)], 1),
    ):
        options = ("--project", cluster.project, "--api", cluster.api, "--key", ADMIN_KEY)
        ended = await planner_webhooks("listen", *words, *options, environment=cluster.environment)
        assert ended.code == code, ended.err
        assert ended.err.strip()
