"""Every operation of our own OpenAPI document, asked with what it allows and what it doesn't: no answer
is a fault of ours, and each is one that the document names."""

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from tests.support import openapi
from tests.support.api import ADMIN_KEY, ServedApi, an_api

EXAMPLES = 8
"""An operation, beside those that reach each bound of its schema."""
MAX_SECONDS = 180
"""A piece: what there is no time for is left out, and the report says so."""
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance", "response_headers_conformance",
)  # fmt: skip
PIECES = {
    "subscriptions": "^/v1/subscriptions",
    "filters": "^/v1/(filters|geofences)",
    "log": "^/v1/(events|event-types)",
    "history": "^/v1/(attempts|deliveries|dead-letters|stats)",
    "again": "^/v1/(replays|resends|portal-links)",
    "addresses": "^/(v1/egress|.well-known)",
    "operators": "^/v1/(projects|audit|lanes|partitions)",
}
"""Which paths are asked together: each piece alone takes minutes."""
OPERATORS = "operators"
"""What the operator's key alone opens; all else is asked with a project's own."""
ENDLESS = "/v1/stream"
THERE = """
[[operations]]
include-path-regex = "^/v1/{noun}/{{id}}"
exclude-method = "DELETE"
parameters = {{ "path.id" = "{id}" }}
"""
"""What an operation of this noun finds; deleting is tried on what isn't there."""


async def fuzzed(api: ServedApi, folder: Path, *arguments: str, key: str) -> tuple[int, str]:
    """Let schemathesis ask; return its exit code and its report."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{api.url}/openapi.json",
        *("--header", f"Authorization: Bearer {key}"),
        *("--checks", ",".join(CHECKS)),
        *("--phases", "coverage,fuzzing"),
        *("--max-examples", str(EXAMPLES), "--max-time", str(MAX_SECONDS)),
        *("--seed", "1", "--request-timeout", "20", "--continue-on-failure"),
        *arguments,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def something_of_each(api: ServedApi, key: str) -> dict[str, str]:
    """Make one object of each noun; return the ids."""
    headers = {"Authorization": f"Bearer {key}"}
    square = [[[2, 41], [2.1, 41], [2.1, 41.1], [2, 41.1], [2, 41]]]
    made = {}
    for noun, body in {
        "subscriptions": {"url": "https://93.184.216.34/", "types": ["plan.*"]},
        "geofences": {"label": "Depot", "geometry": {"type": "Polygon", "coordinates": square}},
    }.items():
        answered = await api.ask("POST", f"/v1/{noun}", key=None, headers=headers, json=body)
        assert answered.status == 201, answered
        made[noun] = str(answered.json["id"])
    return made


def test_every_path_is_asked_in_one_piece() -> None:
    paths = set(json.loads(openapi.committed())["paths"]) - {ENDLESS}
    for path in paths:
        assert sum(re.search(piece, path) is not None for piece in PIECES.values()) == 1, path


@pytest.mark.long
@pytest.mark.timeout(3 * MAX_SECONDS)
@pytest.mark.parametrize("piece", PIECES)
async def test_whatever_is_asked_the_answer_is_one_that_the_document_names(
    kafka: str, database: str, tmp_path: Path, piece: str
) -> None:
    async with an_api(kafka, database, key_requests_per_second=1e6) as api:
        _, key = await api.new_project("read", "manage", "ingest")
        there = await something_of_each(api, key)
        (tmp_path / "schemathesis.toml").write_text(
            "".join(THERE.format(noun=noun, id=id_) for noun, id_ in there.items())
        )
        code, said = await fuzzed(
            api,
            tmp_path,
            *("--include-path-regex", PIECES[piece]),
            key=ADMIN_KEY if piece == OPERATORS else key,
        )
        (tmp_path / "said.txt").write_text(said)
        assert code == 0, said
