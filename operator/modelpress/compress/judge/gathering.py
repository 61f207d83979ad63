"""What is kept of each sample for a metric: few numbers, batch after batch.

mse, mae and cosine of an output that has no target are taken against the original's answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy
from numpy.typing import NDArray

from modelpress.api.defaults import EffectiveMetric
from modelpress.api.evaluation import MetricType
from modelpress.api.reasons import Reason

from ..errors import Judged
from . import agreement, ranking
from .arguments import ignored_label
from .classes import Scored, align, is_single, middle

Array = NDArray[Any]
OF_CLASSES = frozenset({MetricType.ACCURACY, MetricType.F1, MetricType.AUROC, MetricType.PERPLEXITY})
"""Types that compare classes, and so need labels."""


@dataclass
class Gathered:
    """What was kept so far for one metric."""

    metric: EffectiveMetric
    output: str
    """Output that is measured."""
    values: tuple[list[Array], list[Array]] = field(default_factory=lambda: ([], []))
    """For each sample, of original and result: its value, or what the metric over all samples is computed from."""
    labels: list[Array] = field(default_factory=list)
    counted: list[Array] = field(default_factory=list)
    """Which labels are counted, (samples, positions)."""
    classes: int = 0
    _single: list[tuple[Array, Array, Array | None]] = field(default_factory=list)
    """Single scores and the truth, batch by batch."""

    def add(self, original: Array, result: Array, target: Array | None) -> None:
        """Count a batch: answers of both models, (samples, …), and the truth; None: the original's answers."""
        self._check_width(original)
        if self.metric.type is MetricType.AGREEMENT:
            if agreement.are_single(original, self.metric.args) and original.shape == result.shape:
                self._single.append((original, result, target))
            else:
                labels = None if target is None else target.shape
                self._add_same(agreement.same(original, result, self.metric.args, labels=labels))
            return
        if self.metric.type is MetricType.PERPLEXITY:
            assert target is not None
            for values, scores in zip(self.values, (original, result), strict=True):
                values.append(self._surprise(scores, target))
            return
        if self.metric.type in OF_CLASSES:
            assert target is not None
            if is_single(original, target) and original.shape == result.shape:
                self._single.append(
                    (original, result, target)
                )  # only all scores together tell what divides the classes
            else:
                self._add_classes(original, result, target)
            return
        truth = original if target is None else target
        if self.metric.type is MetricType.R2:
            self.labels.append(fitting(original, truth, self.output).reshape(len(truth), -1).astype(numpy.float64))
        for values, answers in zip(self.values, (original, result), strict=True):
            values.append(_of_numbers(self.metric.type, answers, truth, self.output))

    def _check_width(self, answers: Array) -> None:
        """Raise Judged if cosines are asked of single numbers."""
        agreeing = self.metric.type is MetricType.AGREEMENT and self.metric.args.get("kind") == "cosine"
        if (agreeing or self.metric.type is MetricType.COSINE) and (answers.ndim == 1 or answers.shape[-1] == 1):
            raise Judged(
                Reason.EVALUATION_FAILED,
                f"metric {self.metric.name}: output {self.output!r} has a single number, whose cosine is 1 or -1 "
                f"whatever it is: take {'kind allclose' if agreeing else 'mse, mae or r2'}",
            )

    def take(self, original: Array, result: Array) -> None:
        """Count a batch that was scored already: a number for each sample, (samples,), of both models."""
        for values, scores in zip(self.values, (original, result), strict=True):
            values.append(scores)

    def together(self, parts: list[Array]) -> Array:
        """Return what was kept of all samples; where they differ in size, filled up in the last axis with zeros.

        Nothing of what fills up is counted. Raises Judged for r2, which has no sample of another size.
        """
        longest = max(part.shape[-1] for part in parts)
        if parts[0].ndim == 1 or all(part.shape[-1] == longest for part in parts):
            return numpy.concatenate(parts)
        if self.metric.type is MetricType.R2:
            told = f"metric {self.metric.name}: r2 needs samples of one size: take mse or mae"
            raise Judged(Reason.EVALUATION_FAILED, told)
        filled = [numpy.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, longest - part.shape[-1])]) for part in parts]
        return numpy.concatenate(filled)

    def settle(self) -> None:
        """Count single scores, now that all are known. Raises Judged if sameness is asked of what are no scores."""
        half = middle(before for before, _, _ in self._single)
        if self.metric.type is MetricType.AGREEMENT and self._single and "kind" not in self.metric.args:
            sides = {bool(side) for before, _, _ in self._single for side in numpy.unique(before > half)}
            if len(sides) == 1 or any(_are_amounts(target) for _, _, target in self._single):
                why = f"all lie on one side of {half:g}" if len(sides) == 1 else "the truth is no class"
                raise Judged(
                    Reason.EVALUATION_FAILED,
                    f"metric {self.metric.name}: output {self.output!r} has a single number, and {why}: say with args "
                    "what is the same, {kind: allclose} for amounts, {kind: argmax} for two classes",
                )
        for before, after, target in self._single:
            if self.metric.type is MetricType.AGREEMENT:
                self._add_same(agreement.same(before, after, self.metric.args, half))
                continue
            assert target is not None
            pair = (before - half, after - half) if half else (before, after)
            self._add_classes(pair[0], pair[1], target)
        self._single.clear()

    def _add_same(self, same: Array) -> None:
        """Count which samples are answered alike; the original is always as it is itself."""
        for values, part in zip(self.values, (numpy.ones(len(same)), same), strict=True):
            values.append(part)

    def _add_classes(self, original: Array, result: Array, target: Array) -> None:
        pair = [align(scores, target, self.output, ignored_label(self.metric)) for scores in (original, result)]
        self.labels.append(pair[0].labels)
        self.counted.append(pair[0].counted)
        self.classes = max(self.classes, *(scored.scores.shape[1] for scored in pair))
        for values, scored in zip(self.values, pair, strict=True):
            values.append(self._of_classes(scored))

    def _of_classes(self, scored: Scored) -> Array:
        """Return values of each sample: right labels and counted ones, for f1 the predicted classes, or the scores."""
        if self.metric.type is MetricType.F1:
            return scored.predicted
        if self.metric.type is MetricType.AUROC:
            return scored.scores
        top = int(self.metric.args.get("top_k", 1))
        if top > scored.scores.shape[1]:
            raise Judged(
                Reason.EVALUATION_FAILED,
                f"metric {self.metric.name}: top_k is more than the classes of {self.output!r}",
            )
        from .computing import accuracy  # noqa: PLC0415 - seconds to import, and not every model is scored

        return accuracy(scored.scores, scored.labels, scored.counted, top)

    def _surprise(self, scores: Array, target: Array) -> Array:
        scored = align(scores, target, self.output, ignored_label(self.metric))
        return ranking.surprise(scored.scores.transpose(0, 2, 1), scored.labels, scored.counted)


