"""The pod of a revision that is verified before it gets requests, and what it needs, all named `<revision>-verify`.

The pod is what a serving pod of the revision is, but for its role: so no Service that leads to requests finds it. One
Job alone may reach it, and only over gRPC.
"""

from __future__ import annotations

from typing import Any

from modelpress.api.names import MODEL_LABEL, REVISION_LABEL, ROLE_ASK, ROLE_LABEL, ROLE_VERIFY, verification_name
from modelpress.api.resources import CompressedModel, ModelRevision
from modelpress.api.servingpod import GRPC_PORT, MODELS_KEY

from ..metadata import metadata
from .pod_template import WANTED_VOLUME


def verification_set(model: CompressedModel, revision: ModelRevision) -> list[dict[str, Any]]:
    """Return ConfigMap, NetworkPolicy, Service and Deployment, in the order in which they are needed.

    The Deployment is without `replicas`; one pod is enough.
    """
    name, labels = verification_name(revision.metadata.name), _labels(model, revision, ROLE_VERIFY)

    def of(api_version: str, kind: str, **content: Any) -> dict[str, Any]:
        artifact = revision.spec.artifact
        meta = metadata(name, model, role=ROLE_VERIFY, revision=revision.metadata.name, artifact=artifact)
        return {"apiVersion": api_version, "kind": kind, "metadata": meta, **content}

    asks = {"podSelector": {"matchLabels": _labels(model, revision, ROLE_ASK)}}
    allowed = {"from": [asks], "ports": [{"protocol": "TCP", "port": GRPC_PORT}]}
    policy = {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"], "ingress": [allowed]}
    port = {"name": "grpc", "port": GRPC_PORT, "targetPort": "grpc", "protocol": "TCP"}
    deployment = {
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": labels},
        "template": _template(revision, name),
    }
    return [
        of("v1", "ConfigMap", data={MODELS_KEY: revision.spec.models}),
        of("networking.k8s.io/v1", "NetworkPolicy", spec=policy),
        of("v1", "Service", spec={"selector": labels, "ports": [port]}),
        of("apps/v1", "Deployment", spec=deployment),
    ]


def _labels(model: CompressedModel, revision: ModelRevision, role: str) -> dict[str, str]:
    return {MODEL_LABEL: model.metadata.name, ROLE_LABEL: role, REVISION_LABEL: revision.metadata.name}


def _template(revision: ModelRevision, config_map: str) -> dict[str, Any]:
    """Return the pod template that the revision keeps, in its other role and with a ConfigMap of its own."""
    kept = revision.spec.pod_template
    labels = {**kept["metadata"]["labels"], ROLE_LABEL: ROLE_VERIFY}
    volumes = [
        {**volume, "configMap": {"name": config_map}} if volume["name"] == WANTED_VOLUME else volume
        for volume in kept["spec"]["volumes"]
    ]
    return {"metadata": {**kept["metadata"], "labels": labels}, "spec": {**kept["spec"], "volumes": volumes}}
