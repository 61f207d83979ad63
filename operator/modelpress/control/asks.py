"""Jobs that ask a pod of a revision for the test data: which there are, what came of them, and the next one.

As with attempts at an artifact, what an ended Job amounts to is written into the ModelRevision's status before it may
go, and its number says whether it is in there already. Test data that is gone is the surroundings' fault: the revision
did nothing wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from modelpress.api import names
from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelRevision
from modelpress.api.results import AskResult, Failure
from modelpress.api.verification import VerificationRecord
from modelpress.control import clock, jobs, marks
from modelpress.control.draft import Draft, attempt_of
from modelpress.control.inputs import runs_as
from modelpress.control.plan import Manifest
from modelpress.control.proof import Question
from modelpress.control.sets import set_of
from modelpress.control.standing import Course, Standing
from modelpress.render.installation import job_settings
from modelpress.render.jobs import ask_job

OF_THE_DATA = frozenset({Reason.DATASET_NOT_FOUND, Reason.DIGEST_MISMATCH})
"""Judgements about test data that was there when the result was compressed: it may come back."""
KEPT_WAITING = frozenset({Reason.POD_UNSCHEDULABLE, Reason.IMAGE_UNAVAILABLE, Reason.WAITING})
"""Reasons of a Job whose pod cannot start."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a revision is asked: at that Service, by Triton's number for it; None: it is what answers there."""

    service: str
    version: int | None = None

    def __str__(self) -> str:
        return self.service if self.version is None else f"{self.service}/{self.version}"


@dataclass(frozen=True, slots=True)
class Noted:
    """What is known after the Jobs that ended. `failure`: a judgement that the last of them amounts to."""

    record: VerificationRecord
    failure: Failure | None = None


def known(revision: ModelRevision) -> VerificationRecord:
    """Return what `revision` remembers of its answers."""
    record = revision.status.verification if revision.status else None
    return record or VerificationRecord()


def jobs_at(draft: Draft, revision: ModelRevision) -> list[Manifest]:
    """Return the Jobs that ask `revision`, by number of attempt."""
    name = revision.metadata.name
    return [job for job in draft.jobs(names.ROLE_ASK) if marks.label(job, names.REVISION_LABEL) == name]


def take_note(draft: Draft, revision: ModelRevision, record: VerificationRecord) -> Noted:
    """Return `record` with all Jobs in it that ended since and have told how; those that are in it already may go."""
    ours = jobs_at(draft, revision)
    draft.delete(*(job for job in ours[:-1] if attempt_of(job) <= record.attempts))
    noted = Noted(record)
    for job in ours:
        if attempt_of(job) <= record.attempts or draft.is_going(job):
            continue
        found = jobs.outcome(draft.observed, job, draft.now)
        if isinstance(found, jobs.Unclear | jobs.Running):
            break
        noted = _noted(draft, revision, noted.record, job, found)
    return noted


def under_way(
    draft: Draft, revision: ModelRevision, record: VerificationRecord, asked: Question, place: Place | None
) -> Manifest | None:
    """Return the Job that is not over, unless another one would now be made: that one is stopped.

    `place`: where the revision is asked; None: nowhere yet.
    """
    waiting = [job for job in jobs_at(draft, revision) if attempt_of(job) > record.attempts and not draft.is_going(job)]
    for job in waiting:
        found = jobs.outcome(draft.observed, job, draft.now)
        started = not isinstance(found, jobs.Running) or found.started
        same_pod = started or marks.mark(job, marks.RUNS_AS) == runs_as(draft)
        if same_pod and all(marks.mark(job, name) == key for name, key in _keys(asked, place).items()):
            return job
        draft.delete(job)
    return None


def held(draft: Draft, revision: str) -> Standing | None:
    """Return that nothing new is to be asked, if the user wants that."""
    if not (draft.suspended or draft.rollout.paused):
        return None
    field, reason = ("suspend", Reason.SUSPENDED) if draft.suspended else ("rollout.paused", Reason.PAUSED)
    return Standing(Course.HELD, reason, f"spec.{field} is set: {revision} is not verified yet, and not started.")


def watch(draft: Draft, job: Manifest) -> Standing:
    """Return how a Job that is not over is doing."""
    found = jobs.outcome(draft.observed, job, draft.now)
    if isinstance(found, jobs.Unclear):
        draft.look_again(found.until)
    elif isinstance(found, jobs.Running):
        if not found.started:
            draft.look_again(draft.now + jobs.POD_PATIENCE)
        if found.trouble is not None:
            return Standing(Course.WAITING, found.trouble.reason, found.trouble.message)
    return _at_work(job)


def ask(draft: Draft, revision: ModelRevision, record: VerificationRecord, asked: Question, place: Place) -> Standing:
    """Start the next Job."""
    artifact = draft.artifact(revision.spec.artifact)
    assert artifact is not None, "whatever a wanted revision is made of is there"
    number = max([record.attempts, *map(attempt_of, jobs_at(draft, revision))]) + 1
    manifest = ask_job(
        draft.model,
        artifact,
        revision,
        number,
        draft.installation,
        service=place.service,
        version=place.version,
        stable=asked.stable,
        stable_service=set_of(draft.observed, asked.stable) if asked.stable is not None else None,
        disagreement=asked.disagreement,
    )
    notes = _keys(asked, place) | {
        marks.ATTEMPT: str(number),
        marks.RUNS_AS: runs_as(draft),
        marks.RETRY_TOKEN: draft.rollout.retry_token,
    }
    job = marks.marked(manifest, notes)
    draft.apply(job, once=True)
    return _at_work(job)


