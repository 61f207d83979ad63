"""A planner whose plan stands in the model's spec, so that tests of the machinery need no product.

`spec.apply`: [{manifest, atCreation, once}], `spec.scale`: {deployment: replicas}, `spec.delete`: [[kind, name]],
`spec.events`: [[type, reason, message]]. The status says which generation was planned and which problems were met.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from modelpress.api.base import API_VERSION, GROUP
from modelpress.api.names import MODEL_LABEL
from modelpress.control.kinds import ARTIFACT, MODEL, REVISION
from modelpress.control.plan import Apply, Delete, EventNote, Observed, Plan, Reference, Scale, StatusWrite


def plan(observed: Observed, _now: datetime, _installation: None) -> Plan:
    """Return what the spec says."""
    model = observed.model
    spec, metadata = model.get("spec") or {}, model["metadata"]
    doomed = [observed.find(kind, name) for kind, name in spec.get("delete", ())]
    deployments = {name: observed.find("Deployment", name) for name in spec.get("scale", {})}
    return Plan(
        apply=tuple(
            Apply(owned(wish["manifest"], model), wish.get("atCreation", {}), wish.get("once", False))
            for wish in spec.get("apply", ())
        ),
        scale=tuple(
            Scale(Reference.of(deployment), spec["scale"][name])
            for name, deployment in deployments.items()
            if deployment
        ),
        delete=tuple(Delete(Reference.of(child), child["metadata"]["uid"]) for child in doomed if child),
        status=(
            StatusWrite(
                Reference.of(model),
                metadata["uid"],
                metadata["resourceVersion"],
                {
                    "observedGeneration": metadata["generation"],
                    "children": sorted(f"{child['kind']}/{child['metadata']['name']}" for child in observed.children),
                    "problems": sorted(
                        f"{problem.reason}: {problem.message}" for problem in observed.problems.values()
                    ),
                },
            ),
        ),
        events=tuple(EventNote(*event) for event in spec.get("events", ())),
    )


def owned(manifest: dict[str, Any], model: Any) -> dict[str, Any]:
    """Return `manifest` in the model's namespace, with its label, owned by it."""
    metadata = manifest["metadata"]
    owner = {"apiVersion": API_VERSION, "kind": MODEL.kind, "controller": True}
    return manifest | {
        "metadata": metadata
        | {
            "namespace": model["metadata"]["namespace"],
            "labels": metadata.get("labels", {}) | {MODEL_LABEL: model["metadata"]["name"]},
            "ownerReferences": [owner | {"name": model["metadata"]["name"], "uid": model["metadata"]["uid"]}],
        }
    }


def owned_by_label(manifest: dict[str, Any], model_name: str) -> dict[str, Any]:
    """Return `manifest` with the model's label alone."""
    return manifest | {"metadata": manifest["metadata"] | {"labels": {MODEL_LABEL: model_name}}}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(name: str, **container: Any) -> dict[str, Any]:
    """A Deployment with one container; no `replicas`."""
    labels = {"app": name}
    pod = {"containers": [{"name": "main", "image": "example.invalid/image", **container}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def model(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": MODEL.kind, "metadata": metadata, "spec": spec}


def definitions() -> list[dict[str, Any]]:
    """The three resources with any content: the machinery knows nothing of what is in a spec."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}}
    return [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{kind.plural}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": {"kind": kind.kind, "plural": kind.plural, "singular": kind.kind.lower()},
                "versions": [
                    {
                        "name": kind.version,
                        "served": True,
                        "storage": True,
                        "schema": schema,
                        "subresources": {"status": {}},
                    }
                ],
            },
        }
        for kind in (MODEL, ARTIFACT, REVISION)
    ]
