"""Postgres's own tools: a dump, and a restore over what has become of the database since."""

import asyncio
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.dev.postgres import _programs


async def dump(dsn: str, file: Path) -> None:
    """Write *dsn*'s database to *file*."""
    await _run("pg_dump", dsn, "--format=custom", f"--file={file}")


async def restore(dsn: str, file: Path) -> None:
    """Make the database what it was when *file* was written; nobody else is connected."""
    await _run("pg_restore", dsn, "--clean", "--if-exists", "--single-transaction", str(file))


async def _run(program: str, dsn: str, *arguments: str) -> None:
    at = urlsplit(dsn)
    process = await asyncio.create_subprocess_exec(
        str(_programs().folder / program),
        *(f"--host={at.hostname}", f"--port={at.port}", f"--username={at.username}"),
        f"--dbname={at.path.lstrip('/')}",
        *arguments,
        env={**os.environ, "PGPASSWORD": unquote(at.password or "")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
