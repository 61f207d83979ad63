"""`spec.rollout` and `status.rollout`: how a new revision takes over, and how far it is."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .analysis import OF_REQUESTS, Analysis
from .base import ApiType, Duration, rules

RevisionName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]


class Strategy(StrEnum):
    """How traffic goes from the old revision to the new one."""

    CANARY = "Canary"
    BLUE_GREEN = "BlueGreen"
    IN_PLACE = "InPlace"
    RECREATE = "Recreate"
    AUTO = "Auto"


class Routing(StrEnum):
    """How requests are shared out while a canary answers."""

    AUTO = "Auto"
    REPLICAS = "Replicas"
    GATEWAY = "Gateway"


class ActionKind(StrEnum):
    """What a person decides about a candidate."""

    PROMOTE = "Promote"
    ABORT = "Abort"


class RolloutStep(ApiType):
    """One step of a canary."""

    weight: Annotated[int, Field(ge=1, le=100)]
    """Percentage of requests that the new revision is to get. By replicas: with R pods of the old one,
    R·weight/(100-weight) of the new one, rounded, at least one; so at most 50. By a Gateway: just so, from
    R·weight/100 pods, rounded up."""
    pause: Duration | None = None
    """How long the step lasts once its pods answer. Default: until `rollout.action` promotes the revision."""


class Action(ApiType):
    """A decision about one candidate."""

    revision: RevisionName
    """The ModelRevision it is about. While another one is the candidate, it means nothing: safe to leave in Git."""
    do: ActionKind
    """Promote: all steps and analyses that are left are skipped, and it takes over once a full set answers. Abort: it
    goes, and is not tried again until `rollout.retryToken` changes."""


class Rollout(ApiType):
    """How a new revision takes over. The old one serves until then; none of this is part of a revision."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.strategy) || self.strategy in ['Canary', 'Auto'] || !has(self.steps)",
                "rollout.steps belongs to strategies Canary and Auto: with the others all requests move at once",
            ),
            (
                "!has(self.strategy) || self.strategy in ['Canary', 'Auto'] || !has(self.analysis)"
                f" || !({' || '.join(f'has(self.analysis.{name})' for name in OF_REQUESTS)})",
                "of rollout.analysis, only disagreement and onInconclusive belong to other strategies than Canary and"
                " Auto: these have no step in which requests of the new revision could be judged",
            ),
            (
                "!has(self.routing) || !has(self.strategy) || self.strategy in ['Canary', 'Auto']",
                "rollout.routing belongs to strategy Canary: with the others all requests move at once",
            ),
            (
                "!has(self.steps) || (has(self.routing) && self.routing == 'Gateway')"
                " || self.steps.all(step, step.weight <= 50)",
                "a weight above 50 in rollout.steps needs rollout.routing Gateway: the old set stays whole, so the pods"
                " of the new one are at most half",
            ),
            (
                "!has(self.steps)"
                " || self.steps.all(step, !has(step.pause) || duration(step.pause) <= duration('168h'))",
                "a pause in rollout.steps must be at most 168h",
            ),
            (
                "!has(self.progressDeadline) || duration(self.progressDeadline) >= duration('10s')",
                "rollout.progressDeadline must be at least 10s",
            ),
        )
    )

    strategy: Strategy | None = None
    """Canary: a few pods of the new revision answer beside the old set, step by step. BlueGreen: a full second set is
    started, and traffic moves at once. InPlace: the pods that are there load the new revision beside the old one and
    switch, for pools with no room for another pod. Recreate: the old set is stopped before the new one is started,
    which interrupts service. Auto: Canary, and InPlace if no node takes a pod of the new revision. Default: Canary."""
    routing: Routing | None = None
    """How a canary gets its share. Replicas: by numbers of pods behind the one Service. Gateway: by weights on the
    model's routes at its Gateway (`serving.gateway`), to the point; requests that come through the Service inside the
    cluster stay with the old revision until the end. Auto: Gateway where the model has one and the cluster knows
    HTTPRoutes, else Replicas. Default: Auto."""
    steps: Annotated[tuple[RolloutStep, ...], Field(min_length=1, max_length=16)] | None = None
    """Steps of a canary, in order. Default: 10 % for 1m, then 50 % for 1m."""
    analysis: Analysis | None = None
    """By what each step of a canary is judged, and `disagreement` before the first request with every strategy.
    Default: at most 1 % of 100 requests or more may fail."""
    action: Action | None = None
    """Promotes or aborts one candidate. Default: none."""
    pin_revision: RevisionName | None = None
    """Serve this ModelRevision, whatever the rest of the spec asks for: an undo that Git can own. Default: none."""
    progress_deadline: Duration | None = None
    """Longest time in which pods of a new revision must come up, at the start and again at each step; else it goes,
    and is not tried again until `rollout.retryToken` changes. At least 10s. Default: 30m."""
    scale_down_delay: Duration | None = None
    """How long the old set stays after traffic has left it, so that a return is instant. Default: 10s, which is also
    the least."""
    retry_token: Annotated[str, Field(max_length=63)] | None = None
    """Change it to have what was rejected tried again. Default: none."""
    revision_history_limit: Annotated[int, Field(ge=0, le=100)] | None = None
    """Old revisions that are kept for a return. Default: 5."""
    paused: bool | None = None
    """While true, a new revision is prepared but not started; one that is under way stays at its step.
    Default: false."""


class VersionFigures(ApiType):
    """What one revision did in the present step, by Triton's counters."""

    requests: int = 0
    """Requests, failed ones included."""
    failures: int = 0
    """Those of them that failed."""
    mean_milliseconds: float | None = None
    """Mean duration of those that did not."""
    mean_queue_milliseconds: float | None = None
    """How much of that they waited in Triton's queue."""


class AnalysisStatus(ApiType):
    """How the present step looks. Written at most every 30 seconds."""

    outcome: Literal["Passed", "Failed", "Inconclusive"]
    """What it comes to so far."""
    message: str
    """The figures in a sentence."""
    at: str
    """When they were taken, RFC 3339."""
    old: VersionFigures
    """The revision that serves."""
    new: VersionFigures
    """The candidate."""


class RolloutStatus(ApiType):
    """A change of revision that is under way. If it is lost, the present step begins anew."""

    candidate: str = ""
    """The ModelRevision that is to take over."""
    strategy: str = ""
    """How."""
    chosen: str = ""
    """Why that strategy, where it is not simply what the spec says."""
    stage: Literal["Starting", "Step", "Promoting"] = "Starting"
    """Starting: its first pods come up, or those that are there load it, out of traffic. Step: a step of the canary.
    Promoting: a full set comes up."""
    step: int = 0
    """Number of the step, from 1; 0 before the first one."""
    steps: int = 0
    """Number of steps."""
    since: str = ""
    """When stage or step began, RFC 3339."""
    reached_at: str | None = None
    """When all pods of the step answered, RFC 3339."""
    replicas: int = 0
    """Pods of a full set."""
    weight_wanted: int | None = None
    """Percentage of requests that the step asks for."""
    weight_reached: int | None = None
    """Percentage of requests that the candidate got, by counters; by the share of its pods while nothing is counted."""
    analysis: AnalysisStatus | None = None
    """How the step looks."""
    message: str = ""
    """What happens now, or what it waits for."""
