"""The Job that measures an artifact anew: other test data or metrics, the same files. Nothing is compressed.

fetch (test data, training data to see whether the two overlap, the artifact's files by its manifest's digest) → judge →
publish (the new report beside the old one). Where a function of the source computes a metric, the source is fetched
too, as the artifact was made of it, and two more containers stand behind the judge (`judging.py`).
"""

from __future__ import annotations

from typing import Any

from modelpress.api.keys import evaluation_key
from modelpress.api.names import ROLE_EVALUATE
from modelpress.api.resources import CompressedModel, ModelArtifact
from modelpress.api.roles import TEST_ROLE, all_datasets, readings
from modelpress.api.tasks import FetchTask, Location, PublishTask

from ..installation import Installation, job_settings, store_settings
from ..places import MissingFactError, pinned, pinned_datasets, source_location
from ..security import without_identity
from .compress import publisher
from .disks import fetched
from .job import job, mover
from .judging import Judging

FETCHED = ("data", "test", "out")
"""Disks that are filled from the store; the artifact's files go where compression would have left them."""


def evaluate_job(
    model: CompressedModel, artifact: ModelArtifact, attempt: int, installation: Installation
) -> dict[str, Any]:
    """Return attempt number `attempt` at measuring `artifact` as `model` asks now, named `<artifact>-e<key>-<attempt>`.

    Raises MissingFactError for an artifact that was never published.
    """
    manifest_digest = artifact.status.manifest_digest if artifact.status else None
    if manifest_digest is None:
        raise MissingFactError(f"{artifact.metadata.name} is not in the store yet: there is nothing to evaluate")
    settings, store = job_settings(model, installation), store_settings(model, installation)
    compared = {role: data for role, data in all_datasets(model.spec).items() if role in (TEST_ROLE, "train")}
    datasets = pinned_datasets(model, compared, artifact)
    key = evaluation_key(model.spec, {role: place.digest for role, place in datasets.items()})
    folder = Location(uri=artifact.spec.destination, secret_name=store.read_secret_name)
    judging = Judging(model, installation, settings)
    code = ("source",) if judging.theirs else ()
    fetch = FetchTask(
        source=pinned(source_location(model), artifact.spec.source_digest) if code else None,
        artifact=pinned(folder, manifest_digest),
        datasets=datasets,
        readings=readings(model.spec, compared),
    )
    publish = PublishTask(
        destination=Location(uri=artifact.spec.destination, secret_name=store.secret_name),
        artifact=artifact.metadata.name,
        manifest_digest=manifest_digest,
        evaluation=key,
    )
    read = [place.secret_name for place in (fetch.source, folder, *datasets.values()) if place]
    write = [publish.destination.secret_name]
    return job(
        f"{artifact.metadata.name}-e{key[:6]}-{attempt}",
        model,
        installation,
        settings,
        role=ROLE_EVALUATE,
        owner=artifact,
        artifact=artifact.metadata.name,
        deadline_seconds=judging.deadline_seconds,
        containers=[
            mover(
                "fetch",
                fetch,
                installation,
                secrets=read,
                all_secrets=read + write,
                mounts=fetched("out", "test", "data", *code),
            ),
            *judging.containers(),
            publisher(publish, installation, all_secrets=read + write),
        ],
        volumes=(*FETCHED, *code, "report", *judging.disks),
        secrets=read + write,
        annotations=without_identity(*judging.names),
    )
