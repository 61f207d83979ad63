from __future__ import annotations

from modelpress.triton.metrics import InferenceCounters, inference_counters

TEXT = """\
# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="digits",version="1"} 7
nv_inference_request_success{model="other",version="2"} 1
# HELP nv_inference_request_failure Number of failed inference requests, all batch sizes
# TYPE nv_inference_request_failure counter
nv_inference_request_failure{model="digits",reason="BACKEND",version="1"} 2
nv_inference_request_failure{model="digits",reason="CANCELED",version="1"} 3
# HELP nv_inference_queue_duration_us Cumulative inference queuing duration in microseconds
# TYPE nv_inference_queue_duration_us counter
nv_inference_queue_duration_us{model="digits",version="1"} 1500
# HELP nv_cpu_utilization CPU utilization rate [0.0 - 1.0]
# TYPE nv_cpu_utilization gauge
nv_cpu_utilization 0.5
"""


def test_counters_are_told_apart_by_model_and_version_and_failures_added_up() -> None:
    assert inference_counters(TEXT) == {
        ("digits", "1"): InferenceCounters(requests=7, failures=5, queue_microseconds=1500),
        ("other", "2"): InferenceCounters(requests=1),
    }


def test_a_failure_that_triton_counts_as_a_success_too_is_one_request() -> None:
    counters = inference_counters(TEXT.replace('reason="CANCELED"', 'reason="MODEL"'))["digits", "1"]
    assert (counters.requests, counters.failures, counters.refused, counters.asked) == (7, 5, 3, 9)
