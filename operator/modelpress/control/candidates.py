"""Is a candidate to go back? What its pods say, what a person says, and what its requests say. Pure.

Whoever is sent back is rejected: it is not tried again until what it was judged by changes. Its pods' troubles alone
are no judgement, until `rollout.progressDeadline` is over: they hold up the room that others may need.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from modelpress.api.durations import seconds
from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelRevision, Rejection
from modelpress.api.results import ExitCode, Failure
from modelpress.api.rollout import ActionKind, Strategy
from modelpress.control import clock, in_place, pods, strategies
from modelpress.control.draft import Draft
from modelpress.control.plan import Manifest
from modelpress.control.readiness import health
from modelpress.control.revisions import verdict_key
from modelpress.control.sets import set_of
from modelpress.control.situations import is_asked, pods_of
from modelpress.control.standing import Trouble
from modelpress.control.upkeep import made_at_token
from modelpress.rollout.analysis import Verdict
from modelpress.rollout.situation import Outcome, Situation, Stage

HINT = "Correct that, or change spec.rollout.retryToken to have it tried again."


def judge(draft: Draft, candidate: ModelRevision, seen: Situation, verdict: Verdict | None) -> Rejection | None:
    """Return why `candidate` goes back, if it does. `verdict`: of its requests, while they are counted."""
    name = candidate.metadata.name
    failure = health(draft.observed, name).verdict or _unfit(draft, candidate, seen)
    if failure is None and (found := aborted(draft, candidate)) is not None:
        return found
    if failure is None and seen.traffic.beside == name:
        failure = _unwell(draft, name, seen.traffic.since) or _failed(verdict, seen)
    if failure is None and seen.traffic.stable is not None and not seen.held:
        failure = _late(draft, seen)
    return rejection(draft, candidate, failure) if failure is not None else None


def aborted(draft: Draft, candidate: ModelRevision) -> Rejection | None:
    """Return that a person sends `candidate` back, if somebody does."""
    if not is_asked(draft, ActionKind.ABORT, candidate.metadata.name):
        return None
    told = "spec.rollout.action aborts it. To have it tried again, remove that and change spec.rollout.retryToken."
    return _rejection(candidate, Failure(reason=Reason.ABORTED, message=told), verdict_key(draft), hint="")


def rejection(draft: Draft, candidate: ModelRevision, failure: Failure) -> Rejection:
    """Return the rejection of `candidate` for `failure` of its pods.

    It counts for the word to try again that they were made at: who has changed it since gets the try that it asks for.
    """
    name = set_of(draft.observed, candidate.metadata.name)
    return _rejection(candidate, failure, verdict_key(draft, made_at_token(draft, name)))


def _rejection(candidate: ModelRevision, failure: Failure, judged_by: str, hint: str = HINT) -> Rejection:
    told = f"{candidate.metadata.name} is not served: {pods.full_sentence(failure.message)} {hint}".rstrip()
    return Rejection(artifact=candidate.spec.artifact, judged_by=judged_by, reason=failure.reason, message=told)


def _unfit(draft: Draft, candidate: ModelRevision, seen: Situation) -> Failure | None:
    """Return why the stable revision's pods cannot take a candidate that they are to load."""
    stable, name = seen.traffic.stable, candidate.metadata.name
    if seen.strategy is not Strategy.IN_PLACE or stable is None or seen.held or seen.side(name).exists:
        return None
    against = in_place.incompatible(draft, stable, candidate)
    if against is not None:
        told = f"It cannot be loaded in place: {against}"
        return Failure(reason=Reason.IN_PLACE_INCOMPATIBLE, message=told)
    since = seen.remembered.since if seen.remembered is not None else None
    return in_place.failure(draft.observed, name, pods_of(draft.observed, stable), since)


def _failed(verdict: Verdict | None, seen: Situation) -> Failure | None:
    """Return what its requests say against it; a person who promotes it has seen them."""
    if verdict is None or verdict.outcome is not Outcome.FAILED or seen.promoted:
        return None
    return Failure(reason=Reason.ANALYSIS_FAILED, message=verdict.message)


