"""The Deployment of a revision."""

from __future__ import annotations

from typing import Any

from modelpress.api.names import MODEL_LABEL, REVISION_LABEL, ROLE_LABEL, ROLE_SERVE
from modelpress.api.resources import CompressedModel, ModelRevision

from ..metadata import metadata

MIN_READY_SECONDS = 2
"""So long must a new pod answer before an old one of the same revision may go."""


def serving_selector(model_name: str, revision_name: str | None) -> dict[str, str]:
    """Return the labels that the serving pods of one revision carry, and no others; None: of all revisions."""
    of_a_revision = {REVISION_LABEL: revision_name} if revision_name is not None else {}
    return {MODEL_LABEL: model_name, ROLE_LABEL: ROLE_SERVE} | of_a_revision


def deployment(model: CompressedModel, revision: ModelRevision) -> dict[str, Any]:
    """Return the Deployment named as `revision`, with the pod template that it keeps, and without `replicas`."""
    name = revision.metadata.name
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(name, model, role=ROLE_SERVE, revision=name, artifact=revision.spec.artifact),
        "spec": {
            "minReadySeconds": MIN_READY_SECONDS,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": serving_selector(model.metadata.name, name)},
            "template": revision.spec.pod_template,
        },
    }
