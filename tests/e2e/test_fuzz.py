"""Every operation of our own OpenAPI document, with what it allows and what it doesn't: no answer is a
fault of ours, and each is one that the document names."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support.api import ADMIN_KEY, an_api

EXAMPLES = 25
"""An operation: enough to reach each branch of a schema; the whole takes a few minutes."""
MAX_SECONDS = 600
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance", "response_headers_conformance",
)  # fmt: skip
ENDLESS = ("/v1/stream",)

pytestmark = [pytest.mark.long, pytest.mark.timeout(2 * MAX_SECONDS)]


async def test_whatever_is_asked_the_answer_is_one_that_the_document_names(
    kafka: str, database: str, tmp_path: Path
) -> None:
    async with an_api(kafka, database) as api:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            f"{api.url}/openapi.json",
            *("--header", f"Authorization: Bearer {ADMIN_KEY}"),
            *("--checks", ",".join(CHECKS)),
            *("--phases", "examples,coverage,fuzzing"),
            *("--max-examples", str(EXAMPLES), "--max-time", str(MAX_SECONDS)),
            *("--seed", "1", "--request-timeout", "20", "--continue-on-failure"),
            *(part for path in ENDLESS for part in ("--exclude-path", path)),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
