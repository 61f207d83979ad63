"""Samples of different sizes, as nodes of graphs: a metric counts every node, as if all were one graph."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from modelpress.api.defaults import with_defaults
from modelpress.api.evaluation import Metric, MetricType
from modelpress.compress.errors import Judged
from modelpress.compress.judge.metrics import Scorer

RANDOM = numpy.random.default_rng(3)
SIZES = (4, 9, 1, 6, 30)
CLASSES = 3


def answers(single: bool) -> tuple[list[Any], list[Any], list[Any]]:
    """Return scores of both models and labels, graph by graph; `single`: one probability for each node."""
    shapes = [(size,) if single else (size, CLASSES) for size in SIZES]
    original = [RANDOM.random(shape).astype(numpy.float32) for shape in shapes]
    result = [part + RANDOM.normal(0, 0.2, part.shape).astype(numpy.float32) for part in original]
    return original, result, [RANDOM.integers(0, 2 if single else CLASSES, size) for size in SIZES]


def scored(kind: MetricType, graphs: tuple[list[Any], list[Any], list[Any]], **args: Any) -> Any:
    scorer = Scorer(with_defaults(Metric(name="m", type=kind, args=args or None)), "y")
    for before, after, target in zip(*graphs, strict=True):
        scorer.add(before[None], after[None], target[None])
    return scorer.figure(0)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("kind", [MetricType.ACCURACY, MetricType.F1, MetricType.AUROC])
def test_labels_of_all_graphs_count_alike(kind: MetricType, single: bool) -> None:
    graphs = answers(single)
    together = tuple([numpy.concatenate(part)] for part in graphs)
    found, wanted = scored(kind, graphs), scored(kind, together)  # type: ignore[arg-type]
    assert (found.original, found.compressed) == pytest.approx((wanted.original, wanted.compressed))
    assert (found.samples, wanted.samples) == (5, 1)


def test_labels_that_are_not_counted_stay_out_of_it() -> None:
    original, result, labels = answers(single=False)
    half = [numpy.where(numpy.arange(len(one)) % 2, one, -100) for one in labels]
    kept = tuple([numpy.concatenate([part[1::2] for part in parts])] for parts in (original, result, labels))
    found = scored(MetricType.ACCURACY, (original, result, half), ignore_index=-100)
    wanted = scored(MetricType.ACCURACY, kept)  # type: ignore[arg-type]
    assert found.original == pytest.approx(wanted.original)
    assert found.samples == 4, "of the graph of one node nothing is counted"


def test_amounts_are_means_over_each_graph_and_r2_is_refused() -> None:
    graphs = answers(single=True)
    targets = [part + numpy.float32(0.5) for part in graphs[0]]
    assert scored(MetricType.MSE, (graphs[0], graphs[1], targets)).original == pytest.approx(0.25)
    with pytest.raises(Judged, match="r2 needs samples of one size: take mse or mae"):
        scored(MetricType.R2, (graphs[0], graphs[1], targets))
