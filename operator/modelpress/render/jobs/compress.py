"""The Job that makes an artifact: fetch → compress → judge → publish, four containers of one pod, one after the other.

| container | image      | code          | Secrets     | reads                | writes |
| --------- | ---------- | ------------- | ----------- | -------------------- | ------ |
| fetch     | operator   | ours          | read        | store                | source, data, test |
| compress  | compressor | **tenants'**  | none        | source, data         | out |
| judge     | compressor | ours          | none        | out, test            | report |
| publish   | operator   | ours          | write       | out, report          | store |

No two containers share anything that the later one would run or trust: scratch folders are separate, and what a
tenant's code leaves in `out` is data to the judge. Where a function of the source computes a metric, two more stand
behind the judge (`judging.py`).
"""

from __future__ import annotations

from typing import Any

from modelpress.api.asked import compress_task
from modelpress.api.defaults import EffectiveJobSettings
from modelpress.api.durations import seconds
from modelpress.api.names import ROLE_COMPRESS
from modelpress.api.resources import CompressedModel, ModelArtifact
from modelpress.api.roles import all_datasets, readings
from modelpress.api.tasks import PROGRESS_PORT, FetchTask, Location, PinnedLocation, PublishTask
from modelpress.api.teachers import comes_from

from ..installation import Installation, job_settings, store_settings
from ..places import (
    pinned,
    pinned_datasets,
    pinned_teachers,
    source_location,
)
from ..security import without_identity
from .disks import disks, fetched
from .job import job, mover, worker
from .judging import Judging

DISKS = ("source", "data", "test", "out", "report")
"""Disks of the pod."""


def compress_job(
    model: CompressedModel,
    artifact: ModelArtifact,
    attempt: int,
    installation: Installation,
    earlier: ModelArtifact | None = None,
) -> dict[str, Any]:
    """Return attempt number `attempt`, from 1, at making `artifact`, named `<artifact>-<attempt>`.

    `earlier`: an artifact in the store, among whose trials a recipe may be chosen.
    """
    settings, store = job_settings(model, installation), store_settings(model, installation)
    judging = Judging(model, installation, settings)
    fetch = FetchTask(
        source=pinned(source_location(model), artifact.spec.source_digest),
        datasets=pinned_datasets(model, all_datasets(model.spec), artifact),
        teachers=pinned_teachers(model, artifact),
        readings=readings(model.spec, all_datasets(model.spec)),
        searches=True if model.spec.compression.auto is not None else None,
        search=_search(earlier, store.read_secret_name),
    )
    publish = PublishTask(
        destination=Location(uri=artifact.spec.destination, secret_name=store.secret_name),
        artifact=artifact.metadata.name,
        lineage=lineage(artifact, installation),
    )
    places = (fetch.source, *fetch.datasets.values(), *fetch.teachers.values(), fetch.search)
    read = [place.secret_name for place in places if place]
    write = [publish.destination.secret_name]
    return job(
        f"{artifact.metadata.name}-{attempt}",
        model,
        installation,
        settings,
        role=ROLE_COMPRESS,
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
                mounts=fetched("source", "data", "test"),
            ),
            _compress(model, installation, settings),
            *judging.containers(),
            publisher(publish, installation, all_secrets=read + write),
        ],
        volumes=(*DISKS, *judging.disks),
        secrets=read + write,
        annotations=without_identity("compress", *judging.names),
    )


def _search(earlier: ModelArtifact | None, secret: str | None) -> PinnedLocation | None:
    """Return where the report of an earlier search is, None if there is none."""
    digest = earlier.status.manifest_digest if earlier is not None and earlier.status is not None else None
    if earlier is None or digest is None:
        return None
    return pinned(Location(uri=earlier.spec.destination, secret_name=secret), digest)


def publisher(task: PublishTask, installation: Installation, *, all_secrets: list[str | None]) -> dict[str, Any]:
    """Return the container that puts the artifact into the store; the only one that may write there."""
    secrets = [task.destination.secret_name]
    return mover("publish", task, installation, secrets=secrets, all_secrets=all_secrets, mounts=disks("out", "report"))


def lineage(artifact: ModelArtifact, installation: Installation) -> dict[str, str]:
    """Return what the artifact comes from, by name, for its manifest."""
    return {
        "artifactKey": artifact.spec.key,
        "source": artifact.spec.source_digest,
        **comes_from(artifact.spec.datasets),
        "image.operator": installation.images.operator,
        "image.compressor": installation.images.compressor,
    }


def _compress(model: CompressedModel, installation: Installation, settings: EffectiveJobSettings) -> dict[str, Any]:
    task = compress_task(model.spec, seconds(settings.timeout))
    found = worker("compress", task, installation, settings.resources, disks("source", "data", "out", write=("out",)))
    return {**found, "ports": [{"name": "progress", "containerPort": PROGRESS_PORT}]}
