"""Triton's metrics: the counters of one model, out of the text that /metrics gives. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

COUNTERS = {
    "nv_inference_request_success": "requests",
    "nv_inference_request_failure": "failures",
    "nv_inference_count": "samples",
    "nv_inference_exec_count": "executions",
    "nv_inference_request_duration_us": "request_microseconds",
    "nv_inference_queue_duration_us": "queue_microseconds",
    "nv_inference_compute_infer_duration_us": "compute_microseconds",
}
"""Fields of InferenceCounters by the names of Triton's metrics."""
FAILED_AS_SUCCESS = "MODEL"
"""Reason of the failures that Triton counts as successes too: see python_backend/model.py."""
PENDING = "nv_inference_pending_request_count"
"""Triton's gauge of requests that wait in a model's queue."""


@dataclass(frozen=True)
class InferenceCounters:
    """What a model has done since it was loaded; each only grows. Microseconds are sums over `requests`.

    `requests`: what Triton counts as successes; `refused`: failures that are among them all the same.
    """

    requests: float = 0.0
    failures: float = 0.0
    refused: float = 0.0
    samples: float = 0.0
    executions: float = 0.0
    request_microseconds: float = 0.0
    queue_microseconds: float = 0.0
    compute_microseconds: float = 0.0

    @property
    def asked(self) -> float:
        """Requests that were answered or failed."""
        return max(0.0, self.requests - self.refused) + self.failures  # Triton counts a refused one later than we do


def inference_counters(text: str) -> dict[tuple[str, str], InferenceCounters]:
    """Return the counters by (model, version). Failures of all reasons are added up."""
    sums: dict[tuple[str, str], dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            field = COUNTERS.get(sample.name) or COUNTERS.get(sample.name.removesuffix("_total"))
            if field is None:
                continue
            model = sums.setdefault((sample.labels["model"], sample.labels["version"]), {})
            model[field] = model.get(field, 0.0) + sample.value
            if sample.labels.get("reason") == FAILED_AS_SUCCESS:
                model["refused"] = model.get("refused", 0.0) + sample.value
    return {model: InferenceCounters(**fields) for model, fields in sums.items()}
