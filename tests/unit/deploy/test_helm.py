"""The chart: every object is valid, no pod has more rights than it needs, and values are checked."""

import ipaddress
from typing import Any

import kubernetes_validate
import pytest
import yaml

from services.broker.topics import TOPICS
from services.cli.app import app
from services.dispatch.ownership import LAST_SECONDS
from services.kernel.operation import OPS_TOPIC
from services.settings import variables
from services.settings.shared import Kafka
from services.settings.working import Dispatch
from tests.support.chart import (
    CHART,
    KUBERNETES,
    Object,
    helm,
    kind,
    pods,
    refused,
    rendered,
)

LEAST: Object = {"kafka": {"bootstrapServers": "k:9093"}, "secrets": {"existing": "mine"}}
CREATED = {
    "postgres-dsn": "postgresql://w:w@postgres/webhooks",
    "secrets-key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "api-admin-key": "priv_0123456789abcdef",
    "kafka-sasl-username": "webhooks",
    "kafka-sasl-password": "of-kafka",
}
SETS: dict[str, Object] = {
    "least": LEAST,
    "created secrets, plain Kafka": {
        "kafka": {"bootstrapServers": "k:9092", "securityProtocol": "PLAINTEXT"},
        "secrets": {"create": CREATED},
        "networkPolicy": {"enabled": False},
        "migrate": {"enabled": False},
    },
    "all of it": {
        "kafka": {
            "bootstrapServers": "k-1:9093,k-2:9093",
            "tls": {"secret": "kafka-tls", "clientCertificate": True},
        },
        "postgres": {"tls": {"secret": "postgres-tls"}},
        "receivers": {"tls": {"secret": "our-certificate"}, "ca": {"secret": "their-authority"}},
        "secrets": {"create": CREATED},
        "image": {"repository": "registry.example/webhooks", "tag": "1.2.3", "pullSecrets": ["p"]},
        "settings": {"WEBHOOKS_RETRY__BUDGET_ROWS": "20000", "OTEL_RESOURCE_ATTRIBUTES": "a=b"},
        "api": {"ingress": {"enabled": True, "host": "hooks.example.com", "tlsSecret": "cert"}},
        "dispatch": {"drainSeconds": 40, "autoscaling": {"kind": "keda", "partitions": 24}},
        "record": {"autoscaling": {"kind": "keda", "partitions": 4}},
        "podMonitor": {"enabled": True},
        "resetOffsets": {"arguments": ["--to-earliest"]},
        "networkPolicy": {
            "kafka": {"to": [{"podSelector": {"matchLabels": {"app": "kafka"}}}]},
            "apiFrom": [{"namespaceSelector": {}}],
        },
        "nodeSelector": {"pool": "webhooks"},
        "tolerations": [{"key": "webhooks", "operator": "Exists"}],
        "priorityClassName": "high",
    },
    "scaled without KEDA": {
        **LEAST,
        "listenAddress": "[::]",
        "dispatch": {"autoscaling": {"kind": "hpa"}},
        "record": {"autoscaling": {"kind": "hpa", "partitions": 4}},
        "networkPolicy": {"collector": {"ports": [4318]}},
    },
}
CUSTOM = ("keda.sh/", "monitoring.coreos.com/")
"""Kinds that Kubernetes itself doesn't have."""
ROLES = ("api", "dispatch", "record", "geofence")


