"""A spec that is in order, and a way to spoil it."""

from __future__ import annotations

import copy
from typing import Any

DIGEST = "sha256:" + "0" * 64

SPEC: dict[str, Any] = {
    "source": {
        "uri": "s3://models/digits/",
        "format": "torch",
        "entrypoint": "model:build",
        "kwargs": {"width": 32},
        "trustCode": True,
        "inputs": [{"name": "image", "dtype": "float32", "shape": ["batch", 1, 8, 8]}],
        "outputs": [{"name": "logits"}],
    },
    "compression": {
        "data": {"train": {"uri": "s3://data/train.npz"}},
        "objective": {"loss": "CrossEntropy"},
        "stages": [
            {"prune": {"structure": "Channel", "amount": {"channels": 0.5}}},
            {"finetune": {"epochs": 3}},
            {"fuse": {}},
            {"quantize": {"preset": "INT8"}},
        ],
    },
    "evaluation": {
        "test": {"uri": "s3://data/test.npz"},
        "metrics": [{"name": "top1", "type": "accuracy"}],
        "gates": [{"metric": "top1", "goal": "MaxDegradation", "value": 0.02}],
    },
    "serving": {"replicas": 1, "resources": {"requests": {"cpu": 1, "memory": "1Gi"}}},
    "update": {"interval": "5m"},
}


def spec_with(path: str, value: Any) -> dict[str, Any]:
    """Return the spec with `value` at `path`, `a.b.0.c`; None removes what is there."""
    spec = copy.deepcopy(SPEC)
    *above, last = path.split(".")
    parent: Any = spec
    for step in above:
        parent = parent[int(step)] if isinstance(parent, list) else parent.setdefault(step, {})
    if value is None:
        del parent[last]
    else:
        parent[int(last) if isinstance(parent, list) else last] = value
    return spec


def model(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Return a CompressedModel."""
    return {
        "apiVersion": "modelpress.io/v1alpha1",
        "kind": "CompressedModel",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def artifact(name: str, **changes: Any) -> dict[str, Any]:
    """Return a ModelArtifact with `changes` in its source."""
    source = {**SPEC["source"], **changes}
    return {
        "apiVersion": "modelpress.io/v1alpha1",
        "kind": "ModelArtifact",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "key": "0" * 64,
            "source": source,
            "sourceDigest": DIGEST,
            "compression": SPEC["compression"],
            "destination": "s3://artifacts/x",
        },
    }


def revision(name: str, image: str) -> dict[str, Any]:
    """Return a ModelRevision whose pod runs `image`."""
    return {
        "apiVersion": "modelpress.io/v1alpha1",
        "kind": "ModelRevision",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "key": "0" * 64,
            "artifact": "digits-0000000000",
            "manifestDigest": DIGEST,
            "podTemplate": {"spec": {"containers": [{"name": "triton", "image": image}]}},
            "models": "{}",
        },
    }
