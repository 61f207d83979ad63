"""`status` of a CompressedModel, put together from what the round found."""

from __future__ import annotations

from modelpress.api import names
from modelpress.api.figures import Figures
from modelpress.api.readable import SMALL, digits, figure
from modelpress.api.resources import (
    CompressedModelStatus,
    CompressionStatus,
    Condition,
    GateOutcome,
    ModelArtifactStatus,
    ProgressStatus,
    Rejection,
    SourceStatus,
)
from modelpress.api.results import Progress
from modelpress.control import jobs, marks, pods
from modelpress.control.autoscaling import autoscaling_status
from modelpress.control.draft import Draft
from modelpress.control.gating import judge
from modelpress.control.plan import Manifest
from modelpress.control.reading import lenient
from modelpress.control.routing import entrance
from modelpress.control.serving import Served
from modelpress.control.sets import set_of
from modelpress.render.serving import endpoint

PROGRESS_LIMIT = 120
"""Characters of a progress message: it comes from a pod that runs tenants' code."""


def model_status(
    draft: Draft,
    conditions: tuple[Condition, ...],
    served: Served,
    *,
    source: SourceStatus | None,
    artifact: str | None,
    made: ModelArtifactStatus | None,
    rung: int | None,
    rejected: Rejection | None,
) -> CompressedModelStatus:
    """Return the whole status.

    `made`: what is known of the artifact that the spec asks for; of a ladder that of `rung`, the last one measured.
    """
    figures = (
        _compression(draft, made, rung) if made is not None and made.figures is not None else draft.old.compression
    )
    serving = set_of(draft.observed, served.current) if served.current else None
    labels = names.labels(draft.model.metadata.name, names.ROLE_SERVE, revision=serving)
    selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != names.MANAGED_BY_LABEL)
    return CompressedModelStatus(
        observed_generation=draft.model.metadata.generation,
        conditions=conditions,
        source=source,
        artifact=artifact,
        current_revision=served.current,
        candidate_revision=served.candidate,
        rollout=served.rollout,
        compression=figures,
        verification=served.verification,
        rejected=rejected,
        progress=_progress(draft, artifact),
        endpoint=endpoint(draft.model, draft.installation, entrance(draft)) if served.current else None,
        replicas=served.health.replicas,
        ready_replicas=served.health.ready,
        autoscaling=autoscaling_status(draft),
        selector=selector,
    )


def _compression(draft: Draft, made: ModelArtifactStatus, rung: int | None) -> CompressionStatus:
    assert made.figures is not None, "figures are asked for only where there are any"
    outcomes: tuple[GateOutcome, ...] = tuple(judge(draft.model.spec, made.figures)[0])
    return CompressionStatus(
        **{name: getattr(made.figures, name) for name in Figures.model_fields},
        ratio_text=ratio_text(made.figures),
        accuracy_text=accuracy_text(made.figures),
        gates=outcomes,
        report=made.report,
        rung=rung,
        recipe=made.recipe,
        warnings=made.warnings,
    )


def ratio_text(figures: Figures) -> str:
    """Return the ratio of sizes for people: `5.3x`."""
    return f"{figures.ratio:.1f}x"


def accuracy_text(figures: Figures) -> str:
    """Return the first metric and its change for people: `0.986 (-0.004)`; empty if nothing was measured."""
    if not figures.metrics:
        return ""
    first = figures.metrics[0]
    change = first.compressed - first.original
    form = digits(min(abs(first.compressed or change), SMALL))  # shares near 1 change in the third decimal
    value = format(first.compressed, form) if first.compressed else figure(0.0)
    return f"{value} ({change:+{form}})"


def _progress(draft: Draft, artifact: str | None) -> ProgressStatus | None:
    """Return what the newest Job that works on `artifact` says of itself; nothing once it is over.

    What its pod last said is remembered somewhat longer than the pod runs.
    """
    for job in reversed(draft.jobs(names.ROLE_COMPRESS, names.ROLE_EVALUATE)):
        name = job["metadata"]["name"]
        told = name in draft.observed.progress and marks.label(job, names.ARTIFACT_LABEL) == artifact
        if told and _is_at_work(draft, job):
            said = {"stage": "", **draft.observed.progress[name]}
            message = progress_text(lenient(Progress, {**said, "stage": str(said["stage"])}))
            return ProgressStatus(job=name, message=message) if message else None
    return None


def _is_at_work(draft: Draft, job: Manifest) -> bool:
    return not draft.is_going(job) and isinstance(jobs.outcome(draft.observed, job, draft.now), jobs.Running)


def progress_text(said: Progress) -> str:
    """Return progress for people: `finetune 2/4, 40 %: epoch 12 of 30`."""
    share = min(max(said.fraction, 0.0), 1.0) if said.fraction == said.fraction else 0.0
    place = f" {said.position}/{said.of}" if said.of else ""
    detail = f": {said.detail}" if said.detail else ""
    text = pods.sentence(f"{said.stage}{place}, {share:.0%}{detail}".replace("%", " %")) if said.stage else ""
    return text[:PROGRESS_LIMIT]
