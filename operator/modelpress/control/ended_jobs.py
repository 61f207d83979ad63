"""What ended Jobs amount to, whatever they were made for: a result, a judgement, or another try after a pause.

An end is written into the status of what the Job was made for before the Job may go, and its number says whether it is
in there already: so no round counts one twice, and none gets lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from modelpress.api.reasons import Reason
from modelpress.api.resources import Condition, ModelArtifactStatus
from modelpress.api.results import AskResult, Failure, PublishResult
from modelpress.api.verification import VerificationRecord
from modelpress.control import clock, jobs, marks
from modelpress.control.draft import Draft, attempt_of
from modelpress.control.plan import Manifest
from modelpress.render.installation import job_settings

KEPT_WAITING = frozenset({Reason.POD_UNSCHEDULABLE, Reason.IMAGE_UNAVAILABLE, Reason.WAITING})
"""Reasons of a Job whose pod cannot start."""

Answer = TypeVar("Answer", PublishResult, AskResult)


@dataclass(frozen=True, slots=True)
class Again:
    """It is tried again by itself, and why."""

    reason: Reason
    message: str


def ended(draft: Draft, ours: Iterable[Manifest], attempts: int) -> Iterator[tuple[Manifest, jobs.Ended]]:
    """Yield those of `ours`, by number, that ended since attempt `attempts`, up to one that has not told how."""
    for job in ours:
        if attempt_of(job) <= attempts or draft.is_going(job):
            continue
        found = jobs.outcome(draft.observed, job, draft.now)
        if isinstance(found, jobs.Unclear | jobs.Running):
            return
        attempts = attempt_of(job)
        yield job, found


def weigh(
    draft: Draft,
    before: ModelArtifactStatus | VerificationRecord,
    job: Manifest,
    found: jobs.Ended,
    answer: type[Answer],
) -> tuple[dict[str, Any], Answer | Failure | Again]:
    """Return the fields that the end of `job` sets in what remembers it, and what came of it.

    `before`: what is remembered so far. `answer`: what a Job that succeeds says.
    """
    fields: dict[str, Any] = {"attempts": attempt_of(job), "retry_token": marks.mark(job, marks.RETRY_TOKEN)}
    if isinstance(found, jobs.Succeeded):
        settled = {"crashes": 0, "setbacks": 0, "next_attempt_at": None}
        try:
            return fields | settled, answer.model_validate_json(found.message)
        except ValidationError:
            told = f"What {job['metadata']['name']} answered could not be read."
            found = jobs.Crashed(Failure(reason=Reason.OPERATOR_ERROR, message=told), found.finished_at)
    failure = found.failure
    if isinstance(found, jobs.Judged):
        return fields, failure
    if isinstance(found, jobs.Crashed):
        crashes = before.crashes + 1
        fields["crashes"] = crashes
        if crashes > job_settings(draft.model, draft.installation).retries:
            told = f"{failure.message} It was tried {crashes} times."
            return fields, Failure(reason=failure.reason, message=told)
    setbacks = before.setbacks + 1
    due = clock.parse(found.finished_at) + clock.pause(setbacks)
    fields |= {"setbacks": setbacks, "next_attempt_at": clock.show(due)}
    return fields, Again(failure.reason, f"{failure.message} It is tried again by itself.")


def was_kept_waiting(found: jobs.Judged, conditions: Iterable[Condition], kind: str) -> bool:
    """Say whether a deadline passed while the pod could not even start: nobody's model is at fault then.

    `kind`: of the one of `conditions` that says what the Job waits for.
    """
    if found.failure.reason != Reason.COMPRESSION_TIMEOUT:
        return False
    return any(item.type == kind and item.reason in KEPT_WAITING for item in conditions)
