"""BlueGreen, the first version of all, and the end of every promotion: a full set, then all traffic at once.

Two facts, seen in this order, never assumed: all pods of the candidate answer; the main Service leads to it. A canary
that is being promoted keeps its share until then.
"""

from __future__ import annotations

from .situation import Decision, Situation, Stage, leave, remember


def second_set(situation: Situation) -> Decision:
    """Return what to do while the candidate's full set comes up beside the stable revision."""
    stable, candidate = situation.traffic.stable, situation.candidate
    assert candidate is not None, "there is something to take over"
    if situation.side(candidate).whole(situation.full):
        return Decision(candidate, run={candidate: None} | _stable(stable))
    open_to_it = situation.traffic.beside == candidate
    gone, later = leave(situation, situation.others(stable, candidate))
    return Decision(
        stable,
        candidate if open_to_it else None,
        run={candidate: situation.full} | _stable(stable),
        retire=gone,
        memory=remember(situation, Stage.PROMOTING if open_to_it else Stage.STARTING),
        look_again=later,
    )


def _stable(stable: str | None) -> dict[str, int | None]:
    return {stable: None} if stable is not None else {}
