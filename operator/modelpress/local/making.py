"""A compression from source to artifact, in the order of a cluster: resolve, fetch, compress, judge, publish."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelpress import __version__
from modelpress.api import gates
from modelpress.api.data import Dataset
from modelpress.api.defaults import with_defaults
from modelpress.api.durations import seconds
from modelpress.api.evaluation import Evaluation
from modelpress.api.gates import Verdict
from modelpress.api.keys import artifact_key
from modelpress.api.names import keyed_name
from modelpress.api.resources import GateOutcome
from modelpress.api.results import PublishResult, ResolveResult
from modelpress.api.tasks import (
    CompressTask,
    FetchTask,
    JudgeTask,
    Location,
    PinnedLocation,
    PublishTask,
    ResolveTask,
)
from modelpress.store.manifest import REPORT_FILE
from modelpress.store.report import Report

from . import steps
from .asking import Asked
from .steps import Tell
from .workspace import Workspace


@dataclass(frozen=True)
class Made:
    """What came out."""

    report: Report
    """What the judge measured."""
    gates: list[GateOutcome]
    """The spec's gates, judged by it."""
    verdict: Verdict
    """What they amount to."""
    warnings: tuple[str, ...]
    """Sentences that a person should read."""
    out: Path | None
    """Where the artifact is, or the new report; None: it was not kept."""


def make(asked: Asked, place: Workspace, tell: Tell) -> Made:
    """Do everything and let the artifact appear. Raises StepError; then nothing appears."""
    found = bring_in(asked, place, tell)
    compression = asked.spec.compression
    settings = with_defaults(compression)
    steps.compress(compress_task(asked, seconds(settings.job.timeout)), place, tell)
    evaluation = _without_secrets(asked.spec.evaluation or Evaluation())
    steps.run_step("judge", JudgeTask(name=asked.name, evaluation=evaluation, seed=settings.seed), place, tell)
    published = steps.answer(PublishResult, steps.run_step("publish", _publish_task(asked, found, place), place, tell))
    report = Report.model_validate_json((place.artifact / REPORT_FILE).read_bytes())
    demanded = evaluation.gates or ()
    outcomes = gates.judge(report.figures, demanded)
    place.appear()
    return Made(report, outcomes, gates.overall(outcomes, demanded), published.warnings, place.out)


def bring_in(asked: Asked, place: Workspace, tell: Tell) -> ResolveResult:
    """Look up what the URIs hold and bring it into the workspace; return the digests. Raises StepError."""
    source, datasets = asked.spec.source, asked.datasets()
    task = ResolveTask(
        source=Location(uri=source.uri),
        datasets={role: Location(uri=dataset.uri) for role, dataset in datasets.items()},
    )
    found = steps.answer(ResolveResult, steps.run_step("resolve", task, place, tell))
    pinned = {
        role: PinnedLocation(uri=dataset.uri, digest=dataset.digest or found.datasets[role])
        for role, dataset in datasets.items()
    }
    fetch = FetchTask(
        source=PinnedLocation(uri=source.uri, digest=source.digest or found.source),
        datasets=pinned,
        readings={role: _reading(dataset) for role, dataset in datasets.items()},
    )
    steps.run_step("fetch", fetch, place, tell)
    return found


def compress_task(asked: Asked, timeout: float) -> CompressTask:
    """Return the task of the container `compress`, with `timeout` in seconds."""
    compression = asked.spec.compression
    return CompressTask(
        source=asked.spec.source.model_copy(update={"secret_name": None}),
        stages=compression.stages,
        objective=compression.objective,
        datasets={role: _reading(dataset) for role, dataset in asked.datasets().items() if role != "test"},
        seed=compression.seed or 0,
        timeout_seconds=timeout,
    )


def _publish_task(asked: Asked, found: ResolveResult, place: Workspace) -> PublishTask:
    key = artifact_key(asked.spec, found.source, found.datasets)
    lineage = {
        "artifactKey": key,
        "source": found.source,
        **{f"data.{role}": digest for role, digest in sorted(found.datasets.items()) if role != "test"},
        "modelpress": __version__,
    }
    place.artifact.mkdir()
    destination = Location(uri=f"file://{place.artifact}")
    return PublishTask(destination=destination, artifact=keyed_name(asked.name, key), lineage=lineage)


def _without_secrets(evaluation: Evaluation) -> Evaluation:
    test = evaluation.test
    return evaluation if test is None else evaluation.model_copy(update={"test": _reading(test)})


def _reading(dataset: Dataset) -> Dataset:
    """Return how to read `dataset`, without the Secret that opens it in a cluster."""
    return dataset.model_copy(update={"secret_name": None})
