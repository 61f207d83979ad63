"""Verification before traffic: a pod of the revision that gets no requests is asked for the test data, by a Job.

It is done for a revision of which something is asked (`proof.py`) that is not known yet; what is learnt stands in the
ModelRevision. Only then does a serving pod of that revision exist. The pod goes as soon as it is not asked any more,
also while the next attempt is waited for: it holds no room that others may need.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from modelpress.api import names
from modelpress.api.durations import seconds
from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelRevision, Rejection, VerificationStatus
from modelpress.api.results import ExitCode, Failure
from modelpress.api.verification import VerificationRecord
from modelpress.control import asks, candidates, clock, jobs, marks, pods
from modelpress.control.draft import Draft
from modelpress.control.ownership import owner_uids
from modelpress.control.plan import Manifest
from modelpress.control.proof import Proof, Question, prove, question
from modelpress.control.readiness import Health, health, pods_of
from modelpress.control.standing import Course, Finding, Standing
from modelpress.control.upkeep import made_at_token
from modelpress.render import serving as render

KINDS = ("Deployment", "Service", "NetworkPolicy", "ConfigMap")
"""Kinds of which a revision that is verified has one each. They are taken away in this order."""


@dataclass(frozen=True, slots=True)
class Verification:
    """How far the verification of a revision is, after this round. Nothing set: nothing is asked of it.

    `standing`: why it may not serve yet. `rejected`: why it is not to serve. `finding`: what condition Verified says.
    `record`: for the ModelRevision to remember. `status`: the figures, for people.
    """

    standing: Standing | None = None
    rejected: Rejection | None = None
    finding: Finding | None = None
    record: VerificationRecord | None = None
    status: VerificationStatus | None = None


def verify(draft: Draft, revision: ModelRevision, stable: str | None, known: Rejection | None) -> Verification:
    """Bring `revision` to be verified while `stable` serves.

    `known`: why it is not to be tried again, if it is not.
    """
    before = revision.status.verification if revision.status else None
    asked = question(draft, revision, stable)
    if known is not None or not asked.asks:
        clean_up(draft)
        return _concluded(revision, asked, before, known)
    noted = asks.take_note(draft, revision, _afresh(draft, revision, asks.known(revision)))
    proof = prove(asked, noted.record)
    rejected, failure, token = candidates.aborted(draft, revision), noted.failure, noted.record.retry_token
    if rejected is None and failure is None:
        found = _go_on(draft, revision, asked, noted.record, proof)
        if isinstance(found, Standing):
            finding = Finding("Unknown", found.reason, found.message)
            return Verification(found, finding=finding, record=noted.record)
        failure = found
        if failure is not proof.failure:
            token = made_at_token(draft, names.verification_name(revision.metadata.name))
    clean_up(draft)
    if rejected is None and failure is not None:
        rejected = candidates.rejection(draft, revision, failure, token)
    if rejected is None and not _is_told(revision):
        draft.note("Normal", Reason.VERIFICATION_PASSED, f"{revision.metadata.name}: {proof.message}")
    return _concluded(revision, asked, noted.record, rejected)


def clean_up(draft: Draft, but: str | None = None) -> None:
    """Take away whatever verifies any revision but `but`; Jobs that ended stay, for their logs."""
    asks.stop_all(draft, but)
    for kind in KINDS:
        for item in draft.observed.of_kind(kind):
            ours = draft.model.metadata.uid in owner_uids(item) and marks.label(item, names.REVISION_LABEL) != but
            if ours and marks.label(item, names.ROLE_LABEL) == names.ROLE_VERIFY:
                draft.delete(item)


def _is_told(revision: ModelRevision) -> bool:
    """Say whether the ModelRevision says already that it is verified."""
    told = (
        next((item for item in revision.status.conditions if item.type == "Verified"), None)
        if revision.status
        else None
    )
    return told is not None and (told.status, told.reason) == ("True", Reason.VERIFICATION_PASSED)


def _afresh(draft: Draft, revision: ModelRevision, record: VerificationRecord) -> VerificationRecord:
    """Return `record` without its failures, if what they were judged by has changed since."""
    rejected = revision.status.rejected if revision.status else None
    if rejected is None and record.retry_token == draft.rollout.retry_token:
        return record
    return record.model_copy(update={"crashes": 0, "setbacks": 0, "next_attempt_at": None})


def _go_on(
    draft: Draft, revision: ModelRevision, asked: Question, record: VerificationRecord, proof: Proof
) -> Standing | Failure | None:
    """Return how far it is, or what speaks against it; None: it is verified."""
    asked_again = record.retry_token != draft.rollout.retry_token
    if not proof.answered or (proof.failure is not None and asked_again):
        return _resting(draft, record) or _ask(draft, revision, asked, record)
    if proof.failure is None and proof.awaits:
        clean_up(draft)
        return Standing(Course.HELD, Reason.AWAITING_PROMOTION, proof.awaits)
    return proof.failure


def _resting(draft: Draft, record: VerificationRecord) -> Standing | None:
    """Return what the last attempt met, while the next one is not due."""
    if not record.next_attempt_at or draft.now >= clock.parse(record.next_attempt_at):
        return None
    draft.look_again(clock.parse(record.next_attempt_at))
    clean_up(draft)
    return Standing(Course.WAITING, record.reason, record.message)


def _ask(draft: Draft, revision: ModelRevision, asked: Question, record: VerificationRecord) -> Standing | Failure:
    """Have a pod of the revision asked by a Job; return how far that is, or what speaks against the revision."""
    name = revision.metadata.name
    clean_up(draft, but=name)
    found, job = health(draft.observed, name, names.ROLE_VERIFY), asks.under_way(draft, revision, record, asked)
    failure = found.verdict or (_died(draft, found, job) if job is not None else _late(draft, found, asked))
    if failure is not None:
        return failure
    if job is None and (draft.suspended or draft.rollout.paused):
        field, reason = ("suspend", Reason.SUSPENDED) if draft.suspended else ("rollout.paused", Reason.PAUSED)
        return Standing(Course.HELD, reason, f"spec.{field} is set: {name} is not verified yet, and not started.")
    *others, deployment = render.verification_set(draft.model, revision)
    for manifest in others:
        draft.apply(manifest)
    token = made_at_token(draft, deployment["metadata"]["name"])
    draft.apply(marks.marked(deployment, {marks.RETRY_TOKEN: token}), at_creation={"spec": {"replicas": 1}})
    if job is not None:
        return asks.watch(draft, job)
    return asks.ask(draft, revision, record, asked) if found.settled else _starting(name, found)


def _starting(name: str, found: Health) -> Standing:
    if found.trouble is not None:
        told = f"The pod that verifies {name} does not start: {found.trouble.message}"
        return Standing(Course.WAITING, found.trouble.reason, told)
    told = f"Starting a pod of {name} that gets no requests, to ask it for the test data."
    return Standing(Course.MOVING, Reason.VERIFYING, told)


def _died(draft: Draft, found: Health, job: Manifest) -> Failure | None:
    """Return that a container of the pod ended while it was asked, if one did."""
    if found.deployment is None:
        return None
    since = str(job["metadata"].get("creationTimestamp") or "")
    for pod in pods_of(draft.observed, found.deployment):
        for ending in pods.last_endings(pod):
            recent = ending.finished_at and since and clock.parse(ending.finished_at) >= clock.parse(since)
            if recent and ending.exit_code not in (ExitCode.DONE, ExitCode.ENVIRONMENT):
                told = f"{jobs.crash(ending).message} That was while it was asked for the test data"
                return Failure(reason=Reason.CANDIDATE_UNHEALTHY, message=told)
    return None


def _late(draft: Draft, found: Health, asked: Question) -> Failure | None:
    """Return that the pod did not come up in time, where another version serves; else have it looked at then."""
    if asked.stable is None or found.deployment is None or found.settled:
        return None
    limit = draft.rollout.progress_deadline
    due = clock.parse(found.deployment["metadata"]["creationTimestamp"]) + timedelta(seconds=seconds(limit))
    if draft.now < due:
        draft.look_again(due)
        return None
    return candidates.too_late("The pod that verifies it did not answer", limit, found.trouble)


def _concluded(
    revision: ModelRevision, asked: Question, record: VerificationRecord | None, rejected: Rejection | None
) -> Verification:
    """Return what is said of a revision that is not asked just now."""
    proof = prove(asked, record or VerificationRecord())
    finding = status = None
    if asked.asks and proof.answered and record is not None:
        status = _status(revision, record, proof)
        if proof.failure is None:
            finding = Finding("True", Reason.VERIFICATION_PASSED, proof.message)
    return Verification(rejected=rejected, finding=finding, record=record, status=status)


def _status(revision: ModelRevision, record: VerificationRecord, proof: Proof) -> VerificationStatus | None:
    figures = record.figures
    if figures is None:
        return None
    return VerificationStatus(
        **{name: getattr(figures, name) for name in type(figures).model_fields},
        revision=revision.metadata.name,
        node=record.node,
        gates=proof.outcomes,
        disagreement=record.disagreement,
    )
