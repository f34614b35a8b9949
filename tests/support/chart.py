"""The Helm chart, rendered with some values."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from tests.support.tools import tool

CHART = Path(__file__).resolve().parents[2] / "deploy" / "helm"
KUBERNETES = "1.34"
"""What objects are validated against; the chart itself asks for 1.30 or newer."""
GET = "`go install helm.sh/helm/v3/cmd/helm@v3.19.0` brings it"
Object: TypeAlias = dict[str, Any]


def helm(*arguments: str, values: Object | None = None) -> "subprocess.CompletedProcess[str]":
    """Run helm with *values*."""
    return subprocess.run(  # noqa: S603 - our own arguments
        [tool("helm", get=GET), *arguments, "--kube-version", f"{KUBERNETES}.0", "--values", "-"],
        input=json.dumps(values or {}), capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip


def rendered(values: Object, *, release: str = "rel") -> list[Object]:
    """Return the objects that the chart makes of *values*."""
    return [found for found in yaml.safe_load_all(_text(json.dumps(values), release)) if found]


@cache
def _text(values: str, release: str) -> str:
    done = helm("template", release, str(CHART), values=json.loads(values))
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(values: Object) -> str:
    """Return why the chart takes no such *values*."""
    done = helm("template", "rel", str(CHART), values=values)
    assert done.returncode != 0, done.stdout
    return done.stderr


def pods(objects: list[Object]) -> dict[str, Object]:
    """Return the spec of each pod that *objects* make, by its component."""
    found = {}
    for one in objects:
        template = one.get("spec", {}).get("template")
        if template is not None:
            found[template["metadata"]["labels"]["app.kubernetes.io/component"]] = template["spec"]
    return found


def kind(objects: list[Object], name: str) -> list[Object]:
    """Return the objects of one kind."""
    return [one for one in objects if one["kind"] == name]
