"""Recreate: the old set stops before the new one starts. Nothing answers in between; for pools with room for one set.

If the new one does not come up, the old one is started again: that costs a second interruption, and needs no person.
"""

from __future__ import annotations

from .situation import Decision, Situation, Stage, remember


def recreate(situation: Situation) -> Decision:
    """Return what to do: stop all others, wait until their pods are gone, start the candidate, lead to it."""
    stable, candidate = situation.traffic.stable, situation.candidate
    assert candidate is not None, "there is something to take over"
    if situation.side(candidate).whole(situation.full):
        return Decision(candidate, run={candidate: None})
    memory = remember(situation, Stage.STARTING)
    others = situation.others(candidate)
    if others:
        return Decision(stable, retire=others, memory=memory)
    if any(side.alive or side.leaving for name, side in situation.sides.items() if name != candidate):
        return Decision(stable, memory=memory)
    return Decision(stable, run={candidate: situation.full}, memory=memory)