def stop_all(draft: Draft, but: str | None = None) -> None:
    """Stop Jobs that are not over, those at the revision `but` aside."""
    for job in draft.jobs(names.ROLE_ASK):
        over = isinstance(jobs.outcome(draft.observed, job, draft.now), jobs.Ended)
        if not over and marks.label(job, names.REVISION_LABEL) != but:
            draft.delete(job)


def _keys(asked: Question, place: Place | None) -> dict[str, str]:
    """Return what tells a Job from one that asks something else, or elsewhere."""
    return {
        marks.ANSWERS: asked.measured_for,
        marks.COMPARES: asked.compared_for,
        marks.ASKS_AT: str(place) if place is not None else "",
    }


def _at_work(job: Manifest) -> Standing:
    number = attempt_of(job)
    again = f", in attempt {number}" if number > 1 else ""
    name = marks.label(job, names.REVISION_LABEL)
    told = f"A Job asks {name} for the test data before it gets requests{again}."
    return Standing(Course.MOVING, Reason.VERIFYING, told)


def _noted(
    draft: Draft, revision: ModelRevision, record: VerificationRecord, job: Manifest, found: jobs.Ended
) -> Noted:
    """Return `record` with one ended Job in it."""
    common: dict[str, Any] = {"attempts": attempt_of(job), "retry_token": marks.mark(job, marks.RETRY_TOKEN)}
    if isinstance(found, jobs.Succeeded):
        try:
            result = AskResult.model_validate_json(found.message)
        except ValidationError:
            told = "What the asking container answered could not be read."
            found = jobs.Crashed(Failure(reason=Reason.OPERATOR_ERROR, message=told), found.finished_at)
        else:
            return Noted(record.model_copy(update=common | _answered(draft, job, result, found.finished_at)))
    failure = found.failure
    if isinstance(found, jobs.Judged):
        if failure.reason == Reason.COMPRESSION_TIMEOUT and not _was_kept_waiting(revision):
            timeout = job_settings(draft.model, draft.installation).timeout
            told = f"The pod did not answer all of the test data in compression.job.timeout, {timeout}."
            failure = Failure(reason=Reason.VERIFICATION_TIMEOUT, message=told)
            found = jobs.Crashed(failure, found.finished_at)
        elif failure.reason != Reason.COMPRESSION_TIMEOUT and failure.reason not in OF_THE_DATA:
            return Noted(record.model_copy(update=common), failure)
    if isinstance(found, jobs.Crashed):
        crashes = record.crashes + 1
        common["crashes"] = crashes
        if crashes > job_settings(draft.model, draft.installation).retries:
            told = f"{failure.message} It was tried {crashes} times."
            last = Failure(reason=failure.reason, message=told)
            return Noted(record.model_copy(update=common), last)
    setbacks = record.setbacks + 1
    due = clock.parse(found.finished_at) + clock.pause(setbacks)
    update = {
        "setbacks": setbacks,
        "next_attempt_at": clock.show(due),
        "reason": failure.reason,
        "message": f"{failure.message} It is tried again by itself.",
    }
    return Noted(record.model_copy(update=common | update))


def _answered(draft: Draft, job: Manifest, result: AskResult, finished_at: str) -> dict[str, Any]:
    """Return the fields that a success sets; what was not compared anew stays as it was."""
    found: dict[str, Any] = {
        "figures": result.figures,
        "measured_for": marks.mark(job, marks.ANSWERS),
        "answers_digest": result.answers_digest,
        "node": _node(draft, job),
        "at": finished_at,
        "crashes": 0,
        "setbacks": 0,
        "next_attempt_at": None,
        "reason": "",
        "message": "",
    }
    if result.disagreement is not None:
        found |= {"disagreement": result.disagreement, "compared_for": marks.mark(job, marks.COMPARES)}
    return found


def _node(draft: Draft, job: Manifest) -> str:
    """Return the node of the pod that was asked; empty if nobody knows which of several it was."""
    service = draft.observed.find("Service", marks.mark(job, marks.ASKS_AT).partition("/")[0])
    selector: dict[str, str] = ((service or {}).get("spec") or {}).get("selector") or {"": ""}
    asked = [
        pod
        for pod in draft.observed.of_kind("Pod")
        if all(marks.label(pod, name) == value for name, value in selector.items())
    ]
    nodes = {str((pod.get("spec") or {}).get("nodeName") or "") for pod in asked}
    return nodes.pop() if len(nodes) == 1 else ""


def _was_kept_waiting(revision: ModelRevision) -> bool:
    """Say whether a deadline passed while the Job's pod could not even start: nobody's model is at fault then."""
    conditions = revision.status.conditions if revision.status else ()
    return any(item.type == "Verified" and item.reason in KEPT_WAITING for item in conditions)
