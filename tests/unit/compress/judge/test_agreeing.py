"""How often both models answer alike is told of outputs that name something, and not of amounts."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from modelpress.api.defaults import with_defaults
from modelpress.api.evaluation import Metric, MetricType
from modelpress.compress.judge.agreeing import Agreeing, kinds_of
from modelpress.compress.judge.metrics import Scorer
from modelpress.store.manifest import Tensor


class Shaped:
    """A model of which only the outputs are asked for."""

    def __init__(self, *outputs: tuple[str, str, tuple[int, ...]], batched: bool = True) -> None:
        self.outputs = tuple(Tensor(name=name, dtype=dtype, shape=shape) for name, dtype, shape in outputs)
        self.batched = batched


def kinds(model: Shaped, *metrics: str) -> dict[str, str]:
    scorers = [
        Scorer(with_defaults(Metric(name=metric, type=MetricType(metric))), model.outputs[0].name) for metric in metrics
    ]
    return kinds_of(model, scorers)  # type: ignore[arg-type]


def told(kind: str, original: Any, result: Any, truth: Any = None, batch: int = 2) -> float | None:
    counting = Agreeing({"y": kind})
    for start in range(0, len(original), batch):
        rows = slice(start, start + batch)
        truths = {} if truth is None else {"y": truth[rows]}
        counting.add({"y": original[rows]}, {"y": result[rows]}, truths)
    return counting.figure()


@pytest.mark.parametrize(
    ("dtype", "shape", "metrics", "kind"),
    [
        ("float32", (-1, 3), (), "argmax"),
        ("float32", (-1, 3), ("accuracy",), "argmax"),
        ("float32", (-1, 3), ("mse",), None),
        ("float32", (-1, 3), ("cosine",), "cosine"),
        ("float32", (-1, 1), (), None),
        ("float32", (-1, 1), ("r2",), None),
        ("float32", (-1, 1), ("accuracy",), "single"),
        ("float32", (-1,), ("auroc",), "single"),
        ("float32", (-1, -1, 50), (), None),
        ("float32", (-1, -1, 50), ("perplexity",), "argmax"),
        ("float32", (-1, 3, 8, 8), ("mae",), None),
        ("int64", (-1,), (), "exact"),
        ("int64", (-1,), ("accuracy",), "exact"),
        ("int64", (-1,), ("mae",), None),
    ],
)
def test_amounts_are_not_compared(dtype: str, shape: tuple[int, ...], metrics: tuple[str, ...], kind: str) -> None:
    assert kinds(Shaped(("y", dtype, shape)), *metrics).get("y") == kind


def test_of_several_outputs_those_of_amounts_are_left_aside() -> None:
    model = Shaped(("boxes", "float32", (-1, 100, 4)), ("scores", "float32", (-1, 7)))
    assert kinds(model, "mae") == {"scores": "argmax"}


def test_a_model_without_a_batch_axis_may_answer_with_the_scores_of_one_sample() -> None:
    assert kinds(Shaped(("y", "float32", (3,)), batched=False), "accuracy") == {"y": "argmax"}


def test_of_samples_with_many_answers_their_share_counts() -> None:
    original = numpy.eye(3, dtype=numpy.float32)[numpy.array([[0, 1, 2, 0], [2, 2, 1, 1]])]
    result = numpy.eye(3, dtype=numpy.float32)[numpy.array([[0, 1, 2, 1], [2, 2, 1, 1]])]
    assert told("argmax", original, result) == 7 / 8


def test_probabilities_of_two_classes_are_alike_on_the_same_side_of_a_half() -> None:
    original = numpy.array([[0.9], [0.2], [0.7], [0.4]], numpy.float32)
    result = numpy.array([[0.8], [0.6], [0.3], [0.1]], numpy.float32)
    assert told("single", original, result) == 0.5
    assert told("single", (original - 0.5) * 9, (result - 0.5) * 9) == 0.5


def test_scores_of_which_each_has_a_label_are_alike_one_by_one() -> None:
    """Several labels may hold of a sample: the highest score says little."""
    original = numpy.array([[3.0, 1, -1], [2, -2, -3]], numpy.float32)
    result = numpy.array([[1.0, 3, 1], [2, -1, -2]], numpy.float32)
    assert told("argmax", original, result, truth=original > 0) == pytest.approx(5 / 6)


def test_nothing_that_is_compared_tells_nothing() -> None:
    assert Agreeing({}).figure() is None
