"""The README's first command where nothing is set up: a clone, an empty environment."""

import asyncio
import os
import shutil
import signal
import subprocess
from pathlib import Path

import orjson
import pytest

from tests.support.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout: clone the repository to try a fresh clone of it")
    command = ["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")]
    subprocess.run(command, check=True)  # noqa: S603 - our own arguments
    return tmp_path / "clone"


async def test_make_dev_starts_everything_in_a_fresh_clone(clone: Path) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *("make", "dev", "ARGS=--no-demo --json"),
        cwd=clone,
        env=kept,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    line = b""
    while not line.startswith(b"{"):
        line = await process.stdout.readline()
        assert line, "it ended before all answered"
    assert set(orjson.loads(line)) == {"api", "kafka", "postgres", "admin_key"}
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does at Ctrl-C
    await process.wait()
    await eventually(lambda: not _working_in(clone), within=60)


def _working_in(folder: Path) -> list[str]:
    """Return the command lines of processes that run from *folder*."""
    found = []
    for each in Path("/proc").iterdir():
        try:
            line = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found
