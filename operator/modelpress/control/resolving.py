"""What do the URIs hold now? Asked by a Job, answered in `status.source`, asked again when `update.interval` is over.

An answer stands until the question changes. While the source is looked at again, or cannot be just now, the last answer goes on
being what is compressed and served.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from modelpress.api import keys, names
from modelpress.api.data import CompressionData, Dataset
from modelpress.api.durations import seconds
from modelpress.api.evaluation import Evaluation
from modelpress.api.reasons import Reason
from modelpress.api.resources import Rejection, SourceStatus
from modelpress.api.results import Failure, ResolveResult
from modelpress.api.spec import CompressedModelSpec
from modelpress.control import clock, jobs, marks
from modelpress.control.draft import Draft, attempt_of
from modelpress.control.plan import Manifest
from modelpress.control.standing import Course, Standing
from modelpress.render.jobs import resolve_job

LEAST_INTERVAL = 10.0
"""Seconds that `update.interval` is at least taken for."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What is known of the source, and why it is not known better. At least one of `source` and `standing` is there."""

    source: SourceStatus | None
    standing: Standing | None = None
    rejected: Rejection | None = None


def resolve(draft: Draft) -> Resolution:
    """Return what the URIs hold, having it looked up where that is due."""
    question = keys.resolution_key(draft.model.spec)
    ours = [job for job in draft.jobs(names.ROLE_RESOLVE) if marks.mark(job, marks.ANSWERS) == question]
    draft.delete(*(job for job in draft.jobs(names.ROLE_RESOLVE) if job not in ours))
    known = draft.old.source if draft.old.source and draft.old.source.resolved_for == question else None
    pinned = pins(draft.model.spec)
    if all(pinned.values()):
        draft.delete(*ours)
        return Resolution(known or _from_pins(draft, question, pinned))
    draft.delete(*ours[:-1])
    latest = ours[-1] if ours else None
    if latest is None or draft.is_going(latest):
        return _without_job(draft, question, known)
    return _with_job(draft, question, known, latest)


def pins(spec: CompressedModelSpec) -> dict[str, str | None]:
    """Return the digests that the spec gives, by role; None where it leaves the store to say."""
    data, evaluation = spec.compression.data or CompressionData(), spec.evaluation or Evaluation()
    datasets: dict[str, Dataset | None] = {role: getattr(data, role) for role in keys.LEARNING_ROLES}
    datasets["test"] = evaluation.test
    found = {role: dataset.digest for role, dataset in datasets.items() if dataset is not None}
    return {"source": spec.source.digest, **found}


def _judged_by(draft: Draft, question: str) -> str:
    """Return what a verdict on the source depends on: where it is, who may read it, and the word to try again."""
    spec = draft.model.spec
    data, evaluation = spec.compression.data or CompressionData(), spec.evaluation or Evaluation()
    datasets = [getattr(data, role) for role in keys.LEARNING_ROLES] + [evaluation.test]
    secrets = [place.secret_name for place in [spec.source, *datasets] if place is not None]
    text = keys.canonical_json([question, secrets, draft.rollout.retry_token])
    return hashlib.sha256(text).hexdigest()


def _from_pins(draft: Draft, question: str, pinned: dict[str, str | None]) -> SourceStatus:
    digests = {role: digest for role, digest in pinned.items() if digest is not None}
    return SourceStatus(
        resolved_digest=digests.pop("source"),
        datasets=digests,
        resolved_at=clock.show(draft.now),
        resolved_for=question,
    )


def _without_job(draft: Draft, question: str, known: SourceStatus | None) -> Resolution:
    """Decide whether to ask, while nobody is asking."""
    refused = draft.old.rejected
    if known is None and refused and not refused.artifact and refused.judged_by == _judged_by(draft, question):
        if _interval(draft) is None:
            return Resolution(None, Standing(Course.STUCK, refused.reason, refused.message), refused)
    elif known is not None and not _is_due(draft, known.resolved_at):
        return Resolution(known)
    return _ask(draft, question, known, attempt=1)


def _with_job(draft: Draft, question: str, known: SourceStatus | None, job: Manifest) -> Resolution:
    """Make of the latest Job what it allows."""
    found = jobs.outcome(draft.observed, job, draft.now)
    attempt = attempt_of(job)
    if isinstance(found, jobs.Unclear):
        draft.look_again(found.until)
        return _in_progress(draft, known, job, None)
    if isinstance(found, jobs.Running):
        if not found.started and marks.mark(job, marks.JUDGED_BY) != _judged_by(draft, question):
            return _ask(draft, question, known, attempt + 1, instead_of=job)
        return _in_progress(draft, known, job, found)
    if isinstance(found, jobs.Succeeded):
        if known is not None and clock.parse(found.finished_at) <= clock.parse(known.resolved_at):
            if _is_due(draft, known.resolved_at):
                return _ask(draft, question, known, attempt + 1, instead_of=job)
            draft.delete(job)
            return Resolution(known)
        return _answered(draft, question, known, job, found)
    if isinstance(found, jobs.Judged):
        return _refused(draft, question, known, job, found)
    return _again(draft, question, known, job, found.failure, found.finished_at)


