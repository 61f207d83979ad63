"""What the chart installs, as helm renders it: rights, settings that the operator can read, values that are checked."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
import yaml
from tests.integration.chart.conftest import HelmRefusedError, Template

from modelpress import __version__
from modelpress.api.base import GROUP
from modelpress.control.kinds import EXTENSIONS, WATCHED
from modelpress.render.installation import Installation
from modelpress.render.serving.network_policy import OPERATOR_POD_LABELS

SEE = {"get", "list", "watch"}
OWN = SEE | {"create", "patch", "delete"}


def of_kind(manifests: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def one(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = of_kind(manifests, kind)
    return found


def verbs(rules: list[dict[str, Any]]) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found[group, resource] |= set(rule["verbs"])
    return dict(found)


def operator_rules(manifests: list[dict[str, Any]], kind: str = "ClusterRole") -> list[list[dict[str, Any]]]:
    return [role["rules"] for role in of_kind(manifests, kind) if role["metadata"]["name"] == "modelpress"]


def test_the_operator_may_do_what_it_does_and_nothing_else(helm_template: Template) -> None:
    (rules,) = operator_rules(helm_template())
    read_only = {("", "pods"), (GROUP, "compressedmodels")}
    kinds = {(kind.group, kind.plural) for kind in WATCHED + EXTENSIONS}
    wanted = {kind: SEE if kind in read_only else OWN for kind in kinds}
    wanted |= {(GROUP, f"{kind.plural}/status"): {"update"} for kind in WATCHED if kind.group == GROUP}
    assert verbs(rules) == wanted | {("apps", "deployments/scale"): {"patch"}, ("", "events"): {"create", "patch"}}


def test_with_namespaces_named_it_has_no_rights_elsewhere(helm_template: Template) -> None:
    manifests = helm_template({"watchNamespaces": ["a", "b"], "rbac": {"aggregate": False}})
    assert of_kind(manifests, "ClusterRole") == []
    assert of_kind(manifests, "ClusterRoleBinding") == []
    roles = operator_rules(manifests, "Role")
    (everywhere,) = operator_rules(helm_template())
    assert roles == [everywhere, everywhere]
    assert {role["metadata"]["namespace"] for role in of_kind(manifests, "Role")} == {"a", "b", "modelpress-system"}
    assert "--watch-namespaces=a,b" in operator_container(manifests)["args"]


def test_the_lease_is_its_own_alone(helm_template: Template) -> None:
    (role,) = of_kind(helm_template(), "Role")
    create, hold = role["rules"]
    assert (create["verbs"], create["resources"]) == (["create"], ["leases"])
    assert (hold["resourceNames"], set(hold["verbs"])) == (["modelpress"], {"get", "update"})
    assert "--lease-name=modelpress" in operator_container(helm_template())["args"]


def operator_container(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    (container,) = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(container)


def test_the_operator_can_read_what_the_chart_writes(helm_template: Template) -> None:
    resources = {"requests": {"cpu": 2, "memory": "1Gi"}}
    values = {
        "images": {"operator": "test/operator@sha256:" + "1" * 64, "triton": "test/triton:2"},
        "imagePullPolicy": "Never",
        "triton": {"backend": "python"},
        "artifacts": {"uri": "s3://artifacts", "secretName": "write"},
        "defaults": {
            "job": {"resources": resources, "timeout": "2h", "scratch": {"size": "5Gi"}},
            "serving": {"resources": resources},
        },
        "pods": {
            "imagePullSecrets": ["pull"],
            "helperResources": resources,
            "drainSeconds": 7.5,
            "proxy": {"httpsProxy": "http://proxy.example:3128"},
            "certificateAuthorities": {"configMap": "authorities"},
        },
        "clusterDomain": "example.local",
        "prometheus": {"address": "http://prometheus.monitoring:9090", "analysisQueries": True},
        "gateway": {"name": "public", "namespace": "gateways", "domain": "example.org"},
    }
    read = installation(helm_template(values))
    assert read.to_wire() == {
        "images": {
            "operator": "test/operator@sha256:" + "1" * 64,
            "compressor": f"modelpress/compressor:{__version__}",
            "triton": "test/triton:2",
        },
        "tritonBackend": "python",
        "imagePullPolicy": "Never",
        "imagePullSecrets": ["pull"],
        "artifacts": {"uri": "s3://artifacts", "secretName": "write"},
        "job": {"resources": resources, "timeout": "2h", "scratch": {"size": "5Gi"}},
        "serving": {"resources": resources},
        "helperResources": resources,
        "drainSeconds": 7.5,
        "clusterDomain": "example.local",
        "operatorNamespace": "modelpress-system",
        "prometheus": {"address": "http://prometheus.monitoring:9090", "analysisQueries": True},
        "gateway": {"name": "public", "namespace": "gateways", "domain": "example.org"},
        "proxy": {"httpsProxy": "http://proxy.example:3128"},
        "certificateAuthorities": {"configMap": "authorities", "key": "ca.crt"},
    }


def installation(manifests: list[dict[str, Any]]) -> Installation:
    (text,) = one(manifests, "ConfigMap")["data"].values()
    return Installation.model_validate(yaml.safe_load(text))


def test_without_values_every_setting_is_the_operators_own_default(helm_template: Template) -> None:
    read = installation(helm_template())
    assert (
        read.to_wire()
        == Installation(
            images=read.images, image_pull_policy="IfNotPresent", operator_namespace="modelpress-system"
        ).to_wire()
    )


def test_a_changed_installation_restarts_the_operator_and_nothing_else_does(helm_template: Template) -> None:
    def template(values: dict[str, Any]) -> object:
        return one(helm_template(values), "Deployment")["spec"]["template"]

    assert template({"pods": {"drainSeconds": 30}}) != template({})
    assert template({"rbac": {"aggregate": False}, "metrics": {"podMonitor": {"enabled": True}}}) == template({})


def test_compression_pods_let_in_this_operator(helm_template: Template) -> None:
    labels = one(helm_template(), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert OPERATOR_POD_LABELS.items() <= labels.items()


def test_every_pod_of_the_chart_is_restricted(helm_template: Template) -> None:
    manifests = helm_template()
    pods = [one(manifests, "Deployment")["spec"]["template"]["spec"], one(manifests, "Pod")["spec"]]
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_definitions_are_upgraded_with_the_chart_and_stay_when_it_goes(helm_template: Template) -> None:
    definitions = of_kind(helm_template(), "CustomResourceDefinition")
    assert {one["metadata"]["annotations"]["helm.sh/resource-policy"] for one in definitions} == {"keep"}
    assert len(definitions) == 3
    loose = of_kind(helm_template({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert [one["metadata"].get("annotations") for one in loose] == [None] * 3
    assert of_kind(helm_template({"crds": {"install": False}}), "CustomResourceDefinition") == []


def test_people_may_what_their_role_says(helm_template: Template) -> None:
    roles = {role["metadata"]["name"]: role for role in of_kind(helm_template(), "ClusterRole")}
    view, edit = verbs(roles["modelpress-view"]["rules"]), verbs(roles["modelpress-edit"]["rules"])
    assert all(found == SEE for found in view.values())
    assert {"create", "update", "patch", "delete"} <= edit[GROUP, "compressedmodels"]
    assert (GROUP, "compressedmodels/status") not in edit
    for name in ("view", "edit", "admin"):
        label = f"rbac.authorization.k8s.io/aggregate-to-{name}"
        assert roles[f"modelpress-{name}"]["metadata"]["labels"][label] == "true"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"artefacts": {}}, "artefacts"),
        ({"triton": {"backend": "tensorflow"}}, "backend"),
        ({"images": {"operator": "UPPER case"}}, "operator"),
        ({"pods": {"drainSeconds": 0}}, "drainSeconds"),
        ({"operator": {"replicas": "two"}}, "replicas"),
        ({"artifacts": {"uri": "no-scheme"}}, "uri"),
        ({"prometheus": {"address": "prometheus:9090"}}, "address"),
        ({"serviceAccount": {"create": False}}, "serviceAccount.name"),
    ],
)
def test_a_wrong_value_is_refused_by_name(helm_template: Template, values: dict[str, Any], named: str) -> None:
    with pytest.raises(HelmRefusedError, match=named):
        helm_template(values)


def test_metrics_are_scraped_where_there_is_a_prometheus(helm_template: Template) -> None:
    both = {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}
    manifests = helm_template({"metrics": both, "watchNamespaces": ["a"]})
    labels = one(manifests, "Service")["metadata"]["labels"]
    assert one(manifests, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert one(manifests, "PodMonitor")["spec"]["namespaceSelector"] == {"matchNames": ["a"]}
    assert of_kind(helm_template(), "ServiceMonitor") == []
