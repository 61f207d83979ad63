"""NetworkPolicies: who may talk to a model's pods.

Only ingress is governed. Egress is not: a policy is for a whole pod, and the pod that runs tenants' code has to reach
the store in its other containers. Where tenants' code must not reach the network, the cluster's owner restricts egress
of the namespace to the stores (docs/operations.md).
"""

from __future__ import annotations

from typing import Any

from modelpress.api.names import (
    MODEL_LABEL,
    ROLE_ASK,
    ROLE_COMPRESS,
    ROLE_EVALUATE,
    ROLE_LABEL,
    ROLE_RESOLVE,
    ROLE_SERVE,
)
from modelpress.api.resources import CompressedModel
from modelpress.api.servingpod import AGENT_PORT, HTTP_PORT
from modelpress.api.tasks import PROGRESS_PORT

from ..installation import Installation
from ..metadata import metadata

OPERATOR_POD_LABELS = {"app.kubernetes.io/name": "modelpress", "app.kubernetes.io/component": "operator"}
"""Labels of the operator's own pods, as the chart sets them."""


def network_policy(model: CompressedModel) -> dict[str, Any]:
    """Return the policy of serving pods: in through Envoy and the agent's readiness port, and no other way."""
    pods = {"matchLabels": {MODEL_LABEL: model.metadata.name, ROLE_LABEL: ROLE_SERVE}}
    ports = [{"protocol": "TCP", "port": HTTP_PORT, "endPort": AGENT_PORT}]
    return _policy(f"{model.metadata.name}-serve", model, pods, {"ports": ports})


def job_network_policy(model: CompressedModel, installation: Installation) -> dict[str, Any]:
    """Return the policy of pods of Jobs: in for the operator's question about progress, and no other way."""
    roles = {"key": ROLE_LABEL, "operator": "In", "values": [ROLE_ASK, ROLE_COMPRESS, ROLE_EVALUATE, ROLE_RESOLVE]}
    pods = {"matchLabels": {MODEL_LABEL: model.metadata.name}, "matchExpressions": [roles]}
    operator = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": installation.operator_namespace}},
        "podSelector": {"matchLabels": OPERATOR_POD_LABELS},
    }
    ports = [{"protocol": "TCP", "port": PROGRESS_PORT}]
    return _policy(f"{model.metadata.name}-jobs", model, pods, {"from": [operator], "ports": ports})


def _policy(name: str, model: CompressedModel, pods: dict[str, Any], rule: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(name, model),
        "spec": {"podSelector": pods, "policyTypes": ["Ingress"], "ingress": [rule]},
    }
