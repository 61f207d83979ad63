"""Whether the parts of a spec fit each other, as far as an API server would have looked."""

from __future__ import annotations

from collections.abc import Mapping

from modelpress.api.data import Dataset
from modelpress.api.defaults import dataset_format, with_defaults
from modelpress.api.evaluation import (
    LATENCY_METRIC,
    NOT_NEGATIVE,
    NOT_SERVED,
    SIZE_METRIC,
    Evaluation,
    Goal,
    MeasuredOn,
    of_the_source,
)
from modelpress.api.spec import METRIC_WITHOUT_FOLDER, UNTRUSTED_METRIC, CompressedModelSpec

from .asked_error import AskedError


def check(spec: CompressedModelSpec, datasets: Mapping[str, Dataset]) -> None:
    """Raise AskedError unless the parts fit each other; `datasets` by role, test included."""
    evaluation = spec.evaluation or Evaluation()
    names = [metric.name for metric in evaluation.metrics or ()]
    theirs = of_the_source(evaluation.metrics)
    if theirs and not spec.source.trust_code:
        raise AskedError(f"evaluation.metrics, {theirs[0].name}: {UNTRUSTED_METRIC}.")
    if theirs and spec.source.uri.endswith((".onnx", ".pt2")):
        raise AskedError(f"evaluation.metrics, {theirs[0].name}: {METRIC_WITHOUT_FOLDER}.")
    if names and evaluation.test is None:
        raise AskedError("evaluation.metrics need evaluation.test, the data they are measured on: name it with --test.")
    taken = sorted({SIZE_METRIC, LATENCY_METRIC} & set(names))
    if taken:
        raise AskedError(f"evaluation.metrics: the name {taken[0]} is taken, it is always measured: choose another.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise AskedError(f"evaluation.metrics has {twice[0]} twice: give each a name of its own.")
    for gate in evaluation.gates or ():
        measured = with_defaults(gate).measured_on
        if measured is MeasuredOn.SERVING_RUNTIME and gate.metric in {metric.name for metric in theirs}:
            raise AskedError(f"evaluation.gates, {gate.metric}: {NOT_SERVED}.")
        if gate.metric not in {SIZE_METRIC, LATENCY_METRIC, *names}:
            known = ", ".join([SIZE_METRIC, LATENCY_METRIC, *names])
            raise AskedError(f"evaluation.gates: no metric is called {gate.metric}; there are {known}.")
        if gate.goal is not Goal.THRESHOLD and gate.value < 0:
            raise AskedError(f"evaluation.gates, {gate.metric}: {NOT_NEGATIVE}.")
    _check_outputs(spec, evaluation)
    for role, dataset in datasets.items():
        try:
            dataset_format(dataset)
        except ValueError as error:
            raise AskedError(f"{role} data: {error}.") from error


def _check_outputs(spec: CompressedModelSpec, evaluation: Evaluation) -> None:
    """Raise AskedError if a metric is of an output that the source has not: the judge would say so at the very end."""
    outputs = [output.name for output in spec.source.outputs or ()]
    for metric in evaluation.metrics or ():
        if outputs and metric.output is not None and metric.output not in outputs:
            raise AskedError(
                f"evaluation.metrics, {metric.name}: output is {metric.output}, the model has the outputs "
                f"{', '.join(outputs)}."
            )
