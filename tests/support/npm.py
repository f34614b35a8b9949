"""Packages for Node, installed once, outside of the repository."""

import asyncio
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from tests.support.tools import missing, tool


async def installed(folder: Path, packages: Sequence[str]) -> Path:
    """Return *folder* with *packages* in it. Skips the test where they can't be had."""
    if not (folder / "node_modules").is_dir():
        npm = tool("npm")
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
        fresh.mkdir()
        (fresh / "package.json").write_text('{"private": true}')
        process = await asyncio.create_subprocess_exec(
            npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages,
            cwd=fresh, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), 180)
        if process.returncode != 0:
            shutil.rmtree(fresh)
            missing(f"npm can't install {' '.join(packages)}: {out.decode()[-300:]}")
        try:
            fresh.rename(folder)  # only complete folders get the name
        except OSError:
            shutil.rmtree(fresh)  # another run was faster
    return folder
