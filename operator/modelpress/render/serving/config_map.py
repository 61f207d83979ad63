"""The ConfigMap of a revision: what its pods should hold, outside their template so that it may change under them."""

from __future__ import annotations

from typing import Any

from modelpress.api.resources import CompressedModel, ModelRevision
from modelpress.api.servingpod import MODELS_KEY

from ..metadata import metadata


def config_map(model: CompressedModel, revision: ModelRevision, models: str | None = None) -> dict[str, Any]:
    """Return the ConfigMap named as `revision`, with `models` as its `models.json`; None: as the revision keeps it."""
    name = revision.metadata.name
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(name, model, revision=name, artifact=revision.spec.artifact),
        "data": {MODELS_KEY: revision.spec.models if models is None else models},
    }
