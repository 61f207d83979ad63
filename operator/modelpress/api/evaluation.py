"""`spec.evaluation`: test data, metrics, latency and gates."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar

from pydantic import ConfigDict, Field, model_validator

from .base import ApiType, Fraction, rules
from .data import Dataset
from .fields import Entrypoint, Name

METRIC_NAME_LIMIT = 40
MetricName = Annotated[str, Field(min_length=1, max_length=METRIC_NAME_LIMIT, pattern=r"^[a-z][A-Za-z0-9_]*$")]

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
    ENTRYPOINT = "entrypoint"


NAMED = "type entrypoint needs metrics[].entrypoint, as file:function, and no other type takes one"
DIRECTED = "a metric of type entrypoint needs higherIsBetter: nobody else knows which way its scores get better"


class Metric(ApiType):
    """One figure of quality, measured on the test data for original and result alike."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("(self.type == 'entrypoint') == has(self.entrypoint)", NAMED),
            ("self.type != 'entrypoint' || has(self.higherIsBetter)", DIRECTED),
        )
    )

    name: MetricName
    """Name by which gates refer to it. `size` and `latency` are taken."""
    type: MetricType
    """accuracy, f1: of the class with the highest score. auroc: area under the ROC curve, of each class against
    the rest. Several labels of a sample, of its tokens or each yes or no, count as one large set of labels.
    perplexity: exp of the mean surprise at the labels, of scores before softmax. mse, mae: errors. r2: the
    coefficient of determination. cosine: mean similarity over the last axis. agreement: part of the samples on
    which the result answers as the original does, whose own value is 1. entrypoint: the mean of the scores that a
    function of the source gives each sample."""
    entrypoint: Entrypoint | None = None
    """`file:function` of the source; `metrics:word_error` calls `word_error(outputs, targets, **args)` of `metrics.py`
    with the answers of one model to a batch, which returns one number for each of its samples. `outputs` and `targets`
    are mappings from the names of outputs to numpy arrays whose first axis counts samples; targets are those that the
    dataset has, and `target`. It runs in a container of its own, so `source.trustCode` is needed. Needed by type
    entrypoint. Default: none."""
    args: dict[str, Any] | None = None
    """Arguments of the metric: `{top_k: 5}` of accuracy, `{average: macro}` of f1, `{kind: argmax}` of agreement, or
    allclose, exact, or cosine with `{at_least: 0.99}`; `{ignore_index: -100}`, a label that is not counted, of
    accuracy, f1, auroc and perplexity, which has it by default; keyword arguments of an entrypoint. Default: none."""
    output: Name | None = None
    """Output that is measured. Default: the first; an entrypoint sees all of them."""
    target: Name | None = None
    """Column of the test data that holds the truth. Default: the dataset's target of that output; where it has none,
    mse, mae, r2 and cosine compare with the original's answers, as agreement always does. An entrypoint gets it beside
    those of the dataset, by its own name."""
    higher_is_better: bool | None = None
    """Default: as the type has it; false for mse, mae and perplexity. Needed by type entrypoint."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.type is MetricType.ENTRYPOINT) != (self.entrypoint is not None):
            raise ValueError(NAMED)
        if self.type is MetricType.ENTRYPOINT and self.higher_is_better is None:
            raise ValueError(DIRECTED)
        return self


MetricT = TypeVar("MetricT", bound=Metric)


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


NOT_NEGATIVE = "value must not be negative: the goal says already whether it is a loss or a gain"


class Gate(ApiType):
    """A demand on one figure. Without it being met, nothing is served."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.goal == 'Threshold' || self.value >= 0.0", NOT_NEGATIVE),
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


NOT_SERVED = (
    "a gate with measuredOn: ServingRuntime cannot judge a metric of type entrypoint: no code of the source runs where"
    " the server is asked; use measuredOn: Compression"
)


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
            (
                "!has(self.gates) || !has(self.metrics) || !self.metrics.exists(metric, metric.type == 'entrypoint')"
                " || self.gates.all(gate, !has(gate.measuredOn) || gate.measuredOn == 'Compression'"
                " || !self.metrics.exists(metric, metric.name == gate.metric && metric.type == 'entrypoint'))",
                NOT_SERVED,
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


def of_the_source(metrics: Iterable[MetricT] | None) -> tuple[MetricT, ...]:
    """Return those of `metrics` that a function of the source computes."""
    return tuple(metric for metric in metrics or () if metric.type is MetricType.ENTRYPOINT)


def of_ours(metrics: Iterable[MetricT] | None) -> tuple[MetricT, ...]:
    """Return those of `metrics` that no code of the source has a part in."""
    return tuple(metric for metric in metrics or () if metric.type is not MetricType.ENTRYPOINT)
