"""What do the URIs hold now? Asked by a Job, answered in `status.source`, asked again when `update.interval` is over.

An answer stands until the question changes. While the source is looked at again, or cannot be just now, the last
answer goes on being what is compressed and served.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic import ValidationError

from modelpress.api import keys, names
from modelpress.api.reasons import Reason
from modelpress.api.resources import Rejection, SourceStatus
from modelpress.api.results import Failure, ResolveResult
from modelpress.control import clock, jobs, marks
from modelpress.control.draft import Draft, attempt_of
from modelpress.control.inputs import pins, runs_as, secrets, teachers
from modelpress.control.looking_again import interval, is_due
from modelpress.control.plan import Manifest
from modelpress.control.standing import Course, Standing
from modelpress.render.jobs import resolve_job


@dataclass(frozen=True, slots=True)
class Resolution:
    """What is known of the source, and why it is not known better. At least one of `source` and `standing` is there."""

    source: SourceStatus | None
    standing: Standing | None = None
    rejected: Rejection | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked.

    A key of all URIs and pins. `known`: the last answer to it. `judged_by`: what a verdict depends on.
    """

    draft: Draft
    key: str
    known: SourceStatus | None
    judged_by: str


def resolve(draft: Draft) -> Resolution:
    """Return what the URIs hold, having it looked up where that is due."""
    key = keys.resolution_key(draft.model.spec)
    known = draft.old.source if draft.old.source and draft.old.source.resolved_for == key else None
    question = _Question(draft, key, known, _judged_by(draft, key))
    ours = [job for job in draft.jobs(names.ROLE_RESOLVE) if marks.mark(job, marks.ANSWERS) == key]
    draft.delete(*(job for job in draft.jobs(names.ROLE_RESOLVE) if job not in ours))
    pinned = pins(draft.model.spec)
    if all(pinned.values()):
        draft.delete(*ours)
        return Resolution(known or _from_pins(draft, key, pinned))
    draft.delete(*ours[:-1])
    latest = ours[-1] if ours else None
    if latest is None or draft.is_going(latest):
        return _without_job(question)
    return _with_job(question, latest)


def _without_job(question: _Question) -> Resolution:
    """Decide whether to ask, while nobody is asking."""
    draft, known, refused = question.draft, question.known, question.draft.old.rejected
    if known is not None:
        return _ask(question, attempt=1) if is_due(draft, known.resolved_at) else Resolution(known)
    remembered = refused is not None and not refused.artifact and refused.judged_by == question.judged_by
    if refused is not None and remembered and interval(draft) is None:
        return Resolution(None, Standing(Course.STUCK, refused.reason, refused.message), refused)
    return _ask(question, attempt=1)


def _with_job(question: _Question, job: Manifest) -> Resolution:
    """Make of the latest Job what it allows."""
    match jobs.outcome(question.draft.observed, job, question.draft.now):
        case jobs.Unclear() as found:
            question.draft.look_again(found.until)
            return _in_progress(question)
        case jobs.Running() as found:
            return _running(question, job, found)
        case jobs.Succeeded() as found:
            return _answered(question, job, found)
        case jobs.Judged() as found:
            return _refused(question, job, found)
        case jobs.Setback() | jobs.Crashed() as found:
            return _again(question, job, found.failure, found.finished_at)


def _running(question: _Question, job: Manifest, found: jobs.Running) -> Resolution:
    if not found.started:
        if marks.mark(job, marks.RUNS_AS) != runs_as(question.draft):
            return _ask(question, attempt_of(job) + 1, instead_of=job)
        question.draft.look_again(question.draft.now + jobs.POD_PATIENCE)
    if found.trouble is not None:
        return Resolution(question.known, Standing(Course.WAITING, found.trouble.reason, found.trouble.message))
    return _in_progress(question)


