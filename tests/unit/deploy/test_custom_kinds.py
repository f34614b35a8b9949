"""What KEDA and the Prometheus operator read of the chart is what they define, in the version named."""

from copy import deepcopy

import pytest

from tests.support import crds
from tests.support.chart import Object, kind, rendered
from tests.unit.deploy.test_helm import CUSTOM, SETS

SCALED = "ScaledObject"


def custom() -> list[Object]:
    """Return each object of a kind that Kubernetes itself doesn't have, of every set of values."""
    return [
        one
        for values in (*SETS.values(), *PLAIN)
        for one in rendered(values)
        if one["apiVersion"].startswith(CUSTOM)
    ]


PLAIN = [
    {
        "kafka": {"bootstrapServers": "k:9092", "securityProtocol": protocol},
        "secrets": {"existing": "mine"},
        "dispatch": {"autoscaling": {"kind": "keda"}},
    }
    for protocol in ("PLAINTEXT", "SSL", "SASL_PLAINTEXT")
]
"""Other ways to sign in, which make other triggers."""


def test_each_object_is_valid_by_the_definition_of_its_kind() -> None:
    found = custom()
    assert {one["kind"] for one in found} == set(crds.OF_THE_CHART)
    for one in found:
        assert crds.faults(one) == [], one["metadata"]["name"]


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("pollInterval", 15, "pollInterval"),
        ("maxReplicaCount", "24", "not of type"),
        ("scaleTargetRef", {"kind": "StatefulSet"}, '"name" is a required property'),
        ("triggers", None, '"triggers" is a required property'),
    ],
)
def test_the_check_finds_what_a_server_would_refuse_or_drop(
    place: str, value: object, said: str
) -> None:
    wrong = deepcopy(kind(custom(), SCALED)[0])
    wrong["spec"] = {**wrong["spec"], place: value}
    if value is None:
        del wrong["spec"][place]
    assert said in " ".join(crds.faults(wrong))


def test_another_version_of_a_kind_is_a_fault() -> None:
    (monitor, *_) = kind(custom(), "PodMonitor")
    assert "is not served" in " ".join(
        crds.faults({**monitor, "apiVersion": "monitoring.coreos.com/v2"})
    )


def test_kedas_kafka_trigger_reads_every_field_that_it_is_given() -> None:
    fields, parameters = crds.kafka_trigger()
    assert {"bootstrapServers", "lagThreshold"} <= fields, "read from its source"
    found = custom()
    triggers = [each for one in kind(found, SCALED) for each in one["spec"]["triggers"]]
    assert triggers
    for trigger in triggers:
        assert trigger["type"] == "kafka"
        assert set(trigger["metadata"]) <= fields
    for one in kind(found, "TriggerAuthentication"):
        assert {each["parameter"] for each in one["spec"]["secretTargetRef"]} <= parameters
