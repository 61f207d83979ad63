"""The Job that asks a pod of a revision for the test data before the revision gets requests: fetch → ask.

| container | image      | code | Secrets | reads               | writes         |
| --------- | ---------- | ---- | ------- | ------------------- | -------------- |
| fetch     | operator   | ours | read    | store               | original, test |
| ask       | compressor | ours | none    | original, test, pod |                |

Metrics that a function of the source computes are not asked for: no code of tenants runs in it.
"""

from __future__ import annotations

from typing import Any

from modelpress.api.defaults import EffectiveDisagreement
from modelpress.api.durations import seconds
from modelpress.api.evaluation import Evaluation, of_ours
from modelpress.api.names import ROLE_ASK, verification_name
from modelpress.api.resources import CompressedModel, ModelArtifact, ModelRevision
from modelpress.api.roles import test_dataset, without_secrets
from modelpress.api.servingpod import GRPC_PORT
from modelpress.api.tasks import AskTask, Comparison, FetchTask, Location

from ..installation import Installation, job_settings, store_settings
from ..places import pinned, pinned_datasets
from ..security import without_identity
from ..serving.services import host_of
from .disks import disks, fetched
from .job import DEADLINE_MARGIN_SECONDS, job, mover, worker


def ask_job(
    model: CompressedModel,
    artifact: ModelArtifact,
    revision: ModelRevision,
    attempt: int,
    installation: Installation,
    *,
    service: str | None = None,
    version: int | None = None,
    stable: str | None = None,
    stable_service: str | None = None,
    disagreement: EffectiveDisagreement | None = None,
) -> dict[str, Any]:
    """Return attempt number `attempt` at asking a pod that holds `revision`, named `<revision>-ask-<attempt>`.

    It is asked through `service`, as Triton's `version` of the model; by default in the pod that is there for that
    alone. With `disagreement`, the revision `stable`, which serves, is asked the same through `stable_service`. Raises
    MissingFactError for test data that was never resolved.
    """
    settings, store = job_settings(model, installation), store_settings(model, installation)
    name, data = revision.metadata.name, test_dataset(model.spec)
    folder = Location(uri=artifact.spec.destination, secret_name=store.read_secret_name)
    fetch = FetchTask(
        artifact=pinned(folder, revision.spec.manifest_digest),
        original_only=True,
        datasets=pinned_datasets(model, data, artifact),
        readings=without_secrets(data),
    )
    secrets = [folder.secret_name, *(place.secret_name for place in fetch.datasets.values())]
    asked = model.spec.evaluation or Evaluation()
    metrics = of_ours(asked.metrics) if asked.metrics is not None else None
    evaluation = asked.model_copy(update={**without_secrets(data), "metrics": metrics, "gates": None})
    ask = AskTask(
        address=_grpc(service or verification_name(name), model, installation),
        model=model.metadata.name,
        version=version,
        evaluation=evaluation,
        comparison=_comparison(model, stable, stable_service, disagreement, installation),
        seed=model.spec.compression.seed or 0,
    )
    return job(
        f"{name}-ask-{attempt}",
        model,
        installation,
        settings,
        role=ROLE_ASK,
        owner=revision,
        artifact=artifact.metadata.name,
        revision=name,
        deadline_seconds=seconds(settings.timeout) + DEADLINE_MARGIN_SECONDS,
        containers=[
            mover("fetch", fetch, installation, secrets=secrets, all_secrets=secrets, mounts=fetched("out", "test")),
            worker("ask", ask, installation, settings.resources, disks("out", "test")),
        ],
        volumes=("out", "test"),
        secrets=secrets,
        annotations=without_identity("ask"),
    )


def _comparison(
    model: CompressedModel,
    stable: str | None,
    service: str | None,
    asked: EffectiveDisagreement | None,
    installation: Installation,
) -> Comparison | None:
    if stable is None or service is None or asked is None:
        return None
    return Comparison(
        revision=stable,
        address=_grpc(service, model, installation),
        compare=asked.compare,
        output=asked.output,
        at_least=asked.at_least,
    )


def _grpc(service_name: str, model: CompressedModel, installation: Installation) -> str:
    return f"{host_of(service_name, model, installation)}:{GRPC_PORT}"
