"""Attempts at an artifact: Jobs that compress it or, for other test data or metrics, measure it again.

One counter numbers both kinds. What an ended attempt amounts to is written into the artifact's status before its Job may go, and the
number says which attempts are in there already; so no round counts one twice and none gets lost. A judgement ends it, until what it
was judged by changes. What the surroundings did to an attempt is tried again for ever, less and less often; a crash, `retries` times.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from modelpress.api import keys, names
from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelArtifact, ModelArtifactStatus, Rejection, SourceStatus
from modelpress.api.results import Failure, PublishResult
from modelpress.control import clock, jobs, marks
from modelpress.control.draft import Draft, attempt_of
from modelpress.control.gating import judge
from modelpress.control.plan import Manifest
from modelpress.control.readiness import health
from modelpress.control.ready import set_ready
from modelpress.control.revisions import all_revisions
from modelpress.control.standing import Course, Standing
from modelpress.render.installation import job_settings
from modelpress.render.jobs import compress_job, evaluate_job


@dataclass(frozen=True, slots=True)
class Made:
    """An artifact as this round leaves it, and why it has no figures for this spec, if it has none."""

    artifact: ModelArtifact
    standing: Standing | None

    @property
    def status(self) -> ModelArtifactStatus:
        """The artifact's status as this round leaves it."""
        return self.artifact.status or ModelArtifactStatus()


def make(draft: Draft, source: SourceStatus, artifact: ModelArtifact) -> Made:
    """Bring `artifact` to figures that answer the spec; say how far it is."""
    live = draft.observed.find("ModelArtifact", artifact.metadata.name)
    assert live is not None, "an artifact is made only once it is there"
    ours = [
        job
        for job in draft.jobs(names.ROLE_COMPRESS, names.ROLE_EVALUATE)
        if marks.label(job, names.ARTIFACT_LABEL) == artifact.metadata.name
    ]
    before = artifact.status or ModelArtifactStatus()
    status = _take_note(draft, artifact, before, ours)
    draft.delete(*(job for job in ours[:-1] if attempt_of(job) <= before.attempts))
    running = next(
        (job for job in reversed(ours) if attempt_of(job) > status.attempts and not draft.is_going(job)), None
    )
    number = max([status.attempts, *map(attempt_of, ours)]) + 1
    standing, status = _go_on(draft, source, artifact, status, running, number)
    status = set_ready(status, artifact.metadata.generation, standing, draft.now)
    draft.set_status(live, status)
    return Made(artifact.model_copy(update={"status": status}), standing)


def stop_others(draft: Draft, artifact: str) -> None:
    """Stop Jobs at artifacts that the spec no longer asks for. Those that have ended stay with their artifact, for their logs."""
    for job in draft.jobs(names.ROLE_COMPRESS, names.ROLE_EVALUATE):
        over = isinstance(jobs.outcome(draft.observed, job, draft.now), jobs.Ended)
        if marks.label(job, names.ARTIFACT_LABEL) != artifact and not over:
            draft.delete(job)


def verdict_key(draft: Draft, source: SourceStatus) -> str:
    """Return what a verdict on an attempt depends on beside the artifact: test, gates, how its pod runs, and the word to try again."""
    spec = draft.model.spec
    settings = job_settings(draft.model, draft.installation)
    limits = [settings.timeout, settings.retries, settings.resources.to_wire(), settings.scratch.size]
    text = keys.canonical_json([keys.gates_key(spec, source.datasets), limits])
    return hashlib.sha256(text).hexdigest()


def _go_on(
    draft: Draft,
    source: SourceStatus,
    artifact: ModelArtifact,
    status: ModelArtifactStatus,
    running: Manifest | None,
    number: int,
) -> tuple[Standing | None, ModelArtifactStatus]:
    """Decide on the next attempt. A standing of None: nothing is missing."""
    role = _needed(draft, source, artifact, status)
    if role is None:
        if running is not None:
            draft.delete(running)
        return None, status
    if running is not None:
        stale = marks.mark(running, marks.JUDGED_BY) != verdict_key(draft, source)
        found = jobs.outcome(draft.observed, running, draft.now)
        if not (stale and isinstance(found, jobs.Running) and not found.started):
            return _watching(draft, running, found), status
        draft.delete(running)
    if status.rejected is not None:
        if status.rejected.judged_by == verdict_key(draft, source):
            return Standing(Course.STUCK, status.rejected.reason, status.rejected.message), status
        status = status.model_copy(update={"rejected": None, "crashes": 0, "setbacks": 0, "next_attempt_at": None})
    if status.next_attempt_at and draft.now < clock.parse(status.next_attempt_at):
        draft.look_again(clock.parse(status.next_attempt_at))
        return _resting(status), status
    if draft.suspended:
        return Standing(
            Course.HELD, Reason.SUSPENDED, "spec.suspend is set: nothing new is compressed or measured."
        ), status
    return _start(draft, source, artifact, status, role, number), status


