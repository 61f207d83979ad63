"""`status.rollout`: how far a candidate is, for people and for the next round; and an Event for each step. Pure."""

from __future__ import annotations

from datetime import timedelta

from modelpress.api.reasons import Reason
from modelpress.api.rollout import AnalysisStatus, RolloutStatus, Strategy, VersionFigures
from modelpress.control import clock, in_place
from modelpress.control.draft import Draft
from modelpress.control.situations import memory, pods_of, requests_of
from modelpress.rollout import weights
from modelpress.rollout.analysis import Verdict, Version
from modelpress.rollout.situation import Decision, Memory, Outcome, Routing, Situation, Stage

VERIFIED_BEFORE = frozenset(
    {Reason.ABORTED, Reason.ANALYSIS_FAILED, Reason.ANALYSIS_INCONCLUSIVE, Reason.CANDIDATE_UNHEALTHY}
)
"""Reasons to go back that say nothing of the reference answers."""
FIGURES_EVERY = timedelta(seconds=30)
"""How often figures are written that change all the time."""


def status(draft: Draft, seen: Situation, decision: Decision, verdict: Verdict | None) -> RolloutStatus | None:
    """Return what is remembered and shown of the way to the candidate, and have its steps announced."""
    now = decision.memory
    _announce_end_of_step(draft, seen, decision, verdict)
    if now is None:
        return None
    same = memory(draft.old.rollout) == now
    wanted, reached = _weights(draft, seen, decision, now, same=same)
    found = RolloutStatus(
        candidate=now.candidate,
        strategy=seen.strategy.value,
        chosen=seen.why,
        stage=now.stage.value,
        step=0 if now.stage is Stage.STARTING else now.step + 1,
        steps=len(seen.steps) if now.stage is not Stage.STARTING else 0,
        since=clock.show(now.since),
        reached_at=clock.show(now.reached) if now.reached is not None else None,
        replicas=seen.full,
        weight_wanted=wanted,
        weight_reached=reached,
        analysis=_analysis(draft, seen, verdict) if same else None,
        message=" ".join(filter(None, (_message(seen, decision, now, wanted), _trouble(draft, seen), seen.why))),
    )
    _announce_choice(draft, found)
    if not same:
        _announce(draft, seen, found, now)
    return found


def _weights(
    draft: Draft, seen: Situation, decision: Decision, now: Memory, *, same: bool
) -> tuple[int | None, int | None]:
    """Return the percentage of requests that is wanted, and the one that is reached.

    `same`: the step is the one that requests were counted for.
    """
    if decision.beside is None:
        return None, None
    wanted = seen.steps[min(now.step, len(seen.steps) - 1)].weight if now.stage is Stage.STEP else None
    given = weights.reached(decision.run.get(now.candidate) or 0, seen.full)
    if seen.routing is Routing.GATEWAY:
        given = weights.share(seen, decision) or 0
    before = draft.old.rollout.analysis if same and draft.old.rollout is not None else None
    if before is None or not before.old.requests + before.new.requests:
        return wanted, given
    return wanted, round(100 * before.new.requests / (before.old.requests + before.new.requests))


def _analysis(draft: Draft, seen: Situation, verdict: Verdict | None) -> AnalysisStatus | None:
    """Return the figures of the step: the last ones written, unless they say something else or are old."""
    before = draft.old.rollout.analysis if draft.old.rollout is not None else None
    if verdict is None or verdict.outcome is Outcome.UNASKED:
        return before
    fresh = before is not None and draft.now < clock.parse(before.at) + FIGURES_EVERY
    if before is not None and fresh and before.outcome == verdict.outcome.value:
        return before
    return AnalysisStatus(
        outcome=verdict.outcome.value,
        message=verdict.message,
        at=clock.show(draft.now),
        old=_figures(requests_of(draft, seen.traffic.stable)),
        new=_figures(requests_of(draft, seen.candidate)),
    )


def _figures(version: Version) -> VersionFigures:
    mean, queue = version.mean_milliseconds, version.mean_queue_milliseconds
    return VersionFigures(
        requests=version.requests,
        failures=version.failures,
        mean_milliseconds=round(mean, 3) if mean is not None else None,
        mean_queue_milliseconds=round(queue, 3) if queue is not None else None,
    )


