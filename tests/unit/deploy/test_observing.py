"""Alerts and dashboards speak of metrics that there are, and each alert has its page."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from prometheus_client import REGISTRY

from services.observe import metrics
from tests.support.tools import tool

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
RULES = DEPLOY / "alerts" / "webhooks.rules.yaml"
BOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
GET = "`apt-get download prometheus` has it"
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


class Series(NamedTuple):
    """What a metric exposes."""

    values: dict[str, set[str]]
    """Of each label, those that are there from the start; a label may have none yet."""


def declared() -> dict[str, Series]:
    found = {}
    assert metrics.SETTLED is not None  # the module was read
    for family in REGISTRY.collect():
        if family.name.startswith("webhooks_"):
            values: dict[str, set[str]] = {}
            for sample in family.samples:
                for label, value in sample.labels.items():
                    values.setdefault(label, set()).add(value)
            for suffix in SUFFIXES[family.type]:
                found[family.name + suffix] = Series(values)
    return found


def rules() -> list[dict[str, object]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, dict[str, object]]:
    return {str(rule["alert"]): rule for rule in rules() if "alert" in rule}


def panels() -> Iterator[dict[str, object]]:
    for board in BOARDS:
        for panel in json.loads(board.read_text())["panels"]:
            if panel["type"] != "row":
                yield panel


def expressions() -> list[str]:
    of_panels = [str(target["expr"]) for panel in panels() for target in panel["targets"]]  # type: ignore[attr-defined]
    return sorted({str(rule["expr"]) for rule in rules()} | set(of_panels))


def test_every_metric_says_what_it_means_and_in_which_unit() -> None:
    found = [one for one in REGISTRY.collect() if one.name.startswith("webhooks_")]
    assert found
    assert [one.name for one in found if not one.documentation.endswith(".")] == []
    timed = {one.name for one in found if one.name.endswith("_seconds")}
    assert {one.name for one in found if one.unit == "seconds"} == timed


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_asks_for_what_is_measured(expression: str) -> None:
    known = declared()
    for name, selector in re.findall(r"(webhooks_[a-z_]+)(\{[^}]*\})?", expression):
        assert name in known
        for label, value in re.findall(r'([a-z_]+)="([^"]*)"', selector):
            assert value in known[name].values[label]


def test_there_is_a_page_for_each_alert_and_for_no_other() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^### (Webhooks\w+)$", text, re.MULTILINE)) == set(alerts())
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook"] == f"deploy/README.md#{name.lower()}"  # type: ignore[index]
        assert rule["labels"]["severity"] in ("page", "ticket")  # type: ignore[index]


def test_the_runbook_speaks_of_metrics_that_there_are() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(webhooks_[a-z_]+)", text))
    assert named
    whole = {name.removesuffix("_bucket") for name in declared()}
    assert named <= set(declared()) | whole


def test_a_panel_says_what_it_shows_and_in_which_unit() -> None:
    shown = list(panels())
    assert shown
    for panel in shown:
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]  # type: ignore[index]
        assert panel["datasource"]["uid"] == "${datasource}"  # type: ignore[index]


def test_each_alert_is_tried_on_what_makes_it_fire_and_on_a_good_day() -> None:
    tests = yaml.safe_load((RULES.parent / "webhooks.test.yaml").read_text())["tests"]
    tried = [one for test in tests for one in test.get("alert_rule_test", ())]
    fires = {one["alertname"] for one in tried if one.get("exp_alerts")}
    for test in tests:
        for one in test.get("promql_expr_test", ()):
            if one["exp_samples"]:
                fires |= set(re.findall(r"Webhooks\w+", one["expr"]))
    assert fires == set(alerts())
    assert {one["alertname"] for one in tests[0]["alert_rule_test"]} == set(alerts())


def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    promtool("test", "rules", "webhooks.test.yaml", folder=RULES.parent)


def test_prometheus_can_read_every_expression(tmp_path: Path) -> None:
    asked = [text.replace("$__rate_interval", "5m") for text in expressions()]
    group = {"name": "all", "rules": [{"record": f"e{n}", "expr": e} for n, e in enumerate(asked)]}
    (tmp_path / "all.yaml").write_text(json.dumps({"groups": [group]}))
    promtool("check", "rules", "all.yaml", folder=tmp_path)
    promtool("check", "rules", RULES.name, folder=RULES.parent)


def promtool(*arguments: str, folder: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own arguments
        [tool("promtool", get=GET), *arguments],
        cwd=folder, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
