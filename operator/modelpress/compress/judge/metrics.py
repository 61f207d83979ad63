"""Metrics of original and result over the same samples, by torchmetrics, out of what was kept of each sample.

Accuracy on one label a sample yields discordant pairs; every other metric the standard error of the paired difference,
by bootstrap over samples, or over groups of samples that belong together (`resampling`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy

from modelpress.api.defaults import EffectiveMetric
from modelpress.api.evaluation import MetricType
from modelpress.api.figures import DiscordantPairs, MetricFigure
from modelpress.api.reasons import Reason

from ..errors import Judged
from . import ranking
from .gathering import Array, Gathered
from .resampling import Statistic, Units

RESAMPLES, WHOLE_RESAMPLES, F1_RESAMPLES = 1000, 500, 200
"""Of a mean, of a metric over all samples together, and of the slowest of those."""
RANGES: Mapping[MetricType, tuple[float | None, float | None]] = {
    MetricType.ACCURACY: (0.0, 1.0),
    MetricType.F1: (0.0, 1.0),
    MetricType.AUROC: (0.0, 1.0),
    MetricType.AGREEMENT: (0.0, 1.0),
    MetricType.COSINE: (-1.0, 1.0),
    MetricType.R2: (None, 1.0),
    MetricType.PERPLEXITY: (1.0, None),
    MetricType.MSE: (0.0, None),
    MetricType.MAE: (0.0, None),
}
"""The least and the greatest value of each type; of what a function of the source computes neither is known."""
SHARES = frozenset(kind for kind, ends in RANGES.items() if ends == (0.0, 1.0))
WHOLE = frozenset({MetricType.ACCURACY, MetricType.AUROC, MetricType.R2, MetricType.PERPLEXITY})
"""Types that are no mean over samples; accuracy is one where each sample has one label."""


class Scorer:
    """One metric, told batch after batch."""

    def __init__(self, metric: EffectiveMetric, output: str) -> None:
        self.metric = metric
        self.output = output
        """What is measured."""
        self._kept = Gathered(metric, output)

    def add(self, original: Array, result: Array, target: Array | None) -> None:
        """Count a batch: answers of both models, (samples, …), and the truth; None: the original's answers."""
        self._kept.add(original, result, target)

    def take(self, original: Array, result: Array) -> None:
        """Count a batch that was scored already: a number for each sample, (samples,), of both models."""
        self._kept.take(original, result)

    def figure(self, seed: int, group: Array | None = None) -> MetricFigure:
        """Return the metric over all that was counted; `group` (samples,) says which samples belong together."""
        self._kept.settle()
        original, result = (self._kept.together(values) for values in self._kept.values)
        told = self._told(original)
        original, result = original[told], result[told]
        units = Units.of(len(result), None if group is None else group[told])
        if self.metric.type is MetricType.F1:
            return self._f1(original, result, told, units, seed)
        one_label = self.metric.type is MetricType.ACCURACY and all(part.shape[1] == 1 for part in self._kept.labels)
        if one_label:
            original, result = original[:, 0], result[:, 0]
        elif self.metric.type in WHOLE:
            return self._of_all(original, result, told, units, seed)
        values = float(original.mean()), float(result.mean())
        if one_label or self.metric.type is MetricType.AGREEMENT:
            right, still_right = original > 0.5, result > 0.5
            pairs = DiscordantPairs(
                original_only=int((right & ~still_right).sum()), compressed_only=int((still_right & ~right).sum())
            )
            change = still_right.astype(numpy.float64) - right
            return self._figure(*values, units).model_copy(
                update={
                    "pairs": pairs,
                    "design_effect": units.design_effect(change),
                    "compressed_design_effect": units.design_effect(still_right.astype(numpy.float64)),
                }
            )
        errors = units.errors(lambda rows: original[rows].mean(), lambda rows: result[rows].mean(), RESAMPLES, seed)
        return self._figure(*values, units, errors)

    def _told(self, original: Array) -> Array | slice:
        """Return the rows of samples of which a label is counted: the others are no samples, nor is a group of them."""
        if self._kept.counted:
            told = numpy.asarray(self._kept.together(self._kept.counted).any(axis=1))
        elif self.metric.type is MetricType.PERPLEXITY:
            told = numpy.asarray(original[:, 1] > 0)
        else:
            return slice(None)
        if not told.any():
            raise Judged(
                Reason.EVALUATION_FAILED,
                f"metric {self.metric.name}: ignore_index leaves out every label of the test data",
            )
        return slice(None) if told.all() else told

    def _of_all(self, original: Array, result: Array, told: Array | slice, units: Units, seed: int) -> MetricFigure:
        """Return a metric that is no mean over samples."""
        if self.metric.type is MetricType.AUROC and original.shape[1] > 2 and not ranking.are_probabilities(original):
            original, result = ranking.against_rest(original), ranking.against_rest(result)
        before, after = self._statistic(original, told), self._statistic(result, told)
        every = numpy.arange(len(result))
        values = before(every), after(every)
        if not numpy.isfinite(values).all():
            raise Judged(
                Reason.EVALUATION_FAILED,
                f"metric {self.metric.name}: the test data cannot tell it (for auroc each class needs samples in it "
                "and outside of it, for r2 the truth must differ): use other test data",
            )
        shares = self.metric.type in SHARES
        return self._figure(*values, units, units.errors(before, after, WHOLE_RESAMPLES, seed, shares=shares))

    def _statistic(self, values: Array, told: Array | slice) -> Statistic:
        """Return the metric as a function of rows of `values`, which are the rows `told` of all samples."""
        if self.metric.type is MetricType.PERPLEXITY:
            return lambda rows: ranking.perplexity(values[rows])
        if self.metric.type is MetricType.ACCURACY:
            return lambda rows: ranking.share(values[rows])
        truth = self._kept.together(self._kept.labels)[told]
        if self.metric.type is MetricType.R2:
            return lambda rows: ranking.r2(values[rows], truth[rows])
        counted = self._kept.together(self._kept.counted)[told]

        def area(rows: Array) -> float:
            kept = counted[rows]
            return ranking.auroc(values[rows].transpose(0, 2, 1)[kept], truth[rows][kept])

        return area

    def _f1(self, original: Array, result: Array, told: Array | slice, units: Units, seed: int) -> MetricFigure:
        from .computing import f1  # noqa: PLC0415

        labels, counted = (self._kept.together(parts)[told] for parts in (self._kept.labels, self._kept.counted))
        average, classes = self.metric.args.get("average", "macro"), max(self._kept.classes, 2)

        def score(predicted: Array) -> Statistic:
            def of_rows(rows: Array) -> float:
                kept = counted[rows]
                return f1(predicted[rows][kept], labels[rows][kept], classes, average)

            return of_rows

        before, after = score(original), score(result)
        every = numpy.arange(len(labels))
        return self._figure(
            before(every), after(every), units, units.errors(before, after, F1_RESAMPLES, seed, shares=True)
        )

    def _figure(
        self, original: float, compressed: float, units: Units, errors: tuple[float, float] | None = None
    ) -> MetricFigure:
        """`errors`: standard errors of the difference and of the result."""
        least, most = RANGES.get(self.metric.type, (None, None))
        return MetricFigure(
            name=self.metric.name,
            original=original,
            compressed=compressed,
            higher_is_better=self.metric.higher_is_better,
            least=least,
            most=most,
            samples=units.samples,
            groups=units.number,
            standard_error=errors and errors[0],
            compressed_standard_error=errors and errors[1],
        )
