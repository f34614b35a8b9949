"""`planner-webhooks dev`, as a person starts it: real processes, real Ctrl-C."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from tests.support.cluster import Receiver, receiving
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(240)
SCRIPT = Path(sys.executable).with_name("planner-webhooks")


@dataclass
class Dev:
    """One `dev` in the foreground of its own terminal, so to say."""

    process: asyncio.subprocess.Process
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)

    async def line(self, wanted: Callable[[str], bool]) -> str:
        """Wait for a line on stdout."""
        await eventually(
            lambda: any(map(wanted, self.out)) or self.process.returncode is not None, within=90
        )
        found = [line for line in self.out if wanted(line)]
        assert found, "\n".join(self.out + self.err)
        return found[0]

    async def started(self) -> dict[str, str]:
        found: dict[str, str] = orjson.loads(await self.line(lambda line: line.startswith("{")))
        return found

    def children(self) -> dict[int, str]:
        """Return command lines by process id."""
        found = {}
        for folder in Path("/proc").iterdir():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                if folder.name.isdigit() and int(stat[1]) == self.process.pid:
                    line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(folder.name)] = line
            except OSError:
                continue
        return found

    def child(self, role: str) -> int:
        return next(
            pid for pid, line in self.children().items() if f"planner-webhooks {role}" in line
        )

    async def interrupt(self) -> int:
        """Ctrl-C, and wait for the end."""
        self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            return await self.process.wait()


@asynccontextmanager
async def dev(data: Path, *arguments: str) -> AsyncIterator[Dev]:
    process = await asyncio.create_subprocess_exec(
        str(SCRIPT),
        *("dev", "--data", str(data), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    found = Dev(process)
    readers = [
        asyncio.create_task(_read(stream, lines))
        for stream, lines in ((process.stdout, found.out), (process.stderr, found.err))
    ]
    try:
        yield found
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        for reader in readers:
            reader.cancel()


async def _read(stream: asyncio.StreamReader | None, lines: list[str]) -> None:
    assert stream is not None
    while line := await stream.readline():
        lines.append(line.decode().rstrip("\n"))


async def call(
    running: dict[str, str], method: str, path: str, body: object = None
) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {running['admin_key']}"}
    async with (
        ClientSession(running["api"], headers=headers) as session,
        session.request(method, path, json=body) as response,
    ):
        assert response.ok, await response.text()
        found: dict[str, Any] = await response.json()
        return found


async def subscribed(running: dict[str, str], receiver: Receiver) -> str:
    project = str((await call(running, "POST", "/v1/projects", {"name": "mine"}))["id"])
    body = {"project_id": project, "url": f"{receiver.url}/hook", "types": ["plan.*"]}
    await call(running, "POST", "/v1/subscriptions", body)
    return project


async def is_committed(running: dict[str, Any]) -> bool:
    """Tell whether all is committed that came: at the end a commit is tried once, for a second."""
    (subscription,) = (await call(running, "GET", "/v1/subscriptions"))["data"]
    path = f"/v1/subscriptions/{subscription['id']}/backlog"
    return bool((await call(running, "GET", path))["lag"] == 0)


async def delivered(running: dict[str, str], receiver: Receiver, project: str, id_: str) -> None:
    event = {
        "id": id_,
        "type": "plan.created",
        "created_at": "2026-03-17T09:40:51.000Z",
        "project_id": project,
        "data": {"id": "5e208446c97efa37d4830b03", "project_id": project, "status": "planning"},
    }
    await call(running, "POST", "/v1/events", event)
    await eventually(lambda: id_ in receiver.ids(), within=30)


def gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


async def test_dev_says_in_one_line_where_all_is_and_outlives_the_death_of_any_part(
    tmp_path: Path,
) -> None:
    async with receiving() as receiver, dev(tmp_path, "--no-demo", "--json") as first:
        running = await first.started()
        assert set(running) == {"api", "kafka", "postgres", "admin_key"}
        project = await subscribed(running, receiver)
        await delivered(running, receiver, project, "one")
        for role in ("dispatch", "api"):
            victim = first.child(role)
            os.kill(victim, signal.SIGKILL)
            await eventually(lambda victim=victim: gone([victim]), within=30)
            said = f"{role}" + (" 0" if role == "dispatch" else "")
            await eventually(
                lambda said=said: any(line.startswith(f"{said} ended") for line in first.err),
                within=30,
            )

        async def answers() -> bool:
            try:
                await call(running, "GET", "/v1/projects")
            except OSError:
                return False
            return True

        await eventually(answers, within=60)
        await delivered(running, receiver, project, "two")
        await eventually(lambda: is_committed(running), within=30)
        children = list(first.children())
        assert len(children) == 6, first.children()
        assert await first.interrupt() == 0
        assert gone(children)
        assert first.out == [line for line in first.out if line.startswith("{")][:1]
        async with dev(tmp_path, "--no-demo", "--json", "--dispatchers", "2") as second:
            again = await second.started()
            assert again == running  # the same ports and keys, so that bookmarks stay right
            await delivered(again, receiver, project, "three")
            counts = receiver.ids()
            assert counts.keys() == {"one", "two", "three"}
            assert (counts["two"], counts["three"]) == (1, 1)  # the stop between them was graceful
            children = list(second.children())
            second.process.kill()
            await eventually(lambda: gone(children), within=30)  # nothing survives its parent


async def test_the_demo_shows_verified_deliveries_and_a_curl_line_that_works(
    tmp_path: Path,
) -> None:
    async with dev(tmp_path) as demo:
        curl = await demo.line(lambda line: line.startswith("  curl "))
        for type_ in ("plan.created", "customer.created", "stop.created", "vehicle.position"):
            line = await demo.line(lambda line, type_=type_: f"  /demo  {type_}  " in line)
            assert line.endswith("  valid")
        process = await asyncio.create_subprocess_shell(
            curl + " --silent --show-error --fail-with-body", stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, out
        assert orjson.loads(out)["types"] == ["stop.report.*"]
        await demo.line(lambda line: "/mine" in line and "stop.report." in line)
        assert [line.split()[0] for line in demo.out if "/erp" in line and "/wall" in line] == [
            "Demo"
        ]
        await demo.line(lambda line: "  /wall  " in line and line.endswith("  valid, answered 500"))
        assert not [line for line in demo.out if "NOT VALID" in line]
        children = list(demo.children())
        assert await demo.interrupt() == 0
        assert gone(children)


async def test_what_keeps_it_from_starting_is_said_in_one_sentence(tmp_path: Path) -> None:
    async def refused(data: Path, *arguments: str) -> str:
        async with dev(data, "--no-demo", *arguments) as found:
            async with asyncio.timeout(90):
                code = await found.process.wait()
            await asyncio.sleep(0)
            assert code == 1
            assert found.out == []
            assert not [line for line in found.err if line.startswith(("stopping", "SLF4J"))]
            return found.err[-1]

    (tmp_path / "file").write_text("")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "keys.json").write_text("{")
    (log := tmp_path / "torn" / "kafka" / "log").mkdir(parents=True)
    (log / "meta.properties").write_text("torn")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = await asyncio.gather(
            refused(tmp_path / "a", "--port", port),
            *(refused(tmp_path / name) for name in ("file", "broken", "torn")),
        )
    assert f"port {port} is taken" in said[0]
    assert "can't be used" in said[1]
    assert "keys.json is broken" in said[2]
    assert "Kafka does not start; its data folder" in said[3]
    async with dev(tmp_path / "used", "--no-demo", "--json") as first:
        await eventually((tmp_path / "used" / "lock").exists, within=30)
        await first.line(lambda line: line.startswith("{"))
        assert f"is in use by process {first.process.pid}" in await refused(tmp_path / "used")
