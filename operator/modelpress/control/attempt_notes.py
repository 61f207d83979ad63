"""What an ended attempt amounts to, written into the status of its artifact.

Figures, a rejection, or when to try again.
"""

from __future__ import annotations

from typing import Any

from modelpress.api import names
from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelArtifact, ModelArtifactStatus, Rejection
from modelpress.api.results import Failure, PublishResult
from modelpress.control import jobs, marks
from modelpress.control.draft import Draft
from modelpress.control.ended_jobs import ended, was_kept_waiting, weigh
from modelpress.control.plan import Manifest
from modelpress.control.ready import set_ready
from modelpress.control.standing import Course, Standing

HINT = "Correct that; if the spec stays as it is, change spec.rollout.retryToken to have it tried again."
"""What to do, at the end of what a rejection says."""


def take_note(
    draft: Draft, artifact: ModelArtifact, status: ModelArtifactStatus, ours: list[Manifest]
) -> ModelArtifactStatus:
    """Return `status` with all attempts in it that ended since and have told how."""
    for job, found in ended(draft, ours, status.attempts):
        status = _noted(draft, artifact, status, job, found)
    return status


def _noted(
    draft: Draft, artifact: ModelArtifact, status: ModelArtifactStatus, job: Manifest, found: jobs.Ended
) -> ModelArtifactStatus:
    """Return `status` with one ended attempt in it."""
    if isinstance(found, jobs.Judged) and was_kept_waiting(found, status.conditions, "Ready"):
        found = jobs.Setback(found.failure, found.finished_at)
    fields, came = weigh(draft, status, job, found, PublishResult)
    if isinstance(came, PublishResult):
        return status.model_copy(update=fields | _published(draft, artifact, status, job, came))
    if isinstance(came, Failure):
        return status.model_copy(update=fields | {"rejected": _rejection(artifact, job, came)})
    standing = Standing(Course.WAITING, came.reason, came.message)
    return set_ready(status.model_copy(update=fields), artifact.metadata.generation, standing, draft.now)


def _published(
    draft: Draft, artifact: ModelArtifact, status: ModelArtifactStatus, job: Manifest, result: PublishResult
) -> dict[str, Any]:
    """Return the fields that a success sets. A measurement does not change what is in the store."""
    question = marks.mark(job, marks.ANSWERS)
    measured = marks.label(job, names.ROLE_LABEL) == names.ROLE_EVALUATE
    folder = artifact.spec.destination
    figures = result.figures
    draft.note(
        "Normal",
        Reason.COMPRESSED,
        f"{artifact.metadata.name}: {figures.original_bytes:,} → {figures.compressed_bytes:,} bytes, "
        f"{figures.ratio:.1f} times smaller{f', by: {result.recipe}' if result.recipe else ''}.",
    )
    return {
        "manifest_digest": status.manifest_digest if measured else result.manifest_digest,
        "report_digest": result.report_digest,
        "report": f"{folder}evaluations/{question}/report.html" if measured else f"{folder}report.html",
        "figures": figures,
        "ratio_text": f"{figures.ratio:.1f}x",
        "evaluated_by": question,
        "batched": result.batched,
        "memory": result.memory,
        "recipe": status.recipe if measured else result.recipe,
        "warnings": result.warnings,
        "rejected": None,
    }


def _rejection(artifact: ModelArtifact, job: Manifest, failure: Failure) -> Rejection:
    return Rejection(
        artifact=artifact.metadata.name,
        judged_by=marks.mark(job, marks.JUDGED_BY),
        reason=failure.reason,
        message=f"{failure.message} {HINT}",
    )
