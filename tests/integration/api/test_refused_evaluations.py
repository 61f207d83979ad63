"""What the API server refuses of `evaluation`: metrics, gates and test data."""

from __future__ import annotations

import pytest
from tests.integration.api.refusing import NAME, apply, refusal
from tests.integration.api.specs import SPEC, model
from tests.support.apiserver import ApiServer

OWN = {"name": "top1", "type": "entrypoint", "entrypoint": "metrics:cost", "higherIsBetter": False}
REFUSED = {
    "a loss with the wrong sign": (
        "evaluation.gates.0.value",
        -0.02,
        "spec.evaluation.gates[0]: Invalid value: value must not be negative",
    ),
    "size on the serving runtime": (
        "evaluation.gates",
        [{"metric": "size", "goal": "PercentMinImprovement", "value": 50, "measuredOn": "ServingRuntime"}],
        "spec.evaluation.gates[0]: Invalid value: measuredOn: ServingRuntime is for answers",
    ),
    "latency of an original that is not served": (
        "evaluation.gates",
        [{"metric": "latency", "goal": "MaxDegradation", "value": 1, "measuredOn": "ServingRuntime"}],
        "spec.evaluation.gates[0]: Invalid value: measuredOn: ServingRuntime is for answers",
    ),
    "a metric of one's own that is not named": (
        "evaluation.metrics.0",
        {"name": "top1", "type": "entrypoint", "higherIsBetter": False},
        "spec.evaluation.metrics[0]: Invalid value: type entrypoint needs metrics[].entrypoint",
    ),
    "a named function of a type that has none": (
        "evaluation.metrics.0.entrypoint",
        "metrics:cost",
        "spec.evaluation.metrics[0]: Invalid value: type entrypoint needs metrics[].entrypoint",
    ),
    "a metric of one's own without a direction": (
        "evaluation.metrics.0",
        {"name": "top1", "type": "entrypoint", "entrypoint": "metrics:cost"},
        "spec.evaluation.metrics[0]: Invalid value: a metric of type entrypoint needs higherIsBetter",
    ),
    "a metric of one's own on the serving runtime": (
        "evaluation",
        SPEC["evaluation"]
        | {
            "metrics": [OWN],
            "gates": [{"metric": "top1", "goal": "Threshold", "value": 0.5, "measuredOn": "ServingRuntime"}],
        },
        "spec.evaluation: Invalid value: a gate with measuredOn: ServingRuntime cannot judge a metric",
    ),
    "dataset of unknown format": (
        "evaluation.test.uri",
        "s3://data/test.bin",
        "spec.evaluation.test: Invalid value: the ending of uri does not tell the format",
    ),
    "gate on an unknown metric": (
        "evaluation.gates.0.metric",
        "top5",
        "spec.evaluation: Invalid value: a gate's metric must be size, latency or the name of one of evaluation.metri",
    ),
    "two metrics of one name": (
        "evaluation.metrics",
        [{"name": "top1", "type": "accuracy"}, {"name": "top1", "type": "f1"}],
        "each of evaluation.metrics needs a name of its own",
    ),
    "a metric called size": ("evaluation.metrics.0.name", "size", "the metric names size and latency are taken"),
    "metrics without data": ("evaluation.test", None, "evaluation.metrics need evaluation.test"),
    "confidence of 100 %": ("evaluation.gates.0.confidence", 1.0, "spec.evaluation.gates[0].confidence"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_with_a_message_that_names_the_field(server: ApiServer, case: str) -> None:
    path, value, message = REFUSED[case]
    assert message in refusal(server, path, value)


def test_a_metric_of_ones_own_needs_code_that_may_run_and_a_folder_for_it(server: ApiServer) -> None:
    graph = {"uri": "s3://models/digits/", "format": "onnx"}
    spec = {
        "source": graph | {"trustCode": True},
        "compression": {"stages": []},
        "evaluation": SPEC["evaluation"] | {"metrics": [OWN]},
    }
    assert apply(server, model(NAME, spec), "--dry-run=server") == ""
    refusal = apply(server, model(NAME, spec | {"source": graph}), "--dry-run=server")
    assert "a metric of type entrypoint runs code out of the source: set source.trustCode to true" in refusal
    for file in ("model.onnx", "model.pt2"):
        alone = spec["source"] | {"uri": f"s3://models/{file}"}
        refusal = apply(server, model(NAME, spec | {"source": alone}), "--dry-run=server")
        assert "put both into one folder, and name that" in refusal
