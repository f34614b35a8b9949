"""Programs that are no Python packages: found, or a sentence on how to get them."""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest


def tool(name: str, *, get: str = "") -> str:
    """Return the path of *name*: from PATH, or from the wheel or cache that brings it."""
    beside = (Path(sys.executable).parent, Path.home() / ".cache" / "planner-webhooks" / "bin")
    for path in (None, *map(str, beside)):
        found = shutil.which(name, path=path)
        if found is not None:
            return found
    return missing(
        f"{name} is neither on the PATH nor in the virtual environment; {get or 'install it'}"
    )


def missing(sentence: str) -> NoReturn:
    """Skip, or fail where all tools are required."""
    if os.environ.get("REQUIRE_TOOLS") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)