@pytest.fixture(params=SETS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return rendered(SETS[request.param])


def dispatchers(objects: list[Object]) -> Object:
    (found,) = (
        one for one in kind(objects, "StatefulSet") if one["metadata"]["name"].endswith("-dispatch")
    )
    return found


@pytest.mark.parametrize("name", SETS)
def test_helm_finds_nothing_to_say(name: str) -> None:
    done = helm("lint", "--strict", str(CHART), values=SETS[name])
    assert done.returncode == 0, done.stdout


def test_each_object_is_valid_for_the_kubernetes_that_is_named(objects: list[Object]) -> None:
    assert objects
    for one in objects:
        if not one["apiVersion"].startswith(CUSTOM):
            kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_names_are_told_apart(objects: list[Object]) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(names) == len(set(names))


def test_every_role_of_the_command_line_has_a_workload_and_no_other() -> None:
    commands = {command.name for command in app.registered_commands}
    found = pods(rendered(SETS["all of it"]))
    assert {role for role in found if role in ROLES} == {role for role in ROLES if role in commands}
    for role, pod in found.items():
        assert pod["containers"][0]["args"][0] == role
        assert role in commands


def test_no_pod_has_a_right_that_it_does_not_need(objects: list[Object]) -> None:
    found = pods(objects)
    assert {"api", "dispatch"} <= set(found)
    for pod in found.values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert all("secret" in volume for volume in pod.get("volumes", ()))
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            for which in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(container["resources"][which])
            assert not container["image"].endswith(":latest")
    accounts = kind(objects, "ServiceAccount")
    assert accounts
    assert all(one["automountServiceAccountToken"] is False for one in accounts)


def test_a_dispatcher_that_has_every_partition_stays_within_its_memory() -> None:
    at_work = 150 << 20
    read = [topic for topic in TOPICS if topic.name in (*Kafka().topics, OPS_TOPIC)]
    held = sum(topic.partitions for topic in read) * Dispatch().window_bytes
    limit = pods(rendered(LEAST))["dispatch"]["containers"][0]["resources"]["limits"]["memory"]
    assert at_work + held < int(limit.removesuffix("Gi")) << 30


def test_long_running_pods_have_the_three_probes(objects: list[Object]) -> None:
    found = pods(objects)
    for role in ROLES:
        (container,) = found[role]["containers"]
        paths = {
            name: container[name]["httpGet"]["path"]
            for name in ("startupProbe", "readinessProbe", "livenessProbe")
        }
        assert paths == {
            "startupProbe": "/healthz", "readinessProbe": "/readyz", "livenessProbe": "/healthz",
        }  # fmt: skip
        startup = container["startupProbe"]
        patience = startup["periodSeconds"] * startup["failureThreshold"]
        assert patience >= 30  # a program of some megabytes, on a node where much else begins


def test_a_dispatcher_is_the_same_member_after_a_restart_and_may_finish_what_it_sends(
    objects: list[Object],
) -> None:
    workload = dispatchers(objects)
    pod = workload["spec"]["template"]["spec"]
    given = environment(pod)
    assert given["WEBHOOKS_DISPATCH__INSTANCE"] == {
        "fieldRef": {"fieldPath": "metadata.name"},
    }
    drain = float(given["WEBHOOKS_DISPATCH__DRAIN_SECONDS"])
    assert pod["terminationGracePeriodSeconds"] > drain + LAST_SECONDS
    headless = [s for s in kind(objects, "Service") if s["spec"].get("clusterIP") == "None"]
    assert workload["spec"]["serviceName"] in [s["metadata"]["name"] for s in headless]


def test_each_role_gets_the_secrets_it_uses(objects: list[Object]) -> None:
    found = {role: set(environment(pod)) for role, pod in pods(objects).items()}
    assert "WEBHOOKS_API__ADMIN_KEY" in found["api"]
    assert "WEBHOOKS_API__ADMIN_KEY" not in found["dispatch"]
    assert "WEBHOOKS_POSTGRES__DSN" in found["record"]
    assert not {"WEBHOOKS_SECRETS__KEY", "WEBHOOKS_API__ADMIN_KEY"} & found["record"]
    assert {"WEBHOOKS_SECRETS__KEY", "WEBHOOKS_POSTGRES__DSN"} <= found["api"] & found["dispatch"]
    for role in {"migrate", "reset-offsets"} & set(found):
        assert not {"WEBHOOKS_SECRETS__KEY", "WEBHOOKS_API__ADMIN_KEY"} & found[role]
    assert {r for r, given in found.items() if "OTEL_EXPORTER_OTLP_HEADERS" in given} == {
        "dispatch"
    }


@pytest.mark.parametrize(
    ("variable", "secret"),
    [
        ("WEBHOOKS_DELIVER__CLIENT_CERT_FILE", "our-certificate"),
        ("WEBHOOKS_DELIVER__CA_FILE", "their-authority"),
    ],
)
def test_certificates_for_receivers_are_where_those_are_called_and_nowhere_else(
    variable: str, secret: str
) -> None:
    for role, pod in pods(rendered(SETS["all of it"])).items():
        given = environment(pod)
        held = {v["secret"]["secretName"]: v["name"] for v in pod.get("volumes", ())}
        assert (variable in given) is (secret in held) is (role in ("api", "dispatch")), role
        if variable in given:
            mounts = pod["containers"][0]["volumeMounts"]
            mounted = {m["name"]: m["mountPath"] for m in mounts}
            assert given[variable].rpartition("/")[0] == mounted[held[secret]]


def test_a_setting_that_the_chart_makes_itself_has_no_second_place() -> None:
    """Two values of one variable, or a drain that is longer than the time before the kill."""
    own = {
        name
        for pod in pods(rendered(SETS["all of it"])).values()
        for name in environment(pod)
        if name.startswith(("WEBHOOKS_", "OTEL_")) and name not in SETS["all of it"]["settings"]
    }
    assert len(own) > 15
    said = refused({**LEAST, "settings": dict.fromkeys(own, "1")})
    assert [name for name in own if name not in said] == []


def test_pods_listen_where_they_are_looked_for_with_ipv6_too(objects: list[Object]) -> None:
    for role in ROLES:
        pod = pods(objects)[role]
        ports = {one["name"]: one["containerPort"] for one in pod["containers"][0]["ports"]}
        given = environment(pod)
        address = given["WEBHOOKS_OBSERVE__LISTEN"].removesuffix(f":{ports['observe']}")
        assert address in ("0.0.0.0", "[::]")  # noqa: S104 - of a pod
        if role == "api":
            assert given["WEBHOOKS_API__LISTEN"] == f"{address}:{ports['http']}"


def test_every_setting_of_the_chart_exists(objects: list[Object]) -> None:
    known = {variable for variable, _, _ in variables()}
    for pod in pods(objects).values():
        given = {name for name in environment(pod) if name.startswith("WEBHOOKS_")}
        assert given <= known


def test_metadata_services_can_not_be_reached(objects: list[Object]) -> None:
    addresses = [*map(ipaddress.ip_address, (
        "169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "fe80::a9fe:a9fe",
        "100.100.100.200", "168.63.129.16",
    ))]  # fmt: skip
    for policy in kind(objects, "NetworkPolicy"):
        assert {"Ingress", "Egress"} == set(policy["spec"]["policyTypes"])
        for rule in policy["spec"]["egress"]:
            blocks = [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]
            open_ = [str(a) for a in addresses if any(allows(block, a) for block in blocks)]
            assert not open_, policy["metadata"]["name"]


def test_receivers_may_be_anywhere_public() -> None:
    policies = {p["metadata"]["name"]: p for p in kind(rendered(LEAST), "NetworkPolicy")}
    for name, reaches in (
        ("rel-planner-webhooks-dispatch", True),
        ("rel-planner-webhooks-api", True),
        ("rel-planner-webhooks-migrate", False),
    ):
        at_443 = [
            peer["ipBlock"]
            for rule in policies[name]["spec"]["egress"]
            if 443 in {port["port"] for port in rule["ports"]}
            for peer in rule["to"]
        ]
        public = [ipaddress.ip_address(text) for text in ("93.184.216.34", "2606:2800::1")]
        private = [ipaddress.ip_address(text) for text in ("10.0.0.7", "192.168.1.1", "fd12::1")]
        assert all(any(allows(block, a) for block in at_443) for a in public) is reaches
        assert not any(allows(block, a) for block in at_443 for a in private)


def test_kafka_and_postgres_may_be_pods_or_addresses() -> None:
    """Some networks (Cilium) don't count pods among the addresses of an `ipBlock`."""
    for policy in kind(rendered(LEAST), "NetworkPolicy"):
        for port in (9093, 5432):
            (peers,) = (
                rule["to"]
                for rule in policy["spec"]["egress"]
                if port in {each["port"] for each in rule["ports"]}
            )
            assert {"namespaceSelector": {}} in peers
            blocks = [peer["ipBlock"] for peer in peers if "ipBlock" in peer]
            for address in ("10.1.2.3", "fd12::3"):
                assert any(allows(block, ipaddress.ip_address(address)) for block in blocks)


def test_what_is_scaled_by_lag_ends_at_the_number_of_partitions() -> None:
    scaled = {
        one["metadata"]["name"]: one["spec"]
        for one in kind(rendered(SETS["all of it"]), "ScaledObject")
    }
    dispatch, record = (
        scaled["rel-planner-webhooks-dispatch"],
        scaled["rel-planner-webhooks-record"],
    )
    assert (dispatch["maxReplicaCount"], record["maxReplicaCount"]) == (24, 4)
    assert watched(dispatch) == {
        ("webhooks", "planner.events"), ("webhooks", "planner.master"),
        ("webhooks", "planner.positions"),
    }  # fmt: skip
    assert watched(record) == {("webhooks.record", "webhooks.attempts")}
    found = rendered(SETS["scaled without KEDA"])
    hpas = {one["metadata"]["name"]: one["spec"] for one in kind(found, "HorizontalPodAutoscaler")}
    ceilings = {name.rpartition("-")[2]: hpa["maxReplicas"] for name, hpa in hpas.items()}
    assert ceilings == {"dispatch": 8, "record": 4}
    groups = {
        name.rpartition("-")[2]: hpa["metrics"][0]["external"]["metric"]["selector"]["matchLabels"]
        for name, hpa in hpas.items()
    }
    assert groups == {
        "dispatch": {"consumergroup": "webhooks"}, "record": {"consumergroup": "webhooks.record"},
    }  # fmt: skip


def test_what_is_scaled_has_no_number_of_its_own() -> None:
    """An upgrade would undo what was scaled."""
    for name in ("all of it", "scaled without KEDA"):
        for workload in kind(rendered(SETS[name]), "StatefulSet"):
            if workload["metadata"]["name"].endswith(("-dispatch", "-record")):
                assert "replicas" not in workload["spec"]


@pytest.mark.parametrize("role", ["dispatch", "record"])
def test_more_at_least_than_at_most_is_refused(role: str) -> None:
    too_many = {"autoscaling": {"kind": "keda", "min": 9, "partitions": 8}}
    assert f"{role}.autoscaling.min is more than" in refused({**LEAST, role: too_many})


def watched(scaled: Object) -> set[tuple[str, str]]:
    return {
        (trigger["metadata"]["consumerGroup"], trigger["metadata"]["topic"])
        for trigger in scaled["triggers"]
    }


def test_keda_signs_in_to_kafka_as_we_do() -> None:
    found = rendered(SETS["all of it"])
    (signing_in,) = kind(found, "TriggerAuthentication")
    named = {one["parameter"]: one for one in signing_in["spec"]["secretTargetRef"]}
    assert set(named) == {"username", "password", "ca", "cert", "key", "sasl", "tls"}
    (values,) = [s for s in kind(found, "Secret") if s["metadata"]["name"] == named["sasl"]["name"]]
    assert values["stringData"] == {"sasl": "scram_sha512", "tls": "enable"}


def test_the_migration_runs_before_what_needs_it_with_what_it_needs() -> None:
    for name in ("least", "all of it"):
        found = rendered(SETS[name])
        (job,) = [j for j in kind(found, "Job") if j["metadata"]["name"].endswith("-migrate")]
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        wanted = environment(pods([job])["migrate"])["WEBHOOKS_POSTGRES__DSN"]["secretKeyRef"][
            "name"
        ]
        here = {s["metadata"]["name"]: s for s in kind(found, "Secret")}
        if wanted in here:  # else it was there before the release
            assert here[wanted]["metadata"]["annotations"]["helm.sh/hook-weight"] == "-5"
        policies = {p["metadata"]["name"]: p["metadata"] for p in kind(found, "NetworkPolicy")}
        let_out = policies.pop("rel-planner-webhooks-migrate")["annotations"]
        assert let_out["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert let_out["helm.sh/hook-weight"] == "-5"
        assert not any("annotations" in other for other in policies.values())


def test_a_node_can_be_emptied_whatever_ails_its_pods(objects: list[Object]) -> None:
    budgets = kind(objects, "PodDisruptionBudget")
    assert len(budgets) == len(ROLES)
    for budget in budgets:
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_names_are_short_enough_for_labels_whatever_the_release_is_called() -> None:
    """A pod's name and its revision's are labels: a hyphen and ten characters more."""
    done = helm("template", "r" * 53, str(CHART), values=LEAST)
    assert done.returncode == 0, done.stderr
    names = [
        one["metadata"]["name"]
        for one in yaml.safe_load_all(done.stdout)
        if one and "template" in one.get("spec", {})
    ]
    assert max(map(len, names)) <= 63 - 11


def test_offsets_are_reset_only_where_somebody_said_how() -> None:
    assert "reset-offsets" not in pods(rendered(LEAST))
    values = {**LEAST, "resetOffsets": {"arguments": ["--to-datetime", "2026-03-17T09:00:00Z"]}}
    pod = pods(rendered(values))["reset-offsets"]
    assert pod["containers"][0]["args"] == [
        "reset-offsets", "--to-datetime", "2026-03-17T09:00:00Z",
    ]  # fmt: skip
    assert "WEBHOOKS_POSTGRES__DSN" not in environment(pod)
    values["resetOffsets"]["arguments"].append("--with-lanes")  # which are in Postgres
    assert "WEBHOOKS_POSTGRES__DSN" in environment(pods(rendered(values))["reset-offsets"])


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"secrets": {"existing": "mine"}}, "bootstrapServers"),
        ({"kafka": {"bootstrapServers": "k:9092"}}, "secrets"),
        ({**LEAST, "secrets": {"existing": "mine", "create": CREATED}}, "secrets"),
        ({**LEAST, "secrets": {"create": {**CREATED, "api-admin-key": "short"}}}, "api-admin-key"),
        ({**LEAST, "dispach": {"replicas": 3}}, "dispach"),
        ({**LEAST, "dispatch": {"replicas": "three"}}, "/dispatch/replicas"),
        ({**LEAST, "settings": {"RETRY_ROWS": "1"}}, "RETRY_ROWS"),
        ({**LEAST, "networkPolicy": {"receivers": {"except4": []}}}, "except4"),
    ],
)
def test_wrong_values_are_refused_by_their_place(values: Object, where: str) -> None:
    assert where in refused(values)


def environment(pod: Object) -> dict[str, Any]:
    (container,) = pod["containers"]
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def allows(block: Object, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    outside = [ipaddress.ip_network(text) for text in block.get("except", ())]
    inside = ipaddress.ip_network(block["cidr"])
    return address in inside and not any(address in network for network in outside)
