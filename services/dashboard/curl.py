"""A request as a curl command that anybody can paste into a shell; pure."""

import shlex
from collections.abc import Mapping
from typing import Any

LEFT_OUT = ("content-length", "accept-encoding", "host", "connection")
"""Curl writes these itself."""


def command(request: Mapping[str, Any]) -> str:
    """Return the command that makes *request*."""
    lines = [f"curl -i -X {request['method']} {shlex.quote(request['url'])}"]
    lines += [
        f"-H {shlex.quote(f'{name}: {value}')}"
        for name, value in request["headers"].items()
        if name.lower() not in LEFT_OUT
    ]
    lines.append(f"--data-binary {shlex.quote(request['body'])}")
    return " \\\n  ".join(lines)
