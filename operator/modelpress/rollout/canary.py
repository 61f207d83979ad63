"""Canary: a few pods of the candidate answer beside the whole old set, in steps, then a full set takes over.

The candidate's first pods come up out of traffic; when all of them answer, and no other revision has pods, the main
Service or the Gateway lets them in. A step lasts its pause from when its pods answer and have their share and, if
requests are counted, as long from when the counting began. Then the analysis says what follows. A failure never gets
here: who judges the candidate rejects it, and there is no candidate any more. The old set is whole until the end, so
going back never needs a new pod.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from modelpress.api.analysis import OnInconclusiveAnalysis

from .second_set import second_set
from .situation import Decision, Memory, Outcome, Routing, Situation, Stage, leave, remember
from .weights import candidate_pods


def canary(situation: Situation) -> Decision:
    """Return what to do at the present step."""
    memory, traffic = situation.remembered, situation.traffic
    if traffic.beside != situation.candidate:
        return _start(situation)
    if memory is None or memory.stage is Stage.STARTING:
        return _step(situation, Memory(_candidate(situation), Stage.STEP, situation.now))
    if memory.stage is Stage.PROMOTING:
        return second_set(situation)
    return _step(situation, memory)


def _start(situation: Situation) -> Decision:
    """Bring up the pods of the first step, and let them in once they answer and nobody else could come in with them."""
    stable, candidate = situation.traffic.stable, _candidate(situation)
    pods = candidate_pods(situation.full, situation.steps[0].weight, situation.routing)
    gone, later = leave(situation, situation.others(stable, candidate))
    run: dict[str, int | None] = {stable: None, candidate: pods} if stable is not None else {candidate: pods}
    if situation.side(candidate).whole(pods) and not _strangers(situation):
        by_pods = situation.routing is Routing.REPLICAS
        opened = Memory(candidate, Stage.STEP, situation.now, reached=situation.now if by_pods else None)
        return Decision(
            stable,
            candidate,
            run,
            memory=opened,
            look_again=_ahead(situation, opened),
            weight=situation.steps[0].weight,
        )
    memory = remember(situation, Stage.STARTING)
    return Decision(stable, run=run, retire=gone, memory=memory, look_again=later)


def _step(situation: Situation, memory: Memory) -> Decision:
    index = min(memory.step, len(situation.steps) - 1)
    weight = situation.steps[index].weight
    pods = candidate_pods(situation.full, weight, situation.routing)
    ready = situation.side(memory.candidate).whole(pods)
    whole = ready and _is_routed(situation, weight)
    memory = replace(memory, step=index, reached=memory.reached or (situation.now if whole else None))
    stay = Decision(
        situation.traffic.stable,
        memory.candidate,
        {situation.traffic.stable or memory.candidate: None, memory.candidate: pods},
        memory=memory,
        look_again=_ahead(situation, memory),
        weight=weight if ready else None,  # pods first, then the requests that need them
    )
    if not whole or situation.outcome in (Outcome.UNASKED, Outcome.FAILED):
        return stay
    if situation.steps[index].pause is None:
        return replace(stay, awaits="The step lasts until rollout.action promotes the revision.")
    return stay if stay.look_again is not None else _end_step(situation, memory, stay)


def _end_step(situation: Situation, memory: Memory, stay: Decision) -> Decision:
    """Do what the analysis says at the end of the step."""
    if situation.outcome is Outcome.INCONCLUSIVE and situation.on_inconclusive is OnInconclusiveAnalysis.ROLLBACK:
        return replace(stay, rejects=True)
    if situation.outcome is Outcome.INCONCLUSIVE and situation.on_inconclusive is OnInconclusiveAnalysis.PAUSE:
        return replace(stay, awaits="The step is over and its requests do not tell enough.")
    if memory.step + 1 == len(situation.steps):
        return second_set(replace(situation, memory=replace(memory, stage=Stage.PROMOTING, since=situation.now)))
    return _step(situation, Memory(memory.candidate, Stage.STEP, situation.now, memory.step + 1))


def _ahead(situation: Situation, memory: Memory) -> datetime | None:
    """Return the end of the step, if it is still to come."""
    end = _end(situation, memory)
    return end if end is not None and end > situation.now else None


def _end(situation: Situation, memory: Memory) -> datetime | None:
    """Return when the step is over; None: not by time."""
    pause = situation.steps[memory.step].pause
    if memory.reached is None or pause is None:
        return None
    begun = max(memory.reached, situation.counted_since) if situation.counted_since else memory.reached
    return begun + pause


def _is_routed(situation: Situation, weight: int) -> bool:
    """Say whether the candidate gets `weight` percent, as far as that is up to routes."""
    return situation.routing is Routing.REPLICAS or (situation.routed and situation.traffic.weight == weight)


def _strangers(situation: Situation) -> bool:
    """Say whether a revision that is neither stable nor candidate has pods that an open Service would lead to."""
    known = (situation.traffic.stable, situation.candidate)
    return any((side.exists or side.alive) and name not in known for name, side in situation.sides.items())


def _candidate(situation: Situation) -> str:
    assert situation.candidate is not None, "a canary has a candidate"
    return situation.candidate
