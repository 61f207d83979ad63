"""What Prometheus can read.

Counters and histograms are filled where things happen; what models say of themselves is read from the store at the
time of the scrape, so it cannot lag or linger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelpress.control.objects import Objects


class Metrics:
    """The operator's own metrics, in a registry of its own, so that several operators fit into one test."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self.reconcile_duration = Histogram(
            "modelpress_reconcile_duration_seconds",
            "Time one round on one model took.",
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0),
            registry=self.registry,
        )
        self.reconcile_errors = Counter(
            "modelpress_reconcile_errors",
            "Rounds that ended in an error, by its type.",
            ["error"],
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "modelpress_queue_depth",
            "Models that wait for a worker, or for their time.",
            ["state"],
            registry=self.registry,
        )
        self.api_requests = Counter(
            "modelpress_api_requests",
            "Requests of the write door and the elector to the API server.",
            ["verb", "kind", "code"],
            registry=self.registry,
        )
        self.problems = Counter(
            "modelpress_write_problems",
            "Wanted writes that were not made, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.events = Counter(
            "modelpress_events",
            "Events on models, by type and reason: what came about, and what went wrong.",
            ["type", "reason"],
            registry=self.registry,
        )
        self.watch_age = Gauge(
            "modelpress_watch_age_seconds",
            "Time since a watch last gave a sign of life.",
            ["watch"],
            registry=self.registry,
        )
        self.leader = Gauge("modelpress_leader", "1 while this process holds the Lease.", registry=self.registry)

    def read_queue(self, ready: Callable[[], float], delayed: Callable[[], float]) -> None:
        """Have the queue's depth read at each scrape."""
        self.queue_depth.labels("ready").set_function(ready)
        self.queue_depth.labels("delayed").set_function(delayed)

    def read_models(self, objects: Objects) -> None:
        """Have what models say of themselves read at each scrape."""
        self.registry.register(Models(objects))


_MODEL = ("namespace", "name")
FAMILIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "modelpress_model_condition": ("What a model's condition says now.", (*_MODEL, "type", "status", "reason")),
    "modelpress_model_info": (
        "1, with the revision that answers and the one that is to answer next.",
        (*_MODEL, "current_revision", "candidate_revision"),
    ),
    "modelpress_model_replicas": ("Serving pods of the revision that answers.", _MODEL),
    "modelpress_model_ready_replicas": ("Those of them that answer.", _MODEL),
    "modelpress_model_max_replicas": ("Most pods that the model's autoscaler may ask for.", _MODEL),
    "modelpress_model_compression_ratio": ("Original size by the size of the result.", _MODEL),
    "modelpress_model_metric": ("A metric of the evaluation.", (*_MODEL, "metric", "of")),
    "modelpress_rollout_step": (
        "Number of the step of a rollout that is under way, from 1; 0 before the first.",
        (*_MODEL, "candidate_revision", "stage"),
    ),
    "modelpress_rollout_weight": (
        "Percentage of requests of a candidate that answers.",
        (*_MODEL, "candidate_revision", "of"),
    ),
    "modelpress_rollout_verdict": (
        "1, with what the requests of the present step come to so far.",
        (*_MODEL, "candidate_revision", "outcome"),
    ),
}
"""Families that are read at each scrape: what each says, and its labels.

`of` is original or compressed; of a weight, wanted or reached.
"""


class Models(Collector):
    """What each model's status says now, as FAMILIES lists it."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def collect(self) -> Iterator[Metric]:
        """Yield each of FAMILIES."""
        families = {name: GaugeMetricFamily(name, text, labels=labels) for name, (text, labels) in FAMILIES.items()}
        for model in self._objects.of_kind("CompressedModel"):
            key = [model["metadata"]["namespace"], model["metadata"]["name"]]
            for name, labels, value in _samples(model.get("spec") or {}, model.get("status") or {}):
                families[name].add_metric([*key, *labels], value)
        yield from families.values()


def _samples(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[tuple[str, list[str], float]]:
    """Yield family, labels beside namespace and name, and value."""
    for condition in status.get("conditions") or ():
        labels = [condition["type"], condition["status"], condition.get("reason", "")]
        yield "modelpress_model_condition", labels, 1.0
    revisions = [status.get("currentRevision") or "", status.get("candidateRevision") or ""]
    yield "modelpress_model_info", revisions, 1.0
    if revisions[0]:
        yield "modelpress_model_replicas", [], float(status.get("replicas") or 0)
        yield "modelpress_model_ready_replicas", [], float(status.get("readyReplicas") or 0)
    most = ((spec.get("serving") or {}).get("autoscaling") or {}).get("maxReplicas")
    if most is not None:
        yield "modelpress_model_max_replicas", [], float(most)
    figures = status.get("compression") or {}
    if figures.get("compressedBytes"):
        yield "modelpress_model_compression_ratio", [], figures["originalBytes"] / figures["compressedBytes"]
    for metric in figures.get("metrics") or ():
        for side in ("original", "compressed"):
            if metric.get(side) is not None:
                yield "modelpress_model_metric", [metric["name"], side], float(metric[side])
    yield from _of_rollout(status.get("rollout") or {})


def _of_rollout(rollout: Mapping[str, Any]) -> Iterator[tuple[str, list[str], float]]:
    """Yield what `status.rollout` says, likewise."""
    if not rollout.get("candidate"):
        return
    candidate = rollout["candidate"]
    yield "modelpress_rollout_step", [candidate, rollout.get("stage") or ""], float(rollout.get("step") or 0)
    for of, field in (("wanted", "weightWanted"), ("reached", "weightReached")):
        if rollout.get(field) is not None:
            yield "modelpress_rollout_weight", [candidate, of], float(rollout[field])
    outcome = (rollout.get("analysis") or {}).get("outcome")
    if outcome:
        yield "modelpress_rollout_verdict", [candidate, outcome], 1.0
