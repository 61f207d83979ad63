"""The rule that every strategy obeys, whatever happens on the way:

- the main Service leads to the stable revision until the candidate has earned it, and back to it alone as soon as the
  candidate is not wanted any more;
- a revision that nobody judged is never behind the main Service: before a candidate is let in beside the stable
  revision, all others are gone, and before another candidate starts, the Service leads to the stable one alone;
- what has traffic is never taken away.
"""

from __future__ import annotations

from modelpress.api.rollout import Strategy

from .canary import canary
from .in_place import in_place
from .recreate import recreate
from .second_set import second_set
from .situation import Decision, Situation, Stage, leave, remember


def decide(situation: Situation) -> Decision:
    """Return what to do now on the way from the stable revision to the candidate."""
    stable, candidate = situation.traffic.stable, situation.candidate
    if candidate is None:
        return _go_back(situation)
    if candidate == stable:
        return _stay(situation)
    if situation.held:
        return _hold(situation)
    return _close(situation) if situation.traffic.beside not in (None, candidate) else _move(situation)


def _move(situation: Situation) -> Decision:
    """Go on with the strategy that fits."""
    stable = situation.traffic.stable
    if stable is None or _can_return(situation):
        return second_set(situation)
    if situation.strategy is Strategy.IN_PLACE:
        return in_place(situation)
    if situation.strategy is Strategy.RECREATE:
        return recreate(situation)
    if situation.strategy is Strategy.CANARY and not situation.promoted and situation.full > 0:
        return canary(situation)
    return second_set(situation)


def _stay(situation: Situation) -> Decision:
    """Lead to the stable revision alone and let all others go."""
    stable = situation.traffic.stable
    gone, later = leave(situation, situation.others(stable), delayed=True)
    return Decision(stable, run={stable: None} if stable else {}, retire=gone, look_again=later)


def _go_back(situation: Situation) -> Decision:
    """Lead to the stable revision alone; once that is seen, let those go that the spec does not ask for.

    They stay no OVERLAP, except the revision that had all traffic before: clients that keep their connections would ask
    a candidate that was sent back for as long.
    """
    traffic = situation.traffic
    stable, run = traffic.stable, {traffic.stable: None} if traffic.stable else {}
    if traffic.beside is not None:
        return Decision(stable, run=run)
    others = tuple(name for name in situation.abandoned if name != stable)
    gone, later = leave(situation, tuple(name for name in others if name == traffic.previous))
    return Decision(stable, run=run, retire=(*(n for n in others if n != traffic.previous), *gone), look_again=later)


def _hold(situation: Situation) -> Decision:
    """Leave everything as it is: the candidate's pods and its share, if it has any."""
    stable, candidate = situation.traffic.stable, situation.candidate
    assert candidate is not None, "only a candidate is held"
    side = situation.side(candidate)
    run: dict[str, int | None] = {}
    if stable is not None and (situation.side(stable).exists or not side.exists):
        run[stable] = None
    if side.exists:
        run[candidate] = side.asked
    beside = candidate if situation.traffic.beside == candidate else None
    load = candidate if situation.in_place.proved else None
    return Decision(stable, beside, run, load=load, memory=situation.remembered)


def _close(situation: Situation) -> Decision:
    """Shut out a candidate that was overtaken by another one, which starts only when that is seen to have happened."""
    stable = situation.traffic.stable
    return Decision(stable, run={stable: None} if stable else {}, memory=remember(situation, Stage.STARTING))


def _can_return(situation: Situation) -> bool:
    """Say whether the candidate served until just now and all of its pods are still there."""
    candidate = situation.candidate
    there = candidate == situation.traffic.previous and situation.side(candidate).whole(situation.full)
    return there and situation.verified
