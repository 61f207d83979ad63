"""What an ended attempt amounts to, written into the status of its artifact.

Figures, a rejection, or when to try again.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from modelpress.api import names
from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelArtifact, ModelArtifactStatus, Rejection
from modelpress.api.results import Failure, PublishResult
from modelpress.control import clock, jobs, marks
from modelpress.control.draft import Draft, attempt_of
from modelpress.control.plan import Manifest
from modelpress.control.ready import set_ready
from modelpress.control.standing import Course, Standing
from modelpress.render.installation import job_settings

HINT = "Correct that; if the spec stays as it is, change spec.rollout.retryToken to have it tried again."
"""What to do, at the end of what a rejection says."""


def take_note(
    draft: Draft, artifact: ModelArtifact, status: ModelArtifactStatus, ours: list[Manifest]
) -> ModelArtifactStatus:
    """Return `status` with all attempts in it that ended since and have told how."""
    for job in ours:
        if attempt_of(job) <= status.attempts or draft.is_going(job):
            continue
        found = jobs.outcome(draft.observed, job, draft.now)
        if isinstance(found, jobs.Unclear | jobs.Running):
            break
        status = _noted(draft, artifact, status, job, found)
    return status


def _noted(
    draft: Draft, artifact: ModelArtifact, status: ModelArtifactStatus, job: Manifest, found: jobs.Ended
) -> ModelArtifactStatus:
    """Return `status` with one ended attempt in it."""
    common: dict[str, Any] = {"attempts": attempt_of(job), "retry_token": marks.mark(job, marks.RETRY_TOKEN)}
    if isinstance(found, jobs.Succeeded):
        try:
            result = PublishResult.model_validate_json(found.message)
        except ValidationError:
            unread = Failure(
                reason=Reason.OPERATOR_ERROR, message="What the publish container answered could not be read."
            )
            found = jobs.Crashed(unread, found.finished_at)
        else:
            return status.model_copy(update=common | _published(draft, artifact, status, job, result))
    if isinstance(found, jobs.Judged) and not _was_kept_waiting(status, found):
        return status.model_copy(update=common | {"rejected": _rejection(artifact, job, found.failure)})
    failure = found.failure
    if isinstance(found, jobs.Crashed):
        crashes = status.crashes + 1
        if crashes > job_settings(draft.model, draft.installation).retries:
            told = f"{failure.message} It was tried {crashes} times."
            last = Failure(reason=failure.reason, message=told)
            return status.model_copy(update=common | {"crashes": crashes, "rejected": _rejection(artifact, job, last)})
        common["crashes"] = crashes
    setbacks = status.setbacks + 1
    due = clock.parse(found.finished_at) + clock.pause(setbacks)
    update = common | {"setbacks": setbacks, "next_attempt_at": clock.show(due)}
    message = f"{failure.message} It is tried again by itself."
    standing = Standing(Course.WAITING, failure.reason, message)
    return set_ready(status.model_copy(update=update), artifact.metadata.generation, standing, draft.now)


def _was_kept_waiting(status: ModelArtifactStatus, found: jobs.Judged) -> bool:
    """Say whether a deadline passed while the pod could not even start: nobody's model is at fault then."""
    if found.failure.reason != Reason.COMPRESSION_TIMEOUT:
        return False
    told = next((condition for condition in status.conditions if condition.type == "Ready"), None)
    return told is not None and told.reason in {Reason.POD_UNSCHEDULABLE, Reason.IMAGE_UNAVAILABLE, Reason.WAITING}


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
        "crashes": 0,
        "setbacks": 0,
        "rejected": None,
        "next_attempt_at": None,
    }


def _rejection(artifact: ModelArtifact, job: Manifest, failure: Failure) -> Rejection:
    return Rejection(
        artifact=artifact.metadata.name,
        judged_by=marks.mark(job, marks.JUDGED_BY),
        reason=failure.reason,
        message=f"{failure.message} {HINT}",
    )
