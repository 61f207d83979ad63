"""`spec.rollout` and `status.rollout`: how a new revision takes over, and how far it is."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue

from .base import ApiType, Duration, rules
from .fields import Name
from .verification import Compare

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


class OnInconclusiveAnalysis(StrEnum):
    """What to do at the end of a step whose requests are too few to tell."""

    PAUSE = "Pause"
    PROMOTE = "Promote"
    ROLLBACK = "Rollback"


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


BY_NAME: dict[str, JsonValue] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
"""A list of things whose names differ."""
PLACEHOLDERS = ("revision", "stable", "model", "namespace", "window")
"""What a query may contain in double braces."""
QUERY_PATTERN = r"^([^{]|\{[^{]|\{\{(" + "|".join(PLACEHOLDERS) + r")\}\})+$"
"""A query without double braces but those of its placeholders."""


class AnalysisQuery(ApiType):
    """A query for the installation's Prometheus, by whose answer a step is judged as well."""

    model_config = ConfigDict(
        json_schema_extra=rules(("has(self.max) || has(self.min)", "a query in rollout.analysis needs max or min"))
    )

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]
    """What it is called in messages, once in a list."""
    query: Annotated[str, Field(min_length=1, max_length=2000, pattern=QUERY_PATTERN)]
    """PromQL that gives one number. In it, `{{revision}}` stands for the candidate, `{{stable}}` for the ModelRevision
    that serves, `{{model}}` and `{{namespace}}` for the model's, `{{window}}` for how long the step has lasted, as in
    `30s`. Pods are named `{{revision}}-…`. Without an answer that is one number, the step is inconclusive."""
    max: float | None = None
    """Largest number that passes. Two answers in a row that are larger fail the step. Default: no limit."""
    min: float | None = None
    """Least number that passes, likewise. Default: no limit."""


class Disagreement(ApiType):
    """How far the new revision may answer otherwise than the one that serves: both are asked for the samples of
    `evaluation.test`, before the new one gets any request."""

    max: Annotated[float, Field(ge=0, le=1)]
    """Largest fraction of the samples on which they may differ: 0.02 is 2 %. More fails the revision."""
    compare: Compare | None = None
    """When two answers are the same. Argmax: the highest value is in the same place of the last axis, of four axes and
    more of the second; a single number is on the same side of 0, of 0.5 where all are probabilities. Cosine: the
    vectors in the last axis are at least `atLeast` similar. Allclose: values are within 1e-3 + 1e-2 relative.
    ExactMatch: values are equal. Default: Argmax."""
    output: Name | None = None
    """Output that is compared. Default: the first."""
    at_least: Annotated[float, Field(gt=0, le=1)] | None = None
    """Cosine of two vectors that count as the same answer. Default: 0.99."""


class Analysis(ApiType):
    """By what the new revision is judged in each step, from Triton's own counters.

    A restart, a pod that answered and does not any more, or counters that cannot be read fail it in any case.
    """

    min_requests: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Requests that the new revision must have had in the step before it can pass. Default: 100."""
    max_error_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    """Largest fraction of its requests that may fail; more may only if more fail of the old one too, in the same time.
    Default: 0.01."""
    max_latency_increase: Annotated[float, Field(ge=0, le=100)] | None = None
    """Largest fraction by which its mean request duration may exceed that of the old one in the same time: 0.2 is
    20 %. Default: latency is not judged."""
    max_queue_time: Duration | None = None
    """Longest mean time that its requests may wait in Triton's queue before they are worked on; longer only if those of
    the old one wait as long, in the same time. Default: queue time is not judged."""
    queries: Annotated[tuple[AnalysisQuery, ...], Field(max_length=8, json_schema_extra=BY_NAME)] | None = None
    """Figures of the installation's Prometheus that must keep within bounds. The chart's values say where that is, and
    whether models may ask it (`prometheus.address`, `prometheus.analysisQueries`). Default: none."""
    on_inconclusive: OnInconclusiveAnalysis | None = None
    """What to do when the step is over and there were too few requests, or too few answers to `queries`, to tell, or
    when no answers could be compared for `disagreement`. Default: Promote, since it has reproduced the reference
    answers and nothing speaks against it."""
    disagreement: Disagreement | None = None
    """How far the new revision's answers may differ from those of the one that serves, asked before the new one gets
    any request, whatever the strategy. Default: not asked."""


OF_REQUESTS = ("minRequests", "maxErrorRate", "maxLatencyIncrease", "maxQueueTime", "queries")
"""Fields of Analysis by which requests of a step are judged; the others are judged before the first request."""


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