def _needed(
    draft: Draft, source: SourceStatus, artifact: ModelArtifact, status: ModelArtifactStatus
) -> str | None:
    """Return the kind of Job that is needed: to compress, to measure what is there, or none.

    Once `rollout.retryToken` asks for another try, files that were changed in the store are made again, and figures that
    the gates refuse are measured again.
    """
    if status.manifest_digest is None or status.figures is None:
        return names.ROLE_COMPRESS
    if status.retry_token != draft.rollout.retry_token and _was_changed_in_store(draft, artifact, status):
        return names.ROLE_COMPRESS
    if status.evaluated_by != keys.evaluation_key(draft.model.spec, source.datasets):
        return names.ROLE_EVALUATE
    refused = not judge(draft.model.spec, status.figures)[1].accepted
    return names.ROLE_EVALUATE if refused and status.retry_token != draft.rollout.retry_token else None


def _was_changed_in_store(draft: Draft, artifact: ModelArtifact, status: ModelArtifactStatus) -> bool:
    """Say whether anybody who fetched the artifact found other files than those that were accepted."""
    verdicts = [status.rejected.reason if status.rejected else None]
    for revision in all_revisions(draft):
        if (revision.spec.artifact, revision.spec.manifest_digest) == (artifact.metadata.name, status.manifest_digest):
            rejected = revision.status.rejected if revision.status else None
            verdict = health(draft.observed, revision.metadata.name).verdict
            verdicts += [rejected.reason if rejected else None, verdict.reason if verdict else None]
    return Reason.ARTIFACT_CHANGED in verdicts


def _start(
    draft: Draft, source: SourceStatus, artifact: ModelArtifact, status: ModelArtifactStatus, role: str, number: int
) -> Standing:
    known = draft.old.model_copy(update={"source": source})
    model = draft.model.model_copy(update={"status": known})
    artifact = artifact.model_copy(update={"status": status})
    render = compress_job if role == names.ROLE_COMPRESS else evaluate_job
    manifest = render(model, artifact, number, draft.installation)
    question = keys.evaluation_key(draft.model.spec, source.datasets)
    written = {
        marks.ATTEMPT: str(number),
        marks.ANSWERS: question,
        marks.JUDGED_BY: verdict_key(draft, source),
        marks.RETRY_TOKEN: draft.rollout.retry_token,
    }
    draft.apply(marks.marked(manifest, written), once=True)
    return _at_work(role, manifest["metadata"]["name"], number)


def _at_work(role: str, job: str, number: int) -> Standing:
    again = f" (attempt {number})" if number > 1 else ""
    if role == names.ROLE_EVALUATE:
        return Standing(Course.MOVING, Reason.EVALUATING, f"The Job {job} measures the result anew{again}.")
    return Standing(Course.MOVING, Reason.COMPRESSING, f"The Job {job} compresses and measures{again}.")


def _watching(draft: Draft, job: Manifest, found: jobs.Outcome) -> Standing:
    if isinstance(found, jobs.Unclear):
        draft.look_again(found.until)
    elif isinstance(found, jobs.Running):
        if found.trouble is not None:
            return Standing(Course.WAITING, found.trouble.reason, found.trouble.message)
        if not found.started:
            draft.look_again(draft.now + jobs.POD_PATIENCE)
    return _at_work(marks.label(job, names.ROLE_LABEL), job["metadata"]["name"], attempt_of(job))


def _resting(status: ModelArtifactStatus) -> Standing:
    told = next((condition for condition in status.conditions if condition.type == "Ready"), None)
    reason, message = (told.reason, told.message) if told else (Reason.WAITING.value, "")
    return Standing(Course.WAITING, reason, message)


def _take_note(
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
        f"{artifact.metadata.name}: {figures.original_bytes:,} → {figures.compressed_bytes:,} bytes ({figures.ratio:.1f}x).",
    )
    return {
        "manifest_digest": status.manifest_digest if measured else result.manifest_digest,
        "report_digest": result.report_digest,
        "report": f"{folder}evaluations/{question}/report.json" if measured else f"{folder}report.json",
        "figures": figures,
        "ratio_text": f"{figures.ratio:.1f}x",
        "evaluated_by": question,
        "batched": result.batched,
        "warnings": result.warnings,
        "crashes": 0,
        "setbacks": 0,
        "rejected": None,
        "next_attempt_at": None,
    }


def _rejection(artifact: ModelArtifact, job: Manifest, failure: Failure) -> Rejection:
    hint = "Correct that; if the spec stays as it is, change spec.rollout.retryToken to have it tried again."
    return Rejection(
        artifact=artifact.metadata.name,
        judged_by=marks.mark(job, marks.JUDGED_BY),
        reason=failure.reason,
        message=f"{failure.message} {hint}",
    )
