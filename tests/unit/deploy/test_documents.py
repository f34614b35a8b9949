"""What the runbook and the threat model name is there: tests, settings, commands, files."""

import re
from pathlib import Path

import pytest
import typer.main

from services.cli.app import app
from services.settings import variables

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [ROOT / "deploy" / name for name in ("README.md", "SECURITY.md")]


@pytest.fixture(params=DOCUMENTS, ids=lambda path: path.name)
def text(request: pytest.FixtureRequest) -> str:
    return Path(request.param).read_text(encoding="utf-8")


def test_every_file_that_is_named_is_there(text: str) -> None:
    named = set(re.findall(r"`((?:tests|deploy|services|schemas|\.ci)/[\w./-]+\.\w+)`", text))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_setting_that_is_named_is_one(text: str) -> None:
    known = {variable for variable, _, _ in variables()}
    for named in set(re.findall(r"WEBHOOKS_[A-Z]+__[A-Z_]*\*?", text)):
        if named.endswith("*"):
            assert any(variable.startswith(named[:-1]) for variable in known), named
        else:
            assert named in known


def test_every_command_that_is_named_is_one(text: str) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for named in set(re.findall(r"[`^]planner-webhooks ([a-z-]+)", text)):
        assert named in commands
