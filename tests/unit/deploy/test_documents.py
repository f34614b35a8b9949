"""What the runbook and the threat model name is there: tests, settings, commands, paths, files."""

import json
import math
import re
from pathlib import Path

import pytest
import typer.main

from services.cli.app import app
from services.settings import variables
from services.settings.working import Deliver
from tests.support import openapi

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
    for named in set(re.findall(r"`(?:planner-webhooks )?bench ([a-z-]+)", text)):
        assert named in commands["bench"].commands


def test_every_path_of_the_api_that_is_named_is_one(text: str) -> None:
    """`DELETE …/secrets/{id}` too: what is left out stands before."""
    paths = json.loads(openapi.committed())["paths"]
    known = {
        f"{method.upper()} {re.sub('{[^}]*}', '{}', path)}"
        for path, methods in paths.items()
        for method in methods
    }
    named = set(re.findall(r"`(GET|POST|PATCH|DELETE) (/v1|…)([\w/{}.-]*)", text))
    assert named
    for method, start, rest in named:
        ending = re.sub("{[^}]*}", "{}", rest)
        if start == "…":
            assert [one for one in known if one.startswith(method) and one.endswith(ending)], rest
        else:
            assert f"{method} /v1{ending}" in known


def test_every_line_of_the_log_that_is_named_is_written_by_somebody() -> None:
    text = DOCUMENTS[0].read_text(encoding="utf-8")
    named = set(re.findall(r"\blog(?:s| line) `([a-z_]+)`", text))
    assert named
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "services").rglob("*.py"))
    assert [name for name in sorted(named) if f'"{name}"' not in code] == []


def test_the_table_of_sizes_follows_from_what_was_measured() -> None:
    text = DOCUMENTS[0].read_text(encoding="utf-8")
    assert "about 11,000 deliveries" in text
    assert "382 bytes an attempt" in text
    rows = re.findall(r"^\|(?: [\d,]+ \|){2} \d+ ms \|.*$", text, re.MULTILINE)
    assert rows
    for row in rows:
        numbers = [int(each.replace(",", "")) for each in re.findall(r"[\d,]+", row)]
        events, wanting, ms, deliveries, open_, dispatchers, partitions, _, days, gigabytes = (
            numbers
        )
        assert deliveries == events * wanting
        assert open_ == deliveries * ms // 1000 <= Deliver().max_in_flight * dispatchers
        assert dispatchers == math.ceil(deliveries / (11_000 / 2)) + 1
        assert partitions >= 2 * dispatchers
        assert gigabytes == round(deliveries / 3 * 86_400 * days * 382 / 1e9)
