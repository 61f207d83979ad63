"""`spec.evaluation`: test data, metrics, latency and gates."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from .base import ApiType, Fraction, rules
from .data import Dataset
from .fields import Name

MetricName = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z][A-Za-z0-9_]*$")]

SIZE_METRIC = "size"
"""Bytes on disk of everything that the server must load. Lower is better. Always measured."""
LATENCY_METRIC = "latency"
"""Median time of one request at the first of `latency.batchSizes`, in milliseconds. Lower is better."""


class MetricType(StrEnum):
    """What is computed, by torchmetrics where it has it."""

    ACCURACY = "accuracy"
    F1 = "f1"
    MSE = "mse"
    MAE = "mae"
    COSINE = "cosine"
    AUROC = "auroc"
    R2 = "r2"
    PERPLEXITY = "perplexity"
    AGREEMENT = "agreement"


class Metric(ApiType):
    """One figure of quality, measured on the test data for original and result alike."""

    name: MetricName
    """Name by which gates refer to it. `size` and `latency` are taken."""
    type: MetricType
    """accuracy, f1: of the class with the highest score. auroc: area under the ROC curve, of each class against the
    rest. perplexity: exp of the mean surprise at the labels, of scores before softmax. mse, mae: errors. r2: the
    coefficient of determination. cosine: mean similarity over the last axis. agreement: part of the samples on which
    the result answers as the original does, whose own value is 1."""
    args: dict[str, Any] | None = None
    """Arguments of the metric: `{top_k: 5}` of accuracy, `{average: macro}` of f1, `{kind: argmax}` of agreement, or
    allclose, exact, or cosine with `{at_least: 0.99}`; `{ignore_index: -100}`, a label that is not counted, of
    accuracy, f1, auroc and perplexity, which has it by default. Default: none."""
    output: Name | None = None
    """Output that is measured. Default: the first."""
    target: Name | None = None
    """Column of the test data that holds the truth. Default: the dataset's target of that output; where it has none,
    mse, mae, r2 and cosine compare with the original's answers, as agreement always does."""
    higher_is_better: bool | None = None
    """Default: as the type has it; false for mse, mae and perplexity."""


class Latency(ApiType):
    """How latency is measured: original and result in alternation, in one process."""

    batch_sizes: (
        Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1, max_length=8)] | None
    ) = None
    """Batch sizes to measure, in samples; a gate on latency judges the first. Default: 1."""
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    """Threads of the runtime. Default: 1."""


class Goal(StrEnum):
    """What a gate demands; D stands for original minus result in the direction in which the metric gets worse."""

    THRESHOLD = "Threshold"
    MAX_DEGRADATION = "MaxDegradation"
    PERCENT_MAX_DEGRADATION = "PercentMaxDegradation"
    MIN_IMPROVEMENT = "MinImprovement"
    PERCENT_MIN_IMPROVEMENT = "PercentMinImprovement"


class OnInconclusive(StrEnum):
    """What a gate that cannot be told amounts to."""

    FAIL = "Fail"
    PASS = "Pass"


class MeasuredOn(StrEnum):
    """Whose answers a gate judges."""

    COMPRESSION = "Compression"
    SERVING_RUNTIME = "ServingRuntime"


class Gate(ApiType):
    """A demand on one figure. Without it being met, nothing is served."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.goal == 'Threshold' || self.value >= 0.0",
                "value must not be negative: the goal says already whether it is a loss or a gain",
            ),
            (
                "!has(self.measuredOn) || self.measuredOn == 'Compression'"
                " || self.metric != 'size' && (self.metric != 'latency' || self.goal == 'Threshold')",
                "measuredOn: ServingRuntime is for answers, and for latency with goal Threshold: the serving runtime"
                " has no size, and the original, with which the other goals compare, is not served",
            ),
        )
    )

    metric: MetricName
    """Name of a metric of `evaluation.metrics`, or `size`, or `latency`."""
    goal: Goal
    """Threshold: the result is at least (or, where lower is better, at most) value. MaxDegradation: it is worse than
    the original by at most value, in the metric's own unit. PercentMaxDegradation: by at most value percent of the
    original. MinImprovement, PercentMinImprovement: it is better by at least value."""
    value: float
    """The limit: in the metric's own unit, or in percent (0 to 100) where the goal says Percent."""
    confidence: Fraction | None = None
    """Confidence with which the limit must be kept, for quality metrics: a result that is worse than the limit passes
    in at most 1 - confidence of all test sets. Default: 0.95."""
    on_inconclusive: OnInconclusive | None = None
    """What it means that the interval lies on both sides of the limit, so that there are too few samples to tell.
    Default: Fail."""
    measured_on: MeasuredOn | None = None
    """Compression: on the report of the compression. ServingRuntime: on the answers of a pod that holds the new
    revision, asked over gRPC before that gets any request; the metric is paired with the original's answers to the same
    samples. Of `latency` that is the median round trip in milliseconds, one request at a time. Default: Compression."""


class Evaluation(ApiType):
    """How result and original are compared, and what is demanded of the result."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.metrics) || self.metrics.size() == 0 || has(self.test)",
                "evaluation.metrics need evaluation.test, the data they are measured on",
            ),
            (
                "!has(self.metrics) || self.metrics.all(metric, metric.name != 'size' && metric.name != 'latency')",
                "the metric names size and latency are taken: they are always measured",
            ),
            (
                "!has(self.metrics)"
                " || self.metrics.all(metric, self.metrics.exists_one(other, other.name == metric.name))",
                "each of evaluation.metrics needs a name of its own",
            ),
            (
                "!has(self.gates) || self.gates.all(gate, gate.metric == 'size' || gate.metric == 'latency'"
                " || has(self.metrics) && self.metrics.exists(metric, metric.name == gate.metric))",
                "a gate's metric must be size, latency or the name of one of evaluation.metrics",
            ),
        )
    )

    test: Dataset | None = None
    """Held-out data; never used to choose anything. Default: none, and no metrics."""
    metrics: Annotated[tuple[Metric, ...], Field(max_length=5)] | None = None
    """What is measured on it. Default: nothing."""
    latency: Latency | None = None
    """How latency is measured. Default: one thread, batch size 1."""
    gates: Annotated[tuple[Gate, ...], Field(max_length=32)] | None = None
    """What is demanded. Default: nothing."""


def untested(evaluation: Evaluation | None) -> Evaluation:
    """Return what results are compared by, without the test data: a search never sees it."""
    return (evaluation or Evaluation()).model_copy(update={"test": None})


def targets_of_test(evaluation: Evaluation | None) -> dict[str, str] | None:
    """Return the column of each output's target in the test data; None if the spec names none."""
    test = evaluation.test if evaluation is not None else None
    return test.targets or None if test is not None else None
