"""The Job that makes an artifact: fetch → compress → judge → publish, four containers of one pod, one after the other.

| container | image      | code          | Secrets     | reads                | writes |
| --------- | ---------- | ------------- | ----------- | -------------------- | ------ |
| fetch     | operator   | ours          | read        | store                | source, data, test |
| compress  | compressor | **tenants'**  | none        | source, data         | out |
| judge     | compressor | ours          | none        | out, test            | report |
| publish   | operator   | ours          | write       | out, report          | store |

No two containers share anything that the later one would run or trust: scratch folders are separate, and what a
tenant's code leaves in `out` is data to the judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelpress.api.compression import comes_from
from modelpress.api.data import Dataset
from modelpress.api.defaults import EffectiveJobSettings
from modelpress.api.durations import seconds
from modelpress.api.evaluation import Evaluation
from modelpress.api.names import ROLE_COMPRESS
from modelpress.api.resources import CompressedModel, ModelArtifact
from modelpress.api.source import Source
from modelpress.api.tasks import (
    DATA_FOLDER,
    OUT_FOLDER,
    PROGRESS_PORT,
    REPORT_FOLDER,
    SOURCE_FOLDER,
    TEST_FOLDER,
    CompressTask,
    FetchTask,
    JudgeTask,
    Location,
    PinnedLocation,
    PublishTask,
)

from ..containers import mount
from ..installation import Installation, job_settings, store_settings
from ..places import (
    all_datasets,
    learning_datasets,
    pinned,
    pinned_datasets,
    pinned_teachers,
    source_location,
    test_dataset,
)
from ..security import without_identity
from .job import DEADLINE_MARGIN_SECONDS, job, mover, worker

FOLDERS = {
    "source": SOURCE_FOLDER,
    "data": DATA_FOLDER,
    "test": TEST_FOLDER,
    "out": OUT_FOLDER,
    "report": REPORT_FOLDER,
}
"""Disks of the pod, and where containers see them."""


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
    fetch = FetchTask(
        source=pinned(source_location(model), artifact.spec.source_digest),
        datasets=pinned_datasets(model, all_datasets(model), artifact),
        teachers=pinned_teachers(model, artifact),
        readings=readings(all_datasets(model)),
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
        deadline_seconds=seconds(settings.timeout) + DEADLINE_MARGIN_SECONDS,
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
            judge(model, installation, settings),
            publisher(publish, installation, all_secrets=read + write),
        ],
        volumes=FOLDERS,
        secrets=read + write,
        annotations=without_identity("compress", "judge"),
    )


def _search(earlier: ModelArtifact | None, secret: str | None) -> PinnedLocation | None:
    """Return where the report of an earlier search is, None if there is none."""
    digest = earlier.status.manifest_digest if earlier is not None and earlier.status is not None else None
    if earlier is None or digest is None:
        return None
    return pinned(Location(uri=earlier.spec.destination, secret_name=secret), digest)


def disks(*names: str, write: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return the mounts of the disks `names`, read-only but for those in `write`."""
    return [mount(name, FOLDERS[name], read_only=name not in write) for name in names]


def fetched(*names: str) -> list[dict[str, Any]]:
    """Return the mounts of the disks `names` in the container that fills them."""
    return disks(*names, write=names)


def judge(model: CompressedModel, installation: Installation, settings: EffectiveJobSettings) -> dict[str, Any]:
    """Return the container that measures original and result; it sees neither source nor training data."""
    evaluation = (model.spec.evaluation or Evaluation()).model_copy(update=readings(test_dataset(model)))
    task = JudgeTask(name=model.metadata.name, evaluation=evaluation, seed=model.spec.compression.seed or 0)
    return worker("judge", task, installation, settings.resources, disks("out", "test", "report", write=("report",)))


def publisher(task: PublishTask, installation: Installation, *, all_secrets: list[str | None]) -> dict[str, Any]:
    """Return the container that puts the artifact into the store; the only one that may write there."""
    secrets = [task.destination.secret_name]
    return mover("publish", task, installation, secrets=secrets, all_secrets=all_secrets, mounts=disks("out", "report"))


def readings(datasets: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """Return how to read `datasets`, without the names of what opens them: of no use to whoever reads a file."""
    return {role: dataset.model_copy(update={"secret_name": None}) for role, dataset in datasets.items()}


def without_secrets(sources: Mapping[str, Source]) -> dict[str, Source]:
    """Return `sources` without the names of what opens them: of no use to whoever reads a folder."""
    return {name: source.model_copy(update={"secret_name": None}) for name, source in sources.items()}


def untested(evaluation: Evaluation | None) -> Evaluation:
    """Return what results are compared by, without the test data: a search never sees it."""
    return (evaluation or Evaluation()).model_copy(update={"test": None})


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
    compression = model.spec.compression
    task = CompressTask(
        source=model.spec.source.model_copy(update={"secret_name": None}),
        stages=compression.recipe,
        auto=compression.auto,
        evaluation=untested(model.spec.evaluation) if compression.auto is not None else None,
        objective=compression.objective,
        datasets=readings(learning_datasets(model)),
        teachers=without_secrets(compression.taught_by()),
        seed=compression.seed or 0,
        timeout_seconds=seconds(settings.timeout),
    )
    found = worker("compress", task, installation, settings.resources, disks("source", "data", "out", write=("out",)))
    return {**found, "ports": [{"name": "progress", "containerPort": PROGRESS_PORT}]}
