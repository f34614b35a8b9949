"""Every block of commands in the runbook runs as it is written: bash reads it, helm is the real one, and
what would speak to a cluster or to Docker writes down what it was told."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support import crds
from tests.support.chart import GET, KUBERNETES, kind, rendered
from tests.support.runbook import ROOT, TEXT, blocks
from tests.support.tools import tool

STUB = """#!/bin/sh
printf '%s' "${0##*/}" >> "$SAID"; printf '\\t%s' "$@" >> "$SAID"; echo >> "$SAID"
case "$*" in *" settings --new-key") echo AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= ;; esac
case "$*" in "apply -f -") cat >> "$SAID.yaml"; echo --- >> "$SAID.yaml" ;; esac
"""
HELM = """#!/bin/sh
printf 'helm' >> "$SAID"; printf '\\t%s' "$@" >> "$SAID"; echo >> "$SAID"
verb=$1; shift
[ "$1" != --install ] || shift
case "$verb" in
  upgrade) "$REAL" template "$1" "$2" "$3" "$4" --kube-version "$KUBERNETES" > /dev/null ;;
  template) "$REAL" template "$@" --kube-version "$KUBERNETES" ;;
  *) exit 1 ;;
esac
"""
"""Without a cluster there is no release: what an upgrade would send to it is rendered."""
STUBBED = ("docker", "kubectl", "kafka-acls", "curl")


def values() -> str:
    (text,) = blocks("yaml")
    return text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A place to follow the runbook in: the chart, `values.yaml`, programs that write down."""
    (tmp_path / "values.yaml").write_text(values())
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {**dict.fromkeys(STUBBED, STUB), "helm": HELM}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return tmp_path


def followed(folder: Path, block: str) -> list[list[str]]:
    """Run *block*; return the commands that were called, each with its arguments."""
    said = folder / "said"
    said.write_text("")
    done = subprocess.run(  # noqa: S603 - our own runbook
        ["bash", "-euo", "pipefail", "-c", block],  # noqa: S607 - whichever bash there is
        cwd=folder,
        env={
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "SAID": str(said),
            "REAL": tool("helm", get=GET),
            "KUBERNETES": f"{KUBERNETES}.0",
            "IMAGE": "registry.example/planner-webhooks:0.1.0",
            "POSTGRES_PASSWORD": "p",
            "KAFKA_PASSWORD": "k",
            "KEY": "priv_key",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in said.read_text().splitlines()]


COMMANDS = [text for text in blocks("sh") if not text.startswith(("WEBHOOKS_", "planner-webhooks"))]


@pytest.mark.parametrize("block", COMMANDS, ids=lambda text: text.split("\n", 1)[0][:40])
def test_a_block_of_commands_runs_as_it_is_written(folder: Path, block: str) -> None:
    assert followed(folder, block)
    written = folder / "said.yaml"
    for one in yaml.safe_load_all(written.read_text()) if written.exists() else ():
        if one and one["kind"] == "PrometheusRule":
            assert crds.faults(one) == []


def test_the_secret_that_is_made_has_the_keys_that_pods_take(folder: Path) -> None:
    (block,) = [text for text in COMMANDS if "create secret" in text]
    (made,) = [call for call in followed(folder, block) if call[0] == "kubectl"]
    given = {each.removeprefix("--from-literal=").partition("=")[0] for each in made[5:]}
    objects = rendered(yaml.safe_load(values()))
    wanted = {
        variable["valueFrom"]["secretKeyRef"]["key"]
        for workload in (*kind(objects, "Deployment"), *kind(objects, "StatefulSet"))
        for variable in workload["spec"]["template"]["spec"]["containers"][0]["env"]
        if "secretKeyRef" in variable.get("valueFrom", {})
        and not variable["valueFrom"]["secretKeyRef"].get("optional")
    }
    assert given == wanted


def test_objects_that_are_named_are_those_of_the_chart() -> None:
    scaled = {**yaml.safe_load(values()), "dispatch": {"autoscaling": {"kind": "keda"}}}
    names = {one["metadata"]["name"] for one in rendered(scaled, release="webhooks")}
    named = set(re.findall(r"webhooks-planner-webhooks-[a-z-]+[a-z]", TEXT))
    assert named
    assert named <= names
