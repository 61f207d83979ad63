"""What an ended Job that asked a revision amounts to, written into the status of the ModelRevision.

Figures, a judgement, or when to ask again. Test data that is gone is the surroundings' fault: the revision did nothing
wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelRevision
from modelpress.api.results import AskResult, Failure
from modelpress.api.verification import VerificationRecord
from modelpress.control import jobs, marks
from modelpress.control.asks import jobs_at
from modelpress.control.draft import Draft, attempt_of
from modelpress.control.ended_jobs import ended, was_kept_waiting, weigh
from modelpress.control.plan import Manifest
from modelpress.render.installation import job_settings

OF_THE_DATA = frozenset({Reason.DATASET_NOT_FOUND, Reason.DIGEST_MISMATCH})
"""Judgements about test data that was there when the result was compressed: it may come back."""


@dataclass(frozen=True, slots=True)
class Noted:
    """What is known after the Jobs that ended. `failure`: a judgement that the last of them amounts to."""

    record: VerificationRecord
    failure: Failure | None = None


def known(revision: ModelRevision) -> VerificationRecord:
    """Return what `revision` remembers of its answers."""
    record = revision.status.verification if revision.status else None
    return record or VerificationRecord()


def take_note(draft: Draft, revision: ModelRevision, record: VerificationRecord) -> Noted:
    """Return `record` with all Jobs in it that ended since and have told how; those that are in it already may go."""
    ours = jobs_at(draft, revision)
    draft.delete(*(job for job in ours[:-1] if attempt_of(job) <= record.attempts))
    noted = Noted(record)
    for job, found in ended(draft, ours, record.attempts):
        noted = _noted(draft, revision, noted.record, job, found)
    return noted


def _noted(
    draft: Draft, revision: ModelRevision, record: VerificationRecord, job: Manifest, found: jobs.Ended
) -> Noted:
    """Return `record` with one ended Job in it."""
    fields, came = weigh(draft, record, job, _fault(draft, revision, found), AskResult)
    if isinstance(came, AskResult):
        return Noted(record.model_copy(update=fields | _answered(draft, job, came, found.finished_at)))
    if isinstance(came, Failure):
        return Noted(record.model_copy(update=fields), came)
    return Noted(record.model_copy(update=fields | {"reason": came.reason, "message": came.message}))


def _fault(draft: Draft, revision: ModelRevision, found: jobs.Ended) -> jobs.Ended:
    """Return `found` by whose fault it is: of a judgement that may be the test data's, or a server's that is slow."""
    if not isinstance(found, jobs.Judged):
        return found
    conditions = revision.status.conditions if revision.status else ()
    if found.failure.reason in OF_THE_DATA or was_kept_waiting(found, conditions, "Verified"):
        return jobs.Setback(found.failure, found.finished_at)
    if found.failure.reason != Reason.COMPRESSION_TIMEOUT:
        return found
    timeout = job_settings(draft.model, draft.installation).timeout
    told = f"The pod did not answer all of the test data in compression.job.timeout, {timeout}."
    return jobs.Crashed(Failure(reason=Reason.VERIFICATION_TIMEOUT, message=told), found.finished_at)


def _answered(draft: Draft, job: Manifest, result: AskResult, finished_at: str) -> dict[str, Any]:
    """Return the fields that a success sets; what was not compared anew stays as it was."""
    found: dict[str, Any] = {
        "figures": result.figures,
        "measured_for": marks.mark(job, marks.ANSWERS),
        "answers_digest": result.answers_digest,
        "node": _node(draft, job),
        "at": finished_at,
        "reason": "",
        "message": "",
    }
    if result.disagreement is not None:
        found |= {"disagreement": result.disagreement, "compared_for": marks.mark(job, marks.COMPARES)}
    return found


def _node(draft: Draft, job: Manifest) -> str:
    """Return the node of the pod that was asked; empty if nobody knows which of several it was."""
    service = draft.observed.find("Service", marks.mark(job, marks.ASKS_AT).partition("/")[0])
    selector = ((service or {}).get("spec") or {}).get("selector") or {}
    nodes = {
        str((pod.get("spec") or {}).get("nodeName") or "")
        for pod in draft.observed.of_kind("Pod")
        if selector and all(marks.label(pod, name) == value for name, value in selector.items())
    }
    return nodes.pop() if len(nodes) == 1 else ""
