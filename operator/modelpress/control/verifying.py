"""Verification before traffic: a revision that gets no requests is asked for the test data, by a Job.

It is done for a revision of which something is asked (`proof.py`) that is not known yet; what is learnt stands in the
ModelRevision. Only then does it get requests. It is asked in a pod of its own (`verify_pod.py`), or, where the pods
that are there are to load it, in those (`verify_in_place.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from modelpress.api import names
from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelRevision, Rejection, VerificationStatus
from modelpress.api.results import Failure
from modelpress.api.rollout import Strategy
from modelpress.api.verification import VerificationRecord
from modelpress.control import answer_notes, asks, candidates, clock, strategies, verify_in_place, verify_pod
from modelpress.control.draft import Draft
from modelpress.control.proof import Proof, Question, prove, question
from modelpress.control.standing import Course, Finding, Standing
from modelpress.control.upkeep import token_of


@dataclass(frozen=True, slots=True)
class Verification:
    """How far the verification of a revision is, after this round. Nothing set: nothing is asked of it.

    `standing`: why it may not serve yet. `beside`: it may be loaded beside what serves all the same. `rejected`: why it
    is not to serve. `finding`: what condition Verified says. `record`: for the ModelRevision to remember. `status`: the
    figures, for people.
    """

    standing: Standing | None = None
    beside: bool = False
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
    noted = answer_notes.take_note(draft, revision, _afresh(draft, revision, answer_notes.known(revision)))
    proof = prove(asked, noted.record)
    rejected, failure, token = candidates.aborted(draft, revision), noted.failure, noted.record.retry_token
    if rejected is None and failure is None:
        loaded_in = _loaded_in(draft, revision, stable)
        found = _go_on(draft, revision, loaded_in, asked, noted.record, proof)
        if isinstance(found, Standing):
            finding = Finding("Unknown", found.reason, found.message)
            return Verification(found, beside=loaded_in is not None, finding=finding, record=noted.record)
        failure = found
        if failure is not proof.failure:
            own = draft.observed.find("Deployment", names.verification_name(revision.metadata.name))
            token = token_of(draft, own)
    clean_up(draft)
    if rejected is None and failure is not None:
        rejected = candidates.rejection(draft, revision, failure, token)
    if rejected is None and not _is_told(revision):
        draft.note("Normal", Reason.VERIFICATION_PASSED, f"{revision.metadata.name}: {proof.message}")
    return _concluded(revision, asked, noted.record, rejected)


def clean_up(draft: Draft) -> None:
    """Take away whatever verifies a revision; Jobs that ended stay, for their logs."""
    asks.stop_all(draft)
    verify_pod.take_away(draft)


def _loaded_in(draft: Draft, revision: ModelRevision, stable: str | None) -> str | None:
    """Return the revision whose pods the revision is to be asked in, which serve; None: in a pod of its own."""
    strategy, _ = strategies.chosen(draft, revision)
    return stable if strategy is Strategy.IN_PLACE else None


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
    draft: Draft,
    revision: ModelRevision,
    loaded_in: str | None,
    asked: Question,
    record: VerificationRecord,
    proof: Proof,
) -> Standing | Failure | None:
    """Return how far it is, or what speaks against it; None: it is verified."""
    asked_again = record.retry_token != draft.rollout.retry_token
    if not proof.answered or (proof.failure is not None and asked_again):
        if (resting := _resting(draft, record)) is not None:
            return resting
        if loaded_in is None:
            return verify_pod.ask(draft, revision, asked, record)
        verify_pod.take_away(draft)
        return verify_in_place.ask(draft, revision, loaded_in, asked, record)
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
