"""InPlace: the stable revision's own pods load the candidate beside it, prove it, and switch; for pools with no room.

No pod starts or ends. The stable revision answers until every pod that there is has proved the candidate, those that
were started meanwhile too, and it was asked there for whatever else it must show; then all of them are told to switch,
each of which loses no request. Going back before that is unloading the candidate; afterwards it is the same way in the
other direction.
"""

from __future__ import annotations

from dataclasses import replace

from .situation import Decision, Memory, Situation, Stage, leave, remember


def in_place(situation: Situation) -> Decision:
    """Return what to do while the stable revision's pods load the candidate."""
    stable, candidate = situation.traffic.stable, situation.candidate
    assert stable is not None and candidate is not None, "there is something to take over from"
    whole = situation.in_place.whole(situation.full) and situation.side(stable).whole(situation.full)
    stay = Decision(stable, run={stable: None}, memory=_memory(situation, whole=whole))
    if situation.traffic.beside is not None:
        return stay  # it had a share by pods of its own, which ends before they do
    gone, later = leave(situation, situation.others(stable))
    if situation.side(candidate).exists:
        return replace(stay, retire=gone, look_again=later)
    if whole and situation.verified:
        return Decision(candidate, run={candidate: None}, load=candidate, retire=gone, look_again=later)
    return replace(stay, load=candidate, retire=gone, look_again=later)


def _memory(situation: Situation, *, whole: bool) -> Memory:
    """Return the memory of pods that load the candidate: when all of them held it, or since when they do not."""
    memory = remember(situation, Stage.STARTING)
    if whole:
        return replace(memory, reached=memory.reached or situation.now)
    return memory if memory.reached is None else replace(memory, since=situation.now, reached=None)
