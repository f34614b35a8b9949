"""The command line as people call it, on a test's own cluster."""

import asyncio
import sys
from pathlib import Path

from tests.support.cluster import Cluster

SCRIPT = Path(sys.executable).with_name("planner-webhooks")


async def planner_webhooks(cluster: Cluster, *arguments: str, **extra: str) -> tuple[int, str, str]:
    """Run a command; return its exit code, what it answers and what it says beside that."""
    process = await asyncio.create_subprocess_exec(
        *(str(SCRIPT), *arguments),
        env={**cluster.environment, **extra},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()
