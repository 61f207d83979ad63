"""The PodDisruptionBudget of a model: a drained node takes one of its pods at a time."""

from __future__ import annotations

from typing import Any

from modelpress.api.resources import CompressedModel

from ..metadata import metadata
from .deployment import serving_selector


def disruption_budget(model: CompressedModel, revision_name: str | None) -> dict[str, Any]:
    """Return the budget named as `model`, over the serving pods of the revision `revision_name`; None: of all of them.

    `maxUnavailable: 1` never holds up the drain of a node, also with a single replica. Pods that do not answer may go
    at any time.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(model.metadata.name, model),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": serving_selector(model.metadata.name, revision_name)},
        },
    }
