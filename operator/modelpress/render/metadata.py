"""Metadata of derived objects: name, namespace, labels, and the owner they go away with."""

from __future__ import annotations

from typing import Any

from modelpress.api.base import API_VERSION
from modelpress.api.names import labels
from modelpress.api.resources import CompressedModel, ModelArtifact, ModelRevision

NAME_LIMIT = 63
"""Most characters of a name that also is a label's value or a DNS label."""

Owner = CompressedModel | ModelArtifact | ModelRevision


def owner_reference(owner: Owner) -> dict[str, Any]:
    """Return the reference that makes an object go when `owner` goes; it does not hold up the owner's own deletion."""
    return {
        "apiVersion": API_VERSION,
        "kind": type(owner).__name__,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def metadata(
    name: str,
    model: CompressedModel,
    *,
    owner: Owner | None = None,
    role: str | None = None,
    revision: str | None = None,
    artifact: str | None = None,
) -> dict[str, Any]:
    """Return the metadata of an object derived from `model`, owned by it unless another `owner` is named."""
    if len(name) > NAME_LIMIT:
        raise ValueError(f"the name {name} has {len(name)} characters, {NAME_LIMIT} are the most")
    return {
        "name": name,
        "namespace": model.metadata.namespace,
        "labels": labels(model.metadata.name, role, revision=revision, artifact=artifact),
        "ownerReferences": [owner_reference(owner or model)],
    }
