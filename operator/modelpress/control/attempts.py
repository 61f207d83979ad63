"""Attempts at an artifact: Jobs that compress it or, for other test data or metrics, measure it again.

One counter numbers both kinds. What an ended attempt amounts to is written into the artifact's status before its Job
may go, and the number says which attempts are in there already; so no round counts one twice and none gets lost. A
judgement ends it, until what it was judged by changes. What the surroundings did to an attempt is tried again for
ever, less and less often; a crash, `retries` times.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from modelpress.api import keys, names
from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelArtifact, ModelArtifactStatus, SourceStatus
from modelpress.control import clock, jobs, marks
from modelpress.control.artifacts import earlier_search
from modelpress.control.attempt_notes import take_note
from modelpress.control.draft import Draft, attempt_of
from modelpress.control.gating import judge
from modelpress.control.inputs import runs_as
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


@dataclass(frozen=True, slots=True)
class _Work:
    """What an attempt is made at: the artifact, its status so far, and the digests of what it is made of."""

    draft: Draft
    source: SourceStatus
    artifact: ModelArtifact
    status: ModelArtifactStatus


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
    status = take_note(draft, artifact, before, ours)
    draft.delete(*(job for job in ours[:-1] if attempt_of(job) <= before.attempts))
    running = next(
        (job for job in reversed(ours) if attempt_of(job) > status.attempts and not draft.is_going(job)), None
    )
    number = max([status.attempts, *map(attempt_of, ours)]) + 1
    work = _Work(draft, source, artifact, status)
    standing, status = _go_on(work, running, number)
    status = set_ready(status, artifact.metadata.generation, standing, draft.now)
    draft.set_status(live, status)
    return Made(artifact.model_copy(update={"status": status}), standing)


def stop_others(draft: Draft, artifact: str) -> None:
    """Stop Jobs at artifacts that the spec no longer asks for.

    Those that have ended stay with their artifact, for their logs.
    """
    for job in draft.jobs(names.ROLE_COMPRESS, names.ROLE_EVALUATE):
        over = isinstance(jobs.outcome(draft.observed, job, draft.now), jobs.Ended)
        if marks.label(job, names.ARTIFACT_LABEL) != artifact and not over:
            draft.delete(job)


def verdict_key(draft: Draft, source: SourceStatus) -> str:
    """Return what a verdict on an attempt depends on beside the artifact.

    Test, gates, how its pod runs, and the word to try again.
    """
    spec = draft.model.spec
    settings = job_settings(draft.model, draft.installation)
    text = keys.canonical_json([keys.gates_key(spec, source.datasets), settings.to_wire()])
    return hashlib.sha256(text).hexdigest()


def _go_on(work: _Work, running: Manifest | None, number: int) -> tuple[Standing | None, ModelArtifactStatus]:
    """Decide on the next attempt, whose number would be `number`. A standing of None: nothing is missing."""
    draft, status = work.draft, work.status
    role = _needed(work)
    if role is None:
        if running is not None:
            draft.delete(running)
        return None, status
    if running is not None:
        standing = _watch(work, role, running)
        if standing is not None:
            return standing, status
        draft.delete(running)
    if status.rejected is not None:
        if status.rejected.judged_by == verdict_key(draft, work.source):
            return Standing(Course.STUCK, status.rejected.reason, status.rejected.message), status
        status = status.model_copy(update={"rejected": None, "crashes": 0, "setbacks": 0, "next_attempt_at": None})
    if status.next_attempt_at and draft.now < clock.parse(status.next_attempt_at):
        draft.look_again(clock.parse(status.next_attempt_at))
        return _resting(status), status
    if draft.suspended:
        told = "spec.suspend is set: nothing new is compressed or measured."
        return Standing(Course.HELD, Reason.SUSPENDED, told), status
    draft.apply(_job(work, role, number), once=True)
    return _at_work(role, number), status


def _needed(work: _Work) -> str | None:
    """Return the kind of Job that is needed: to compress, to measure what is there, or none.

    Once `rollout.retryToken` asks for another try, files that were changed in the store are made again, and figures
    that the gates refuse are measured again.
    """
    draft, status = work.draft, work.status
    asked_again = status.retry_token != draft.rollout.retry_token
    if status.manifest_digest is None or status.figures is None:
        return names.ROLE_COMPRESS
    if asked_again and _was_changed_in_store(draft, work.artifact, status):
        return names.ROLE_COMPRESS
    if status.evaluated_by != keys.evaluation_key(draft.model.spec, work.source.datasets):
        return names.ROLE_EVALUATE
    refused = not judge(draft.model.spec, status.figures)[1].accepted
    return names.ROLE_EVALUATE if refused and asked_again else None


def _was_changed_in_store(draft: Draft, artifact: ModelArtifact, status: ModelArtifactStatus) -> bool:
    """Say whether anybody who fetched the artifact found other files than those that were accepted."""
    verdicts = [status.rejected.reason if status.rejected else None]
    for revision in all_revisions(draft):
        if (revision.spec.artifact, revision.spec.manifest_digest) == (artifact.metadata.name, status.manifest_digest):
            rejected = revision.status.rejected if revision.status else None
            verdict = health(draft.observed, revision.metadata.name).verdict
            verdicts += [rejected.reason if rejected else None, verdict.reason if verdict else None]
    return Reason.ARTIFACT_CHANGED in verdicts


def _job(work: _Work, role: str, number: int) -> Manifest:
    """Return the Job of an attempt, with what is needed to understand its answer."""
    draft = work.draft
    model = draft.model.model_copy(update={"status": draft.old.model_copy(update={"source": work.source})})
    artifact = work.artifact.model_copy(update={"status": work.status})
    if role == names.ROLE_COMPRESS:
        manifest = compress_job(model, artifact, number, draft.installation, earlier_search(draft, artifact))
    else:
        manifest = evaluate_job(model, artifact, number, draft.installation)
    return marks.marked(
        manifest,
        {
            marks.ATTEMPT: str(number),
            marks.ANSWERS: keys.evaluation_key(draft.model.spec, work.source.datasets),
            marks.JUDGED_BY: verdict_key(draft, work.source),
            marks.RUNS_AS: runs_as(draft),
            marks.RETRY_TOKEN: draft.rollout.retry_token,
        },
    )


def _watch(work: _Work, role: str, job: Manifest) -> Standing | None:
    """Return how the Job under way is doing; None: its pod has not started, and another one would now be made."""
    draft, number = work.draft, attempt_of(job)
    found = jobs.outcome(draft.observed, job, draft.now)
    if isinstance(found, jobs.Unclear):
        draft.look_again(found.until)
    elif isinstance(found, jobs.Running):
        if not found.started:
            if (marks.label(job, names.ROLE_LABEL), marks.mark(job, marks.RUNS_AS)) != (role, runs_as(draft)):
                return None
            draft.look_again(draft.now + jobs.POD_PATIENCE)
        if found.trouble is not None:
            return Standing(Course.WAITING, found.trouble.reason, found.trouble.message)
    return _at_work(marks.label(job, names.ROLE_LABEL), number)


def _at_work(role: str, number: int) -> Standing:
    again = f", in attempt {number}" if number > 1 else ""
    if role == names.ROLE_EVALUATE:
        return Standing(Course.MOVING, Reason.EVALUATING, f"A Job measures the result anew{again}.")
    return Standing(Course.MOVING, Reason.COMPRESSING, f"A Job compresses and measures{again}.")


def _resting(status: ModelArtifactStatus) -> Standing:
    """Return what the last attempt met, as the artifact remembers it."""
    told = next((condition for condition in status.conditions if condition.type == "Ready"), None)
    reason, message = (told.reason, told.message) if told else (Reason.WAITING.value, "The next attempt is due soon.")
    return Standing(Course.WAITING, reason, message)
