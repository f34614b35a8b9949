"""The command line as people call it."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.forked import Forked


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    """What it answered."""
    err: str
    """What it said beside that."""


async def planner_webhooks(
    *arguments: object, environment: Mapping[str, str] = os.environ
) -> Ended:
    """Run a command to its end."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = (Path(folder, name) for name in ("out", "err"))
        process = Forked([*map(str, arguments)], environment=environment, out=out, err=err)
        try:
            code = await process.wait()
        finally:
            process.kill()
        return Ended(code, *(file.read_text() for file in (out, err)))
