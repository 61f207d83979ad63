"""The autoscaler of a model: a HorizontalPodAutoscaler on CPU, or KEDA's ScaledObject on what Triton says of itself.

Both are named as the model and scale one Deployment, that of the revision that serves. Neither is written with a number
of pods to begin with: they take over what is there.
"""

from __future__ import annotations

from typing import Any

from modelpress.api.autoscaling import AutoscalingTarget
from modelpress.api.defaults import EffectiveAutoscaling
from modelpress.api.durations import seconds
from modelpress.api.resources import CompressedModel

from ..installation import Prometheus
from ..metadata import metadata

RATE_WINDOW = "1m"
"""Time over which figures of Triton are averaged: four scrapes of the chart's PodMonitor."""
POLLING_SECONDS = 15
"""How often KEDA asks Prometheus; the HPA's own period."""
COOLDOWN_SECONDS = 300
"""How long nobody must have asked before the last pod goes, where none is allowed."""
WAKING_THRESHOLD = "1000000000"
"""Target of the query that wakes: so high that it asks for one pod and never for a second one."""

BEHAVIOR: dict[str, Any] = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Percent", "value": 100, "periodSeconds": 30},
            {"type": "Pods", "value": 2, "periodSeconds": 30},
        ],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 300,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Percent", "value": 25, "periodSeconds": 60},
            {"type": "Pods", "value": 1, "periodSeconds": 60},
        ],
    },
}
"""Up at once, at most doubled (or two more) in 30 s, since a pod takes that long to answer. Down by what the last five
minutes needed at most, a quarter (or one pod) a minute, since each pod that goes drains."""


def horizontal_pod_autoscaler(
    model: CompressedModel, revision_name: str, autoscaling: EffectiveAutoscaling, cpu: int
) -> dict[str, Any]:
    """Return the HPA that keeps Triton's containers of `revision_name` at `cpu` percent of what they request."""
    usage = {
        "name": "cpu",
        "container": "triton",
        "target": {"type": "Utilization", "averageUtilization": cpu},
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(model.metadata.name, model),
        "spec": {
            "scaleTargetRef": _deployment(revision_name),
            "minReplicas": autoscaling.min_replicas,
            "maxReplicas": autoscaling.max_replicas,
            "metrics": [{"type": "ContainerResource", "containerResource": usage}],
            "behavior": BEHAVIOR,
        },
    }


def scaled_object(
    model: CompressedModel,
    revision_name: str,
    autoscaling: EffectiveAutoscaling,
    target: AutoscalingTarget,
    prometheus: Prometheus,
) -> dict[str, Any]:
    """Return the ScaledObject that keeps pods of `revision_name` at `target`, and wakes them if that is asked for."""
    triggers = [_trigger(model, revision_name, target, prometheus, may_be_silent=autoscaling.min_replicas == 0)]
    if autoscaling.activation is not None:
        triggers.append(_waking_trigger(autoscaling.activation.prometheus.query, prometheus))
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata(model.metadata.name, model),
        "spec": {
            "scaleTargetRef": _deployment(revision_name),
            "minReplicaCount": autoscaling.min_replicas,
            "maxReplicaCount": autoscaling.max_replicas,
            "pollingInterval": POLLING_SECONDS,
            "cooldownPeriod": COOLDOWN_SECONDS,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": BEHAVIOR}},
            "triggers": triggers,
        },
    }


def queue_time_query(namespace: str, revision_name: str) -> str:
    """Return PromQL for the mean time, in ms, that requests to `revision_name` waited; 0 if there were none."""
    chosen = _selector(namespace, revision_name)
    waited = f"sum(rate(nv_inference_queue_duration_us{chosen}[{RATE_WINDOW}]))"
    answered = f"sum(rate(nv_inference_request_success{chosen}[{RATE_WINDOW}]))"
    # as few as one request in ten minutes counts; without any, 0 by 0.001 is a number and 0 by 0 is none
    return f"{waited} / clamp_min({answered}, 0.001) / 1000"


def pending_query(namespace: str, revision_name: str) -> str:
    """Return PromQL for the number of requests that wait in all pods of `revision_name`.

    That is the mean of the last minute by Little's law, the time that requests waited in each second, or what waits
    right now, whichever is more: Triton takes a request off its gauge some time before it is worked on, so that the
    gauge shows 0 at most scrapes of a server that is busy; and it alone tells of requests that are never answered.
    """
    chosen = _selector(namespace, revision_name)
    mean = f"sum(rate(nv_inference_queue_duration_us{chosen}[{RATE_WINDOW}])) / 1000000"
    now = f"sum(nv_inference_pending_request_count{chosen})"
    return f"{mean} > {now} or {now}"


def _trigger(
    model: CompressedModel,
    revision_name: str,
    target: AutoscalingTarget,
    prometheus: Prometheus,
    *,
    may_be_silent: bool,
) -> dict[str, Any]:
    """Return the trigger for `target`.

    `may_be_silent`: no figures are no error, since there may be no pod. Elsewhere they are one, and KEDA leaves the
    number of pods alone: a Prometheus that has lost its targets must not look like a model that nobody asks.
    """
    if target.cpu is not None:
        settings = {"value": str(target.cpu), "containerName": "triton"}
        return {"type": "cpu", "name": "cpu", "metricType": "Utilization", "metadata": settings}
    namespace = model.metadata.namespace
    if target.queue_time is not None:
        # a mean over requests, not a sum over pods: compared as it is, where pending requests are shared out
        name, kind, threshold = "queue-time", "Value", f"{seconds(target.queue_time) * 1000:g}"
        query = queue_time_query(namespace, revision_name)
    else:
        name, kind, threshold = "pending-requests", "AverageValue", str(target.pending_requests)
        query = pending_query(namespace, revision_name)
    more = {"ignoreNullValues": "true" if may_be_silent else "false"}
    return _prometheus(name, kind, {"query": query, "threshold": threshold, **more}, prometheus)


def _waking_trigger(query: str, prometheus: Prometheus) -> dict[str, Any]:
    settings = {"query": query, "threshold": WAKING_THRESHOLD, "activationThreshold": "0", "ignoreNullValues": "true"}
    return _prometheus("activation", "AverageValue", settings, prometheus)


def _prometheus(name: str, kind: str, settings: dict[str, str], prometheus: Prometheus) -> dict[str, Any]:
    return {
        "type": "prometheus",
        "name": name,
        "metricType": kind,
        "metadata": {"serverAddress": prometheus.address, **settings},
    }


def _selector(namespace: str, revision_name: str) -> str:
    return f'{{namespace="{namespace}",modelpress_io_revision="{revision_name}"}}'


def _deployment(revision_name: str) -> dict[str, str]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": revision_name}
