"""What Prometheus can read.

Counters and histograms are filled where things happen; a model's conditions are read from the store at the time of
the scrape, so they cannot lag or linger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

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

    def read_conditions(self, objects: Objects) -> None:
        """Have the models' conditions read at each scrape."""
        self.registry.register(ModelConditions(objects))


class ModelConditions(Collector):
    """`modelpress_model_condition{namespace,name,type,status,reason}` is 1 for what each condition of each model says
    now."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def collect(self) -> Iterator[Metric]:
        """Yield the one family."""
        family = GaugeMetricFamily(
            "modelpress_model_condition",
            "What a model's condition says now.",
            labels=["namespace", "name", "type", "status", "reason"],
        )
        for model in self._objects.of_kind("CompressedModel"):
            metadata = model["metadata"]
            for condition in (model.get("status") or {}).get("conditions") or ():
                labels = [metadata["namespace"], metadata["name"], condition["type"], condition["status"]]
                family.add_metric([*labels, condition.get("reason", "")], 1.0)
        yield family
