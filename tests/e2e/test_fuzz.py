"""Every operation of our own OpenAPI document, asked with what it allows and what it doesn't: no answer
is a fault of ours, and each is one that the document names."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support.api import ADMIN_KEY, ServedApi, an_api

EXAMPLES = 8
"""An operation, beside those that reach each bound of its schema: the whole takes a few minutes."""
MAX_SECONDS = 300
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance", "response_headers_conformance",
)  # fmt: skip
OPERATORS = "^/v1/(projects|audit)"
"""What the operator's key alone opens; all else is asked with a project's own."""
ENDLESS = ("/v1/stream",)
THERE = """
[[operations]]
include-path-regex = "^/v1/{noun}/{{id}}"
exclude-method = "DELETE"
parameters = {{ "path.id" = "{id}" }}
"""
"""What an operation of this noun finds; deleting is tried on what isn't there."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(3 * MAX_SECONDS)]


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


async def test_whatever_is_asked_the_answer_is_one_that_the_document_names(
    kafka: str, database: str, tmp_path: Path
) -> None:
    async with an_api(kafka, database, key_requests_per_second=1e6) as api:
        _, key = await api.new_project("read", "manage", "ingest")
        there = await something_of_each(api, key)
        (tmp_path / "schemathesis.toml").write_text(
            "".join(THERE.format(noun=noun, id=id_) for noun, id_ in there.items())
        )
        excluded = [part for path in ENDLESS for part in ("--exclude-path", path)]
        code, said = await fuzzed(
            api, tmp_path, "--exclude-path-regex", OPERATORS, *excluded, key=key
        )
        (tmp_path / "project.txt").write_text(said)
        assert code == 0, said
        code, said = await fuzzed(api, tmp_path, "--include-path-regex", OPERATORS, key=ADMIN_KEY)
        (tmp_path / "operator.txt").write_text(said)
        assert code == 0, said
