"""Both models' answers to the same samples, scored by every metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy

from modelpress.api.defaults import EffectiveMetric
from modelpress.api.reasons import Reason

from ..datasets import Samples, rows_of
from ..errors import Judged
from .agreeing import Agreeing, kinds_of
from .answers import MOST_SAMPLES, Answering, Arrays, ask, batches
from .baseline import answers_of
from .classes import is_one_hot
from .gathering import OF_CLASSES
from .metrics import Scorer
from .models import Model

Seen = Callable[[slice, Arrays, Arrays], None]
"""Told of a batch: its samples, and what original and result answered."""


@dataclass(frozen=True)
class Comparison:
    """What both models answered."""

    scorers: tuple[Scorer, ...]
    agreement: float | None
    """How often they answer alike (`agreeing`); None for amounts."""
    largest: float
    """Greatest absolute value of the result's answers."""


def scorer_of(metric: EffectiveMetric, model: Model, samples: Samples) -> Scorer:
    """Return what computes `metric`. Raises Judged if the model has no such output, or the data not the truth."""
    output = metric.output or model.outputs[0].name
    check_output(metric, output, model)
    if metric.type in OF_CLASSES and metric.target is None and output not in samples.targets:
        raise Judged(
            Reason.DATASET_DOES_NOT_FIT,
            f"metric {metric.name}: the test data has no labels for {output!r}: name their column in test.targets",
        )
    if metric.type in OF_CLASSES:
        truth = samples.columns[metric.target] if metric.target else samples.targets[output]
        if is_one_hot(truth):
            raise Judged(
                Reason.DATASET_DOES_NOT_FIT,
                f"metric {metric.name}: the target of {output!r} holds a single 1 among {truth.shape[-1]} values "
                "for each sample: write the number of the class in its place",
            )
    return Scorer(metric, output)


def check_output(metric: EffectiveMetric, output: str | None, model: Model) -> None:
    """Raise Judged with EvaluationFailed if `metric` needs an output that the model has not; None: it needs all."""
    names = [tensor.name for tensor in model.outputs]
    if output is not None and output not in names:
        raise Judged(
            Reason.EVALUATION_FAILED,
            f"metric {metric.name}: the model has no output {output!r}; it has {', '.join(names)}",
        )


def compare_answers(
    original: Model,
    result: Answering,
    samples: Samples,
    scorers: Iterable[Scorer],
    seen: Seen = lambda rows, before, after: None,
    most: int = MOST_SAMPLES,
    kept: Path | None = None,
) -> Comparison:
    """Run both models over all samples, batch by batch of at most `most`, and count.

    `seen` is told which samples were asked and what original and result answered; `kept` is the folder in which the
    original's answers stand for later runs, None: nowhere. Raises Judged.
    """
    scorers = tuple(scorers)
    agreeing, largest = Agreeing(kinds_of(original, scorers)), 0.0
    with answers_of(original, samples, kept, most) as original_answers:
        for rows in batches(samples.inputs, samples.count, batched=original.batched and result.batched, most=most):
            before, after = original_answers(rows), ask(result, samples.inputs, rows)
            seen(rows, before, after)
            for scorer in scorers:
                column = scorer.metric.target
                truth = samples.columns[column] if column else samples.targets.get(scorer.output)
                scorer.add(before[scorer.output], after[scorer.output], None if truth is None else rows_of(truth, rows))
            truths = {name: rows_of(samples.targets[name], rows) for name in agreeing.kinds & samples.targets.keys()}
            agreeing.add(before, after, truths)
            extremes = (float(abs(array.astype(numpy.float64)).max(initial=0)) for array in after.values())
            largest = max(largest, *extremes)
    return Comparison(scorers, agreeing.figure(), largest)
