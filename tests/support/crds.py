"""Custom kinds of the chart, held to the definitions of those who read them: Go modules."""

import json
import re
import shutil
import subprocess
import tempfile
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from tests.support.chart import Object
from tests.support.tools import missing

KEDA = "github.com/kedacore/keda/v2@v2.17.2"
OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
DEFINED = {
    "ScaledObject": (KEDA, "config/crd/bases/keda.sh_scaledobjects.yaml"),
    "TriggerAuthentication": (KEDA, "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    "PodMonitor": (
        OPERATOR, "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
    ),
    "PrometheusRule": (
        OPERATOR, "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
}  # fmt: skip
"""Where the definition of each kind stands. `.ci/run` fetches both modules."""
OF_THE_CHART = ("ScaledObject", "TriggerAuthentication", "PodMonitor")


@cache
def _module(name: str) -> Path:
    """Return the folder of a module; fetched once, and in Go's own cache from then on."""
    go = shutil.which("go") or missing("go is not on the PATH: it fetches definitions of kinds")
    with tempfile.TemporaryDirectory() as nowhere:  # in no module of anybody's
        done = subprocess.run(  # noqa: S603 - our own arguments
            [go, "mod", "download", "-json", name],
            cwd=nowhere, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        missing(f"`go mod download {name}` brings the definitions of kinds: {done.stdout.strip()}")
    return Path(json.loads(done.stdout)["Dir"])


def faults(one: Object) -> list[str]:
    """Return what the definition of its kind and version finds wrong with an object."""
    module, file = DEFINED[one["kind"]]
    found = yaml.safe_load((_module(module) / file).read_text(encoding="utf-8"))["spec"]
    group, _, version = one["apiVersion"].partition("/")
    served = {each["name"]: each for each in found["versions"] if each["served"]}
    if group != found["group"] or version not in served:
        return [f"{one['apiVersion']} is not served: {found['group']}/{', '.join(served)} is"]
    schema = _closed(served[version]["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}  # Kubernetes' own
    return [
        f"{'/'.join(map(str, error.instance_path))}: {error.message}"
        for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(one)
    ]


def _closed(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """Return *schema* with what a server drops silently made a fault: fields that it doesn't know."""
    closed = deepcopy(schema)
    for node in _nodes(closed):
        is_open = node.get("x-kubernetes-preserve-unknown-fields")
        if "properties" in node and not is_open:
            node.setdefault("additionalProperties", False)
    return closed


def _nodes(node: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON
    if isinstance(node, list):
        return [below for each in node for below in _nodes(each)]
    if not isinstance(node, dict):
        return []
    below = [found for each in node.values() for found in _nodes(each)]
    is_schema = isinstance(node.get("type"), str)  # and no field that is called `properties`
    return [node, *below] if is_schema else below


def kafka_trigger() -> tuple[set[str], set[str]]:
    """Return the fields that KEDA reads of a Kafka trigger, and of its authentication.

    The definition of the kind says of both that they are texts, and no more.
    """
    source = (_module(KEDA) / "pkg/scalers/kafka_scaler.go").read_text(encoding="utf-8")
    constants = dict(re.findall(r'(\w+)\s+= "(\w+)"', source))

    def read(of: str) -> set[str]:
        named = re.findall(rf"config\.{of}\[(\"?)(\w+)\"?\]", source)
        return {name if quoted else constants[name] for quoted, name in named}

    return read("TriggerMetadata"), read("AuthParams")
