"""Jobs that ask a revision for the test data: where, which there are, and the next one.

What came of them is in `answer_notes.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelpress.api import names
from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelRevision
from modelpress.api.verification import VerificationRecord
from modelpress.control import jobs, marks
from modelpress.control.draft import Draft, attempt_of
from modelpress.control.inputs import runs_as
from modelpress.control.plan import Manifest
from modelpress.control.proof import Question
from modelpress.control.sets import set_of
from modelpress.control.standing import Course, Standing
from modelpress.render.jobs import ask_job


@dataclass(frozen=True, slots=True)
class Place:
    """Where a revision is asked: at that Service, by Triton's number for it; None: it is what answers there."""

    service: str
    version: int | None = None

    def __str__(self) -> str:
        return self.service if self.version is None else f"{self.service}/{self.version}"


def jobs_at(draft: Draft, revision: ModelRevision) -> list[Manifest]:
    """Return the Jobs that ask `revision`, by number of attempt."""
    name = revision.metadata.name
    return [job for job in draft.jobs(names.ROLE_ASK) if marks.label(job, names.REVISION_LABEL) == name]


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