def _message(seen: Situation, decision: Decision, now: Memory, wanted: int | None) -> str:
    name, stable = now.candidate, seen.traffic.stable
    side, asked = seen.side(name), decision.run.get(name)
    answer = f"{side.answering} of {asked} pods answer" if asked is not None else "its pods are not started yet"
    if decision.load == name:
        told = f"The pods of {stable} load {name} beside it: {seen.in_place.proved} of {seen.in_place.pods} proved it."
        return told if seen.verified else f"{told} It is asked for the test data before any of them answers with it."
    if now.stage is Stage.STARTING and asked is None and not seen.side(stable).exists:
        return f"Waiting until the pods of {stable} are gone; {name} starts after them, and nothing answers meanwhile."
    if now.stage is Stage.STARTING:
        return f"Starting {name}: {answer}."
    if now.stage is Stage.PROMOTING:
        return f"Promoting {name}: {answer}; it gets its share beside {stable} until all do."
    if seen.routing is Routing.GATEWAY:
        share = weights.share(seen, decision)
        told = f"{name} runs {asked} beside {seen.full} of {stable} and gets {share} % of requests at the Gateway"
        return f"Step {now.step + 1} of {len(seen.steps)}: {told} ({wanted} % asked for); {answer}."
    share = weights.reached(asked or 0, seen.full)
    told = f"{name} runs {asked} beside {seen.full} of {stable}, for {share} % of requests ({wanted} % asked for)"
    return f"Step {now.step + 1} of {len(seen.steps)}: {told}; {answer}."


def _trouble(draft: Draft, seen: Situation) -> str:
    """Return what keeps pods from loading the candidate beside the stable revision, if something does for now."""
    stable, candidate = seen.traffic.stable, seen.candidate
    if seen.strategy is not Strategy.IN_PLACE or stable is None or candidate is None:
        return ""
    return in_place.trouble(draft.observed, candidate, pods_of(draft.observed, stable))


def _announce_choice(draft: Draft, found: RolloutStatus) -> None:
    """Have an Event posted for a strategy that the spec leaves open."""
    before = draft.old.rollout
    same = before is not None and (before.candidate, before.strategy) == (found.candidate, found.strategy)
    if found.chosen and not same:
        draft.note("Normal", Reason.STRATEGY_CHOSEN, f"{found.candidate}: {found.chosen}")


def _announce(draft: Draft, seen: Situation, found: RolloutStatus, now: Memory) -> None:
    """Have an Event posted for a step or stage that begins."""
    before = memory(draft.old.rollout)
    if before is not None and (before.candidate, before.stage, before.step) == (now.candidate, now.stage, now.step):
        return
    if now.stage is Stage.STARTING:
        return
    draft.note("Normal", Reason.ROLLING_OUT, found.message)
    if seen.routing is Routing.GATEWAY:
        return
    wanted, reached = found.weight_wanted, found.weight_reached
    if wanted is not None and reached is not None and weights.is_coarse(wanted, reached):
        told = (
            f"Step {found.step} asks for {wanted} % and gets {reached} %: with {found.replicas} pods there is nothing"
        )
        draft.note("Normal", Reason.WEIGHT_COARSE, f"{told} closer. More replicas make finer steps.")


def _announce_end_of_step(draft: Draft, seen: Situation, decision: Decision, verdict: Verdict | None) -> None:
    """Have an Event posted for a step that is over and was judged."""
    before, now = memory(draft.old.rollout), decision.memory
    if before is None or verdict is None or before.stage is not Stage.STEP or before.candidate != seen.candidate:
        return
    if now is not None and (now.stage, now.step) == (before.stage, before.step):
        return
    passed = verdict.outcome is Outcome.PASSED
    reason = Reason.ANALYSIS_PASSED if passed else Reason.ANALYSIS_INCONCLUSIVE
    draft.note("Normal", reason, f"Step {before.step + 1} is over: {verdict.message}")
