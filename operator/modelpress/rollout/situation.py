"""What is seen of a change of revision, and what may be decided about it.

Where traffic goes stands on the main Service and on the routes, and is read off them in every round. What cannot be
seen there, the step of a canary and since when, is handed back as `Memory`: if that is lost, the first step begins
anew, no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from modelpress.api.analysis import OnInconclusiveAnalysis
from modelpress.api.rollout import Strategy

OVERLAP = timedelta(seconds=10)
"""How long pods stay after traffic has left them.

Endpoints spread within that time. They still drain when they go.
"""


@dataclass(frozen=True, slots=True)
class Side:
    """What is seen of one revision's pods.

    `exists`: it has a Deployment or anything else of its own. `asked`: pods that its Deployment is asked for.
    `settled`: just as many are there, all of them answer, and they are what the revision says. `alive`: pods of it that
    are not on their way out; `leaving`: those that are.
    """

    exists: bool = False
    asked: int = 0
    answering: int = 0
    settled: bool = False
    alive: int = 0
    leaving: int = 0

    def whole(self, pods: int) -> bool:
        """Say whether exactly `pods` pods are there and all of them answer."""
        return self.settled and self.asked == pods

    @property
    def gone(self) -> bool:
        """Whether nothing of it is left."""
        return not (self.exists or self.alive or self.leaving)


class Routing(Enum):
    """How a canary gets its share: by numbers of pods behind the main Service, or by weights on routes at a Gateway."""

    REPLICAS = "Replicas"
    GATEWAY = "Gateway"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Where requests go: to `stable`, and to `beside` as well while a canary answers.

    `previous`: the revision before `stable`. `since`: when it last changed; None: not known. `weight`: percentage that
    routes give to `beside`; None where there are none.
    """

    stable: str | None
    beside: str | None = None
    previous: str | None = None
    since: datetime | None = None
    weight: int | None = None


@dataclass(frozen=True, slots=True)
class InPlace:
    """What the stable revision's pods tell of a candidate that they load beside it.

    `pods`: how many there are; `proved`: how many of them hold it and got the reference answers from it.
    """

    pods: int = 0
    proved: int = 0

    def whole(self, pods: int) -> bool:
        """Say whether exactly `pods` pods are there and all of them hold it, proved."""
        return self.pods == self.proved == pods


class Stage(Enum):
    """How far a candidate is."""

    STARTING = "Starting"
    STEP = "Step"
    PROMOTING = "Promoting"


@dataclass(frozen=True, slots=True)
class Memory:
    """What cannot be seen. `step` counts from 0. `reached`: when all pods of the step answered for the first time, or
    all that load the candidate had proved it."""

    candidate: str
    stage: Stage
    since: datetime
    step: int = 0
    reached: datetime | None = None


@dataclass(frozen=True, slots=True)
class CanaryStep:
    """`weight` in percent; `pause` None: until a person promotes."""

    weight: int
    pause: timedelta | None


class Outcome(Enum):
    """What the analysis of a step comes to so far. UNASKED: counters were not read yet, as after a restart."""

    PASSED = "Passed"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    UNASKED = "Unasked"


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision depends on.

    `candidate`: revision that the spec asks for, if it is known and was not rejected. `abandoned`: revisions that the
    spec does not ask for, for sure. `full`: pods of a full set. `held`: the user wants nothing started or moved.
    `promoted`: a person has promoted the candidate. `why`: why this `strategy`, if the spec leaves it open.
    `counted_since`: since when the step's requests are counted. `routed`: what the routes say is what the Gateway does,
    as far as it tells. `verified`: the candidate has shown what it must before it gets requests; until then the stable
    revision's pods may load it, and it gets none.
    """

    sides: Mapping[str, Side]
    traffic: Traffic
    candidate: str | None
    now: datetime
    full: int = 1
    abandoned: tuple[str, ...] = ()
    held: bool = False
    promoted: bool = False
    strategy: Strategy = Strategy.BLUE_GREEN
    why: str = ""
    routing: Routing = Routing.REPLICAS
    routed: bool = True
    steps: tuple[CanaryStep, ...] = ()
    delay: timedelta = OVERLAP
    memory: Memory | None = None
    outcome: Outcome = Outcome.INCONCLUSIVE
    counted_since: datetime | None = None
    on_inconclusive: OnInconclusiveAnalysis = OnInconclusiveAnalysis.PROMOTE
    in_place: InPlace = InPlace()
    verified: bool = True

    def side(self, name: str | None) -> Side:
        """Return what is seen of a revision's pods."""
        return self.sides.get(name, Side()) if name is not None else Side()

    def others(self, *names: str | None) -> tuple[str, ...]:
        """Return the revisions that have objects, `names` aside."""
        return tuple(sorted(name for name, side in self.sides.items() if side.exists and name not in names))

    @property
    def remembered(self) -> Memory | None:
        """The memory, if it is about the candidate."""
        return self.memory if self.memory is not None and self.memory.candidate == self.candidate else None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now.

    `stable`, `beside`: where requests are to go; None: there is none yet, nobody. `run`: revisions that are to
    have pods, and how many; None: as many as whoever scales the stable set wants. `retire`: revisions whose pods go.
    `memory`: for the next round. `awaits`: what a person has to decide. `rejects`: the candidate goes back for want of
    requests. `look_again`: when time alone will allow more. `weight`: percentage that routes are to give to `beside`;
    None: what they give it now. `load`: a revision that the stable one's pods are to load beside it; if it is `stable`
    itself, they are to switch to it.
    """

    stable: str | None
    beside: str | None = None
    run: Mapping[str, int | None] = field(default_factory=dict)
    retire: tuple[str, ...] = ()
    memory: Memory | None = None
    awaits: str = ""
    rejects: bool = False
    look_again: datetime | None = None
    weight: int | None = None
    load: str | None = None


def remember(situation: Situation, stage: Stage) -> Memory:
    """Return the memory of a candidate that is at `stage`, since it first was."""
    assert situation.candidate is not None, "only a candidate is remembered"
    before = situation.remembered
    if before is not None and before.stage is stage:
        return before
    reached = before.reached if before is not None else None
    step = before.step if before is not None else 0
    return Memory(situation.candidate, stage, situation.now, step, reached)


def leave(
    situation: Situation, names: tuple[str, ...], *, delayed: bool = False
) -> tuple[tuple[str, ...], datetime | None]:
    """Return which of `names` may go now, and when the next one may.

    None of them has traffic, or it leaves them in this round; they stay for OVERLAP after that, and the revision before
    the stable one for `delay` if `delayed`.
    """
    traffic, now = situation.traffic, situation.now
    since = now if traffic.beside in names and traffic.beside is not None else traffic.since
    gone, later = [], []
    for name in names:
        wait = max(OVERLAP, situation.delay) if delayed and name == traffic.previous else OVERLAP
        due = since + wait if since is not None else now
        if now >= due:
            gone.append(name)
        else:
            later.append(due)
    return tuple(gone), min(later, default=None)