def _answered(question: _Question, job: Manifest, found: jobs.Succeeded) -> Resolution:
    """Take in an answer that is new, and let a Job go whose answer was taken in."""
    draft, known = question.draft, question.known
    if known is not None and clock.parse(found.finished_at) <= clock.parse(known.resolved_at):
        if is_due(draft, known.resolved_at):
            return _ask(question, attempt_of(job) + 1, instead_of=job)
        draft.delete(job)
        return Resolution(known)
    try:
        result = ResolveResult.model_validate_json(found.message)
    except ValidationError:
        unreadable = Failure(reason=Reason.OPERATOR_ERROR, message="The resolve Job's answer could not be read.")
        return _again(question, job, unreadable, found.finished_at)
    pinned = {role: digest for role, digest in pins(draft.model.spec).items() if digest is not None}
    source = _status({"source": result.source, **result.datasets, **pinned}, found.finished_at, question.key)
    if known is None or (known.resolved_digest, known.datasets) != (source.resolved_digest, source.datasets):
        draft.note("Normal", Reason.RESOLVED, f"{draft.model.spec.source.uri} holds {source.resolved_digest}.")
    is_due(draft, source.resolved_at)
    return Resolution(source)


def _refused(question: _Question, job: Manifest, found: jobs.Judged) -> Resolution:
    """Remember a verdict; ask again once what it depends on changes, or when it is time to look again anyway."""
    if marks.mark(job, marks.JUDGED_BY) != question.judged_by or is_due(question.draft, found.finished_at):
        return _ask(question, attempt_of(job) + 1, instead_of=job)
    message = f"{found.failure.message} {_how_to_retry(question.draft)}"
    rejected = Rejection(judged_by=question.judged_by, reason=found.failure.reason, message=message)
    return Resolution(question.known, Standing(Course.STUCK, found.failure.reason, message), rejected)


def _how_to_retry(draft: Draft) -> str:
    """Return what to do once the cause is mended, where the spec itself need not change."""
    if draft.model.spec.update is not None:
        return "It is looked at again at the next update.interval, or at once when spec.rollout.retryToken changes."
    return "Once that is mended, change spec.rollout.retryToken to have it tried again."


def _again(question: _Question, job: Manifest, failure: Failure, finished_at: str) -> Resolution:
    """Wait, longer each time, and ask again."""
    draft, due = question.draft, clock.parse(finished_at) + clock.pause(attempt_of(job))
    if marks.mark(job, marks.JUDGED_BY) != question.judged_by or draft.now >= due:
        return _ask(question, attempt_of(job) + 1, instead_of=job, after=failure)
    draft.look_again(due)
    message = f"{failure.message} It is tried again by itself."
    return Resolution(question.known, Standing(Course.WAITING, failure.reason, message))


def _ask(
    question: _Question, attempt: int, *, instead_of: Manifest | None = None, after: Failure | None = None
) -> Resolution:
    """Start a Job, unless nothing may be started. `after`: what the one before met."""
    draft, known = question.draft, question.known
    if draft.suspended:
        told = "spec.suspend is set: the source is not looked up."
        return Resolution(known, Standing(Course.HELD, Reason.SUSPENDED, told))
    manifest = resolve_job(draft.model, draft.installation, suffix=f"-{attempt}" if attempt > 1 else "")
    written = {
        marks.ATTEMPT: str(attempt),
        marks.ANSWERS: question.key,
        marks.JUDGED_BY: question.judged_by,
        marks.RUNS_AS: runs_as(draft),
    }
    draft.apply(marks.marked(manifest, written), once=True)
    if instead_of is not None:
        draft.delete(instead_of)
    if after is not None:
        return Resolution(known, Standing(Course.WAITING, after.reason, f"{after.message} It is being tried again."))
    return _in_progress(question)


def _in_progress(question: _Question) -> Resolution:
    spec = question.draft.model.spec
    also = " and the teachers" if teachers(spec) else ""
    told = f"Looking up what {spec.source.uri} and the datasets{also} hold."
    return Resolution(question.known, Standing(Course.MOVING, Reason.RESOLVING, told))


def _judged_by(draft: Draft, key: str) -> str:
    """Return what a verdict on the source depends on: where it is, who may read it, and the word to try again."""
    text = keys.canonical_json([key, secrets(draft.model.spec), draft.rollout.retry_token])
    return hashlib.sha256(text).hexdigest()


def _from_pins(draft: Draft, key: str, pinned: dict[str, str | None]) -> SourceStatus:
    digests = {role: digest for role, digest in pinned.items() if digest is not None}
    return _status(digests, clock.show(draft.now), key)


def _status(digests: dict[str, str], resolved_at: str, key: str) -> SourceStatus:
    datasets = {role: digest for role, digest in digests.items() if role != "source"}
    return SourceStatus(resolved_digest=digests["source"], datasets=datasets, resolved_at=resolved_at, resolved_for=key)
