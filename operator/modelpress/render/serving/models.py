"""What the pods of a revision should hold: the text of `models.json`, kept in the revision."""

from __future__ import annotations

import json

from modelpress.api.durations import seconds
from modelpress.api.resources import CompressedModel, ModelArtifact, ModelRevision
from modelpress.api.servingpod import ServedModel, ServingPod

from ..installation import Installation, serving_settings, store_settings
from ..places import MissingFactError


def models_json(model: CompressedModel, artifact: ModelArtifact, installation: Installation) -> str:
    """Return `models.json` for pods that serve `artifact` under the name of `model`.

    A model without a batch axis is not batched, whatever the spec says. Raises MissingFactError for an artifact that
    was never published.
    """
    if artifact.status is None or artifact.status.manifest_digest is None:
        raise MissingFactError(f"{artifact.metadata.name} is not in the store yet: there is nothing to serve")
    batching = serving_settings(model, installation).batching
    batched = artifact.status.batched
    served = ServedModel(
        name=model.metadata.name,
        uri=artifact.spec.destination,
        manifest_digest=artifact.status.manifest_digest,
        secret_name=store_settings(model, installation).read_secret_name,
        max_batch_size=batching.max_batch_size if batched else 0,
        max_queue_delay_microseconds=round(seconds(batching.max_queue_delay) * 1e6) if batched else 0,
    )
    return _text(ServingPod(models=(served,)))


def holding(serves: tuple[ModelRevision, int], beside: tuple[ModelRevision, int] | None) -> str:
    """Return `models.json` for pods that serve one revision and load another one beside it, named as such.

    Each revision comes with Triton's number for it.
    """

    def served(revision: ModelRevision, number: int) -> tuple[ServedModel, ...]:
        own = ServingPod.model_validate_json(revision.spec.models).models
        named = {"version": number, "revision": revision.metadata.name}
        return tuple(model.model_copy(update=named) for model in own)

    pod = ServingPod(models=served(*serves), candidates=served(*beside) if beside is not None else ())
    return _text(pod)


def _text(pod: ServingPod) -> str:
    wire = {name: value for name, value in pod.to_wire().items() if value or name == "models"}
    return json.dumps(wire, indent=2, sort_keys=True) + "\n"