def _answered(
    draft: Draft, question: str, known: SourceStatus | None, job: Manifest, found: jobs.Succeeded
) -> Resolution:
    """Take in the answer; what was pinned stays as pinned."""
    pinned = {role: digest for role, digest in pins(draft.model.spec).items() if digest is not None}
    try:
        result = ResolveResult.model_validate_json(found.message)
    except ValidationError:
        unreadable = Failure(reason=Reason.OPERATOR_ERROR, message="The resolve Job's answer could not be read.")
        return _again(draft, question, known, job, unreadable, found.finished_at)
    digests = {"source": result.source, **result.datasets, **pinned}
    source = SourceStatus(
        resolved_digest=digests.pop("source"), datasets=digests, resolved_at=found.finished_at, resolved_for=question
    )
    if known is None or known.resolved_digest != source.resolved_digest or known.datasets != source.datasets:
        draft.note("Normal", Reason.RESOLVED, f"{draft.model.spec.source.uri} holds {source.resolved_digest}.")
    _is_due(draft, source.resolved_at)
    return Resolution(source)


def _refused(draft: Draft, question: str, known: SourceStatus | None, job: Manifest, found: jobs.Judged) -> Resolution:
    """Remember a verdict; ask again once what it depends on changes, or when it is time to look again anyway."""
    if marks.mark(job, marks.JUDGED_BY) != _judged_by(draft, question) or _is_due(draft, found.finished_at):
        return _ask(draft, question, known, attempt_of(job) + 1, instead_of=job)
    message = f"{found.failure.message} {how_to_retry(draft)}"
    rejected = Rejection(judged_by=_judged_by(draft, question), reason=found.failure.reason, message=message)
    return Resolution(known, Standing(Course.STUCK, found.failure.reason, message), rejected)


def how_to_retry(draft: Draft) -> str:
    """Return what to do once the cause is mended, where the spec itself need not change."""
    if draft.model.spec.update is not None:
        return "It is looked at again at the next update.interval, or at once when spec.rollout.retryToken changes."
    return "Once that is mended, change spec.rollout.retryToken to have it tried again."


def _again(
    draft: Draft, question: str, known: SourceStatus | None, job: Manifest, failure: Failure, finished_at: str
) -> Resolution:
    """Wait, longer each time, and ask again."""
    due = clock.parse(finished_at) + clock.pause(attempt_of(job))
    if marks.mark(job, marks.JUDGED_BY) != _judged_by(draft, question) or draft.now >= due:
        return _ask(draft, question, known, attempt_of(job) + 1, instead_of=job, after=failure)
    draft.look_again(due)
    message = f"{failure.message} It is tried again by itself."
    return Resolution(known, Standing(Course.WAITING, failure.reason, message))


def _ask(
    draft: Draft,
    question: str,
    known: SourceStatus | None,
    attempt: int,
    *,
    instead_of: Manifest | None = None,
    after: Failure | None = None,
) -> Resolution:
    """Start a Job, unless nothing may be started."""
    if draft.suspended:
        return Resolution(
            known, Standing(Course.HELD, Reason.SUSPENDED, "spec.suspend is set: the source is not looked up.")
        )
    manifest = resolve_job(draft.model, draft.installation, suffix=f"-{attempt}" if attempt > 1 else "")
    draft.apply(
        marks.marked(
            manifest,
            {marks.ATTEMPT: str(attempt), marks.ANSWERS: question, marks.JUDGED_BY: _judged_by(draft, question)},
        ),
        once=True,
    )
    if instead_of is not None:
        draft.delete(instead_of)
    if after is not None:
        return Resolution(known, Standing(Course.WAITING, after.reason, f"{after.message} It is being tried again."))
    return Resolution(known, Standing(Course.MOVING, Reason.RESOLVING, _looking_up(draft)))


def _in_progress(draft: Draft, known: SourceStatus | None, job: Manifest, found: jobs.Running | None) -> Resolution:
    if found is not None and found.trouble is not None:
        return Resolution(known, Standing(Course.WAITING, found.trouble.reason, found.trouble.message))
    if found is not None and not found.started:
        draft.look_again(draft.now + jobs.POD_PATIENCE)
    return Resolution(known, Standing(Course.MOVING, Reason.RESOLVING, _looking_up(draft)))


def _looking_up(draft: Draft) -> str:
    return f"Looking up what {draft.model.spec.source.uri} and the datasets hold."


def _interval(draft: Draft) -> timedelta | None:
    update = draft.model.spec.update
    return timedelta(seconds=max(LEAST_INTERVAL, seconds(update.interval))) if update else None


def _is_due(draft: Draft, since: str) -> bool:
    """Say whether it is time to look again after an answer at `since`; if not yet, have a round made then."""
    if _was_contradicted(draft, since):
        return True
    interval = _interval(draft)
    if interval is None:
        return False
    due: datetime = clock.parse(since) + interval
    if draft.now < due:
        draft.look_again(due)
    return draft.now >= due


def _was_contradicted(draft: Draft, since: str) -> bool:
    """Say whether a Job has found something else in the store since: it was overwritten in between."""
    found = (
        jobs.outcome(draft.observed, job, draft.now) for job in draft.jobs(names.ROLE_COMPRESS, names.ROLE_EVALUATE)
    )
    return any(
        isinstance(outcome, jobs.Judged)
        and outcome.failure.reason == Reason.DIGEST_MISMATCH
        and clock.parse(outcome.finished_at) > clock.parse(since)
        for outcome in found
    )
