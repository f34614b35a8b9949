"""`make audit` never passes for an audit where nothing was looked at."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / ".ci" / "audit.py"
FINE = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "not found"}
BROKEN = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}


@pytest.fixture(scope="module")
def audit() -> Any:  # noqa: ANN401 - a module
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("packages", "required", "code", "said"),
    [
        ([FINE], True, 0, "0 known holes in 1 packages"),
        ([FINE, BROKEN], False, 1, "c 2: PYSEC-1, mended in 2.1"),
        ([SKIPPED, SKIPPED], False, 0, "NOT AUDITED: the package index gives no advisories"),
        ([SKIPPED], True, 1, "NOT AUDITED"),
        ([FINE, SKIPPED], False, 0, "1 more could not be looked at"),
        ([FINE, SKIPPED], True, 1, "1 more could not be looked at"),
    ],
)
def test_what_was_looked_at_is_said(
    audit: Any,  # noqa: ANN401
    packages: list[object],
    *,
    required: bool,
    code: int,
    said: str,
) -> None:
    found, lines = audit.verdict({"dependencies": packages}, required=required)
    assert found == code
    assert said in "\n".join(lines)
