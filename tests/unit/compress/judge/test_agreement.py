"""Answers are the same by the class that they name: of images, of single scores, of class numbers."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from modelpress.api.defaults import with_defaults
from modelpress.api.evaluation import Metric, MetricType
from modelpress.api.tasks import Comparison
from modelpress.api.verification import Compare
from modelpress.compress.datasets import Samples
from modelpress.compress.errors import Judged
from modelpress.compress.judge.disagreeing import Disagreeing
from modelpress.compress.judge.metrics import Scorer

RANDOM = numpy.random.default_rng(5)
PROBABILITIES = numpy.array([[0.9], [0.2], [0.7], [0.4]], numpy.float32)
OTHERS = numpy.array([[0.8], [0.6], [0.3], [0.1]], numpy.float32)
"""On two of four samples the other class."""


def agreed(original: Any, result: Any, target: Any = None, **args: Any) -> float:
    scorer = Scorer(with_defaults(Metric(name="same", type=MetricType.AGREEMENT, args=args or None)), "y")
    for row in range(len(original)):
        rows = slice(row, row + 1)
        scorer.add(original[rows], result[rows], None if target is None else target[rows])
    figure = scorer.figure(0)
    assert figure.original == 1.0
    return float(figure.compressed)


@pytest.mark.parametrize("shape", [(4, 1), (4,)])
def test_probabilities_of_two_classes_agree_on_the_same_side_of_a_half(shape: tuple[int, ...]) -> None:
    assert agreed(PROBABILITIES.reshape(shape), OTHERS.reshape(shape)) == 0.5
    assert (
        agreed(PROBABILITIES.reshape(shape), OTHERS.reshape(shape), numpy.array([1.0, 0, 1, 0]), kind="argmax") == 0.5
    )


def test_scores_of_two_classes_agree_on_the_same_side_of_zero() -> None:
    assert agreed((PROBABILITIES - 0.5) * 9, (OTHERS - 0.5) * 9) == 0.5


def test_amounts_have_no_side_and_must_be_told_what_is_the_same() -> None:
    prices = 100 + RANDOM.random((4, 1), numpy.float32)
    with pytest.raises(Judged, match=r"all lie on one side of 0: say with args what is the same, \{kind: allclose\}"):
        agreed(prices, prices * 3)
    changes = numpy.array([[-1.0], [2], [3], [-4]], numpy.float32)
    with pytest.raises(Judged, match="the truth is no class"):
        agreed(changes, changes * 3, changes + 0.25)
    assert agreed(prices, prices * 3, kind="allclose") == 0.0
    assert agreed(prices, prices * 3, kind="argmax") == 1.0, "who says so gets it"


def test_class_numbers_agree_where_they_are_equal() -> None:
    assert agreed(numpy.array([3, 1, 4, 1]), numpy.array([3, 1, 5, 9])) == 0.5


def test_classes_of_images_are_counted_by_their_axis() -> None:
    scores = RANDOM.standard_normal((4, 3, 5, 6)).astype(numpy.float32)
    brighter = scores + numpy.linspace(0, 50, 6, dtype=numpy.float32)  # by pixel, alike in all classes
    assert agreed(scores, brighter) == 1.0
    last = numpy.moveaxis(scores, 1, -1)
    other = last + 50 * numpy.eye(3, dtype=numpy.float32)[0]
    assert agreed(last, last * 2, numpy.zeros((4, 5, 6))) == 1.0, "the labels tell the axis"
    assert agreed(last, other, numpy.zeros((4, 5, 6))) == 0.0


class Answers:
    """A server that knows its answers."""

    label, batched, most = "the server", True, 2

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        return {"y": PROBABILITIES[feeds["row"]]}


def test_servers_of_probabilities_disagree_on_other_sides_of_a_half() -> None:
    asked = Comparison(address="pod:9000", revision="first", compare=Compare.ARGMAX, at_least=0.99)
    counting = Disagreeing(Answers(), Samples({"row": numpy.arange(4)}, {}, 4), asked, "y")  # type: ignore[arg-type]
    counting.add(slice(0, 4), {"y": OTHERS})
    found = counting.figure()
    assert (found.samples, found.different) == (4, 2)
    assert counting.figure() == found
