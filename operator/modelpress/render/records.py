"""ModelArtifact and ModelRevision: what the operator makes of a model, written once and never changed."""

from __future__ import annotations

from typing import Any

from modelpress.api.base import API_VERSION
from modelpress.api.names import keyed_name
from modelpress.api.resources import CompressedModel, ModelArtifactSpec, ModelRevisionSpec

from .metadata import metadata


def model_artifact(model: CompressedModel, spec: ModelArtifactSpec) -> dict[str, Any]:
    """Return the ModelArtifact `<model>-<key>`."""
    name = keyed_name(model.metadata.name, spec.key)
    meta = metadata(name, model, artifact=name)
    return {"apiVersion": API_VERSION, "kind": "ModelArtifact", "metadata": meta, "spec": spec.to_wire()}


def model_revision(model: CompressedModel, spec: ModelRevisionSpec) -> dict[str, Any]:
    """Return the ModelRevision `<model>-<key>`."""
    name = keyed_name(model.metadata.name, spec.key)
    meta = metadata(name, model, revision=name, artifact=spec.artifact)
    return {"apiVersion": API_VERSION, "kind": "ModelRevision", "metadata": meta, "spec": spec.to_wire()}
