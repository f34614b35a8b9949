"""The files of static/: read once, named by their content, kept by browsers for good."""

import hashlib
import mimetypes
from functools import cache
from importlib import resources
from typing import NamedTuple


class Asset(NamedTuple):
    """One file."""

    body: bytes
    content_type: str
    version: str


@cache
def assets() -> dict[str, Asset]:
    """Return all files by name."""
    found = {}
    for file in resources.files("services.dashboard").joinpath("static").iterdir():
        body = file.read_bytes()
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        found[file.name] = Asset(body, kind, hashlib.sha256(body).hexdigest()[:12])
    return found


def address(name: str) -> str:
    """Return where a file is; a changed file is somewhere else."""
    return f"/static/{name}?v={assets()[name].version}"