def _unwell(draft: Draft, candidate: str, since: datetime | None) -> Failure | None:
    """Return why a candidate that answers requests is not well: a container ended, or a pod stopped answering."""
    for pod in pods_of(draft.observed, candidate):
        if pods.is_leaving(pod):
            continue
        name = pod["metadata"]["name"]
        for ending in pods.last_endings(pod):
            recent = not ending.finished_at or since is None or clock.parse(ending.finished_at) > since
            if recent and ending.exit_code != ExitCode.ENVIRONMENT:
                told = f"Container {ending.container} of {name} ended with exit code {ending.exit_code}"
                return Failure(reason=Reason.CANDIDATE_UNHEALTHY, message=f"{told} while it answered requests")
        if pods.has_stopped_answering(pod):
            return Failure(reason=Reason.CANDIDATE_UNHEALTHY, message=f"The pod {name} answered and does not any more")
    return None


def _late(draft: Draft, seen: Situation) -> Failure | None:
    """Return why the candidate's pods did not come up in time; if there is time left, have it looked at again."""
    begun = _begun(draft, seen)
    side = seen.side(seen.candidate)
    loads = seen.strategy is Strategy.IN_PLACE and not side.exists
    if begun is None or (seen.in_place.whole(seen.full) if loads else side.settled):
        return None
    limit = draft.rollout.progress_deadline
    due = begun + timedelta(seconds=seconds(limit))
    if draft.now < due:
        draft.look_again(due)
        return None
    if loads:
        return _not_loaded(draft, seen, limit)
    if seen.strategy is Strategy.RECREATE and not side.exists:
        return too_late(f"The pods of {seen.traffic.stable} were not gone", limit, None)
    trouble = health(draft.observed, seen.candidate).trouble if seen.candidate else None
    return too_late(f"{side.answering} of {side.asked} pods answered", limit, trouble)


def too_late(answered: str, limit: str, trouble: Trouble | None) -> Failure:
    """Return that within `limit` no more `answered`, for want of room if `trouble` is that."""
    why = f": {trouble.message}" if trouble is not None else "."
    reason = Reason.PROGRESS_DEADLINE_EXCEEDED
    if trouble is not None and trouble.reason in strategies.NO_ROOM:
        reason = Reason.INSUFFICIENT_CAPACITY
    return Failure(reason=reason, message=f"{answered} within rollout.progressDeadline, {limit}{why}")


def _not_loaded(draft: Draft, seen: Situation, limit: str) -> Failure:
    """Return that not all of the stable revision's pods hold the candidate in time."""
    assert seen.candidate is not None and seen.traffic.stable is not None, "a candidate is loaded into somebody's pods"
    why = in_place.trouble(draft.observed, seen.candidate, pods_of(draft.observed, seen.traffic.stable))
    told = f"{seen.in_place.proved} of {seen.in_place.pods} pods of {seen.traffic.stable} proved it beside theirs"
    message = f"{told} within rollout.progressDeadline, {limit}{f': {why}' if why else '.'}"
    return Failure(reason=Reason.PROGRESS_DEADLINE_EXCEEDED, message=message)


def _begun(draft: Draft, seen: Situation) -> datetime | None:
    """Return since when the candidate's pods are waited for."""
    memory = seen.remembered
    if memory is None or memory.stage is Stage.STARTING:
        live = draft.observed.find("Deployment", set_of(draft.observed, seen.candidate)) if seen.candidate else None
        since = _created(live) or (memory.since if memory is not None else None)
        return _after_others(draft, seen, since) if live is None and seen.strategy is Strategy.RECREATE else since
    if memory.stage is Stage.PROMOTING or memory.reached is None:
        return memory.since
    pause = seen.steps[min(memory.step, len(seen.steps) - 1)].pause if seen.steps else None
    return memory.reached + pause if pause is not None else None


def _after_others(draft: Draft, seen: Situation, since: datetime | None) -> datetime | None:
    """Return when the pods that a Recreate waits for are to have ended; None: they have.

    `since`: where none of them was told to end yet.
    """
    others = [pod for name in seen.sides if name != seen.candidate for pod in pods_of(draft.observed, name)]
    told = (pod["metadata"].get("deletionTimestamp") for pod in others)
    return max((clock.parse(text) for text in told if text), default=since if others else None)


def _created(live: Manifest | None) -> datetime | None:
    text = str((live or {}).get("metadata", {}).get("creationTimestamp") or "")
    return clock.parse(text) if text else None
