"""JSON out."""

import json
from typing import Any

import orjson


def encoded(body: Any) -> bytes:  # noqa: ANN401 - JSON
    """Return *body* as JSON; what names a lone surrogate that somebody wrote is escaped."""
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        return json.dumps(body).encode()
