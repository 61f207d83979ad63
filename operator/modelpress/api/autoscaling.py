"""`spec.serving.autoscaling`: how many pods serve, by what they are asked to do."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from .base import ApiType, Duration, rules


class AutoscalingEngine(StrEnum):
    """Who counts the pods."""

    AUTO = "Auto"
    HPA = "HPA"
    KEDA = "KEDA"


class AutoscalingTarget(ApiType):
    """What each pod should have to do. Exactly one field is set."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.cpu), has(self.queueTime), has(self.pendingRequests)].filter(set, set).size() == 1",
                "target has exactly one of cpu, queueTime, pendingRequests",
            ),
            (
                "!has(self.queueTime) || duration(self.queueTime) >= duration('1ms')",
                "target.queueTime must be at least 1ms",
            ),
        )
    )

    cpu: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Mean CPU that Triton's containers use, in percent of what they request: `70`. Needs metrics-server."""
    queue_time: Duration | None = None
    """Mean time that a request waits in Triton before it is worked on, of the last minute: `20ms`. Needs KEDA and
    Prometheus. Must be longer than `batching.maxQueueDelay`, which is a wait that more pods do not shorten."""
    pending_requests: Annotated[int, Field(ge=1, le=100000)] | None = None
    """Requests that wait in each pod's Triton: `4`. Needs KEDA and Prometheus."""


class PrometheusActivation(ApiType):
    """A PromQL query."""

    query: Annotated[str, Field(min_length=1, max_length=2048)]
    """A query that gives one number, above 0 while somebody asks for the model: requests that a gateway or a queue in
    front of it counts. Triton counts nothing while it has no pod."""


class Activation(ApiType):
    """What wakes a model that has no pods. Exactly one field is set."""

    prometheus: PrometheusActivation
    """Ask Prometheus."""


class Autoscaling(ApiType):
    """The number of serving pods follows the load. One autoscaler, named as the model, on the version that serves;
    a new version starts with as many pods as the old one has."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
                "autoscaling.minReplicas must not be greater than autoscaling.maxReplicas",
            ),
            (
                "!has(self.engine) || self.engine != 'HPA' || !has(self.target) || has(self.target.cpu)",
                "autoscaling.engine HPA knows target.cpu alone: queueTime and pendingRequests need engine KEDA or Auto",
            ),
            (
                "!has(self.minReplicas) || self.minReplicas > 0 || has(self.activation)",
                "autoscaling.minReplicas 0 needs autoscaling.activation: a model without pods has no figures of its own"
                " that could wake it",
            ),
            (
                "!has(self.activation) || (has(self.minReplicas) && self.minReplicas == 0)",
                "autoscaling.activation wakes a model that has no pods: set minReplicas to 0, or leave it out",
            ),
            (
                "!has(self.activation) || !has(self.engine) || self.engine != 'HPA'",
                "autoscaling.engine HPA cannot scale to zero: activation needs engine KEDA or Auto",
            ),
        )
    )

    engine: AutoscalingEngine | None = None
    """Who counts the pods: HPA (Kubernetes' own HorizontalPodAutoscaler; needs metrics-server), KEDA (needs KEDA in the
    cluster and `prometheus.address` in the chart's values), or Auto: KEDA where both are there, unless `target.cpu`
    asks for nothing that HPA cannot do. Default: Auto."""
    min_replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Fewest pods. 0 needs `activation`. Default: 1."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    """Most pods."""
    target: AutoscalingTarget | None = None
    """What each pod should have to do. Default: with KEDA a queueTime of 20ms, or ten times `batching.maxQueueDelay` if
    that is longer; with HPA 70 percent of the CPU that is requested."""
    activation: Activation | None = None
    """What wakes the model once it has no pods. Requests fail until one answers, unless what is in front of it waits or
    asks again. Default: none."""