def _are_amounts(target: Array | None) -> bool:
    """Return whether the truth holds what is no number of a class."""
    return target is not None and target.dtype.kind == "f" and bool((target != numpy.rint(target)).any())


def fitting(answers: Array, truth: Array, output: str) -> Array:
    """Return `truth` in the shape of `answers`. Raises Judged with DatasetDoesNotFit."""
    if answers.shape == truth.shape or answers.size == truth.size:
        return truth.reshape(answers.shape)
    raise Judged(
        Reason.DATASET_DOES_NOT_FIT,
        f"output {output!r} has shape {list(answers.shape[1:])} for a sample, its target {list(truth.shape[1:])}: "
        "name the right column, or set test.targets to {} to compare with the original's answers",
    )


def _of_numbers(kind: MetricType, answers: Array, truth: Array, output: str) -> Array:
    """Return a value for each sample: mean squared or absolute error, or mean similarity over the last axis; for r2
    the answers themselves.
    """
    truth = fitting(answers, truth, output)
    given, wanted = answers.astype(numpy.float64), truth.astype(numpy.float64)
    if kind is MetricType.COSINE:
        from .computing import cosine  # noqa: PLC0415

        return cosine(given, wanted)
    if kind is MetricType.R2:
        return given.reshape(len(given), -1)
    off = (given - wanted).reshape(len(given), -1)
    return numpy.asarray((off**2 if kind is MetricType.MSE else abs(off)).mean(axis=1))
