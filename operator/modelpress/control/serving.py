"""What serves, and what is to serve next: the objects of both, and the way from the one to the other.

Which revision serves is read off the main Service, since that is where traffic goes; `status.currentRevision` stands
in only while the Service is missing. How traffic moves is decided in rollout/; whether a candidate goes back, in
`candidates.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelRevision, Rejection, VerificationStatus
from modelpress.api.results import Failure
from modelpress.api.rollout import RolloutStatus
from modelpress.control import arrival, candidates, rollouts
from modelpress.control.draft import Draft
from modelpress.control.readiness import Health, health
from modelpress.control.revision_status import write_down, write_down_traffic
from modelpress.control.revisions import rejection_of
from modelpress.control.situations import figures, requests_of, situation
from modelpress.control.standing import Finding, Standing
from modelpress.control.traffic import availability, serving_now
from modelpress.control.upkeep import keep_up, retire, revisions_with_objects
from modelpress.control.verifying import Verification, clean_up, verify
from modelpress.rollout import analysis
from modelpress.rollout.decide import decide
from modelpress.rollout.queries import worst
from modelpress.rollout.situation import Situation


@dataclass(frozen=True, slots=True)
class Served:
    """What this round found and left of serving.

    `standing`: how far the wanted revision is; None if none is wanted yet. `rollout`: for the next round to remember.
    `verification`: what the wanted revision answered before it got requests, if that is asked.
    """

    current: str | None
    candidate: str | None
    health: Health
    available: Finding
    verified: Finding
    standing: Standing | None
    rejected: Rejection | None = None
    rollout: RolloutStatus | None = None
    verification: VerificationStatus | None = None


def serve(draft: Draft, wanted: ModelRevision | None, artifact: str | None) -> Served:
    """Keep up what serves, and bring `wanted` to take over from it.

    `artifact`: name of the one that the spec asks for, if known.
    """
    main = serving_now(draft.observed)
    shown = _shown(draft, wanted, main)
    seen, rejected, verdict = _judged(draft, wanted, main, artifact, shown)
    decision = decide(seen)
    if decision.look_again is not None:
        draft.look_again(decision.look_again)
    keep_up(draft, seen, decision)
    for name in decision.retire:
        retire(draft, name)
    if wanted is not None and decision.rejects and rejected is None:
        inconclusive = Failure(reason=Reason.ANALYSIS_INCONCLUSIVE, message=verdict.message if verdict else "")
        rejected = candidates.rejection(draft, wanted, inconclusive)
    status = rollouts.status(draft, seen, decision, verdict) if rejected is None else None
    current = health(draft.observed, main) if main else Health()
    if main is not None and main != (wanted.metadata.name if wanted is not None else None):
        write_down_traffic(draft, main)
    if wanted is None:
        unknown = Finding("Unknown", Reason.WAITING, "There is no revision of this spec yet.")
        return Served(main, None, current, availability(draft.observed), unknown, None)
    verified = _verified(draft, wanted, rejected, shown)
    standing = shown.standing if rejected is None else None
    standing = standing or arrival.standing(draft, wanted.metadata.name, seen, rejected, decision, status)
    write_down(draft, wanted, verified, shown.record, rejected)
    other = None if wanted.metadata.name == main else wanted.metadata.name
    available = availability(draft.observed)
    return Served(main, other, current, available, verified, standing, rejected, status, shown.status)


def _shown(draft: Draft, wanted: ModelRevision | None, main: str | None) -> Verification:
    """Return what `wanted` has shown before it gets requests, having done what is needed to see more."""
    if wanted is None:
        clean_up(draft)
        return Verification()
    return verify(draft, wanted, main, rejection_of(draft, wanted))


def _judged(
    draft: Draft, wanted: ModelRevision | None, main: str | None, artifact: str | None, shown: Verification
) -> tuple[Situation, Rejection | None, analysis.Verdict | None]:
    """Return the situation; `wanted` is its candidate unless that was rejected, is now, or is to be verified first."""
    abandoned = {
        name for name, made_of in revisions_with_objects(draft).items() if artifact is not None and made_of != artifact
    }
    if wanted is None:
        return situation(draft, None, abandoned), None, None
    name = wanted.metadata.name
    if name == main:
        return situation(draft, wanted, abandoned), shown.rejected, None
    if shown.rejected is not None or (shown.standing is not None and not shown.beside):
        return situation(draft, None, abandoned | {name}), shown.rejected, None
    seen = replace(situation(draft, wanted, abandoned), verified=shown.standing is None)
    verdict = None
    if seen.traffic.beside == name and seen.remembered is not None:
        old, new = requests_of(draft, main), requests_of(draft, name)
        verdict = worst(analysis.judge(old, new, draft.rollout.analysis), figures(draft))
        seen = replace(seen, outcome=verdict.outcome, counted_since=new.since)
    rejected = candidates.judge(draft, wanted, seen, verdict)
    if rejected is not None:
        return situation(draft, None, abandoned | {name}), rejected, verdict
    return seen, None, verdict


def _verified(draft: Draft, wanted: ModelRevision, rejected: Rejection | None, shown: Verification) -> Finding:
    before = (
        next((item for item in wanted.status.conditions if item.type == "Verified"), None) if wanted.status else None
    )
    if rejected is not None and rejected.reason not in rollouts.VERIFIED_BEFORE:
        return Finding("False", rejected.reason, rejected.message)
    if shown.finding is not None and (rejected is None or shown.finding.status == "True"):
        return shown.finding
    if health(draft.observed, wanted.metadata.name).ready or (before is not None and before.status == "True"):
        told = f"Pods of {wanted.metadata.name} gave the reference answers."
        return Finding("True", Reason.REFERENCE_ANSWERS_REPRODUCED, told)
    if rejected is not None:
        return Finding("False", rejected.reason, rejected.message)
    return Finding("Unknown", Reason.STARTING, f"No pod of {wanted.metadata.name} has answered yet.")
