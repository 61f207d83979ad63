"""Candidate first: the new revision is started beside the old one, takes over when all of it answers, and only then the
old one goes.

Three facts, seen in this order, never assumed: all pods of the candidate are ready; the main Service points at it; so
many seconds have passed since, in which every node has learnt of that. Whatever fails on the way leaves the old
revision as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

OVERLAP = timedelta(seconds=10)
"""How long the old pods stay after traffic has left them.

Endpoints spread within that time. They still drain when they go.
"""


@dataclass(frozen=True, slots=True)
class Side:
    """What is seen of one revision's pods. `ready`: all that are wanted answer, and they are what the revision says."""

    exists: bool
    ready: bool


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now.

    `start`: run the candidate's pods. `main`: revision that the main Service points at; None: there is none yet.
    `retire`: revisions whose pods go. `look_again`: when time alone will allow more.
    """

    start: bool
    main: str | None
    retire: tuple[str, ...] = ()
    look_again: datetime | None = None


def replace(
    sides: Mapping[str, Side],
    *,
    main: str | None,
    switched_at: datetime | None,
    candidate: str | None,
    abandoned: tuple[str, ...] = (),
    held: bool,
    now: datetime,
) -> Step:
    """Return the next step from `main`, which the main Service points at, to `candidate`, which the spec asks for.

    `sides` holds every revision that has pods. `candidate` None: what is wanted is not known or not allowed; then
    what serves stays as it is, and of the others only those go that are `abandoned`: not of what the spec asks for,
    for sure. `held`: the user wants nothing started or switched.
    """
    if candidate is None:
        gone = _retire(main, tuple(name for name in abandoned if name != main), switched_at, now)
        return Step(start=False, main=main, retire=gone.retire, look_again=gone.look_again)
    if candidate == main:
        others = tuple(sorted(name for name, side in sides.items() if side.exists and name != main))
        return _retire(main, others, switched_at, now)
    if held:
        return Step(start=False, main=main)
    side = sides.get(candidate, Side(exists=False, ready=False))
    superseded = tuple(sorted(name for name, other in sides.items() if other.exists and name not in (main, candidate)))
    return Step(start=True, main=candidate if side.ready else main, retire=() if side.ready else superseded)


def _retire(main: str | None, others: tuple[str, ...], switched_at: datetime | None, now: datetime) -> Step:
    if not others:
        return Step(start=True, main=main)
    due = switched_at + OVERLAP if switched_at is not None else now
    if now < due:
        return Step(start=True, main=main, look_again=due)
    return Step(start=True, main=main, retire=others)
