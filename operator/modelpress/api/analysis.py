"""`spec.rollout.analysis`: by what a new revision is judged while it takes over."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, JsonValue

from .base import ApiType, Duration, rules
from .fields import Name
from .verification import Compare


class OnInconclusiveAnalysis(StrEnum):
    """What to do at the end of a step whose requests are too few to tell."""

    PAUSE = "Pause"
    PROMOTE = "Promote"
    ROLLBACK = "Rollback"


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
