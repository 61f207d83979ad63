"""What a result costs and brings, measured as the judge measures it, but on the data of the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from modelpress.api import gates
from modelpress.api.defaults import EffectiveMetric, with_defaults
from modelpress.api.evaluation import (
    LATENCY_METRIC,
    SIZE_METRIC,
    Evaluation,
    Gate,
    Goal,
    Metric,
    MetricType,
    OnInconclusive,
    of_ours,
    of_the_source,
)
from modelpress.api.figures import Figures, MetricFigure
from modelpress.api.intervals import CONFIDENCE
from modelpress.api.reasons import Reason

from ..datasets import Samples
from ..errors import Judged
from ..judge.comparing import compare_answers, scorer_of
from ..judge.judging import random_samples
from ..judge.latency import measure, request, summary
from ..judge.models import Model, check_same, open_model
from ..layout import COMPRESSED, ORIGINAL
from ..scoring import Arrays, Calling, Function
from .doubt import chance
from .front import Point

LIKENESS = "likeness"
"""Name of the metric that stands where none can be measured: how alike the answers are to the original's."""
ALLOWED = 1.0
"""Percent that the first metric may lose where no gate says how much."""


@dataclass(frozen=True)
class Measured:
    """What a trial measured."""

    figures: Figures
    speedup: float
    """Median of the original's time by the result's; 1 for the original itself."""
    speedup_low: float
    speedup_high: float


class Measuring:
    """Knows the original, the data, and what is asked of results."""

    def __init__(
        self,
        out: Path,
        samples: Samples | None,
        columns: frozenset[str],
        evaluation: Evaluation,
        seed: int,
        kept: Path | None = None,
        targets: Mapping[str, str] = MappingProxyType({}),
        theirs: Sequence[Function] = (),
    ) -> None:
        """`out`: the folder below which the original lies; `kept`: the one in which its answers stand.

        `targets`: column of each output's target in the test data; `theirs`: what computes the metrics of the source.
        """
        self.kept = kept
        self.theirs = {function.metric.name: function for function in theirs}
        full = with_defaults(evaluation)
        self.seed = seed
        self.threads = full.latency.threads
        self.original = open_model(out, Path(ORIGINAL).parent.name, "the original", self.threads)
        self.samples = samples or random_samples(self.original, seed)
        self.notes: list[str] = []
        self.metrics = self._metrics([self._with_target(one, columns, targets) for one in full.metrics], columns)
        self.batch = full.latency.batch_sizes[0] if self.original.batched else 1
        self.gates = self._gates(evaluation.gates or ())

    def as_it_came(self) -> Measured:
        """Return the figures of the original against itself."""
        return self._measured(self.original)

    def untouched(self, measured: Measured) -> Point:
        """Return the original as a point: it loses nothing for certain, whatever so many samples can tell."""
        point = self.point(measured)
        failing = point.failing - point.undecided
        return replace(point, loss=0.0, time=1.0, time_low=1.0, failing=failing, chance=1.0)

    def measure(self, folder: Path) -> Measured:
        """Return the figures of the result below `folder`. Raises Judged if it does not answer as it must."""
        result = open_model(folder, Path(COMPRESSED).parent.name, "the result", self.threads)
        check_same(self.original, result)
        return self._measured(result)

    def _measured(self, result: Model) -> Measured:
        figures = self._figures(result)
        feeds = request(self.samples.inputs, self.batch, batched=self.original.batched and result.batched)
        detail = measure(self.original, result, feeds, self.batch, self.threads)
        figures = figures.model_copy(update={"latency": (summary(detail),)})
        return Measured(figures, detail.speedup, detail.speedup_low, detail.speedup_high)

    def point(self, measured: Measured) -> Point:
        """Return what the search chooses by."""
        outcomes = gates.judge(measured.figures, self.gates)
        failing = [
            (outcome, gate)
            for outcome, gate in zip(outcomes, self.gates, strict=True)
            if not gates.overall([outcome], [gate]).accepted
        ]
        unclear = [gate for outcome, gate in failing if outcome.outcome == "Inconclusive"]
        chances = [(gate, chance(measured.figures, gate)) for gate in unclear]
        refused = {gate.metric for outcome, gate in failing if outcome.outcome == "Fail"}
        refused |= {gate.metric for gate, kept in chances if not kept}
        return Point(
            bytes=measured.figures.compressed_bytes,
            loss=loss_bound(measured.figures.metrics[0]),
            time=1 / max(measured.speedup, 1e-9),
            time_low=1 / max(measured.speedup_high, 1e-9),
            failing=frozenset(gate.metric for _, gate in failing),
            undecided=frozenset(gate.metric for gate in unclear) - refused,
            chance=min((kept for _, kept in chances), default=1.0),
        )

    def _figures(self, result: Model) -> Figures:
        metrics, agreement = self._scored(result, self.metrics)
        return Figures(
            original_bytes=self.original.size,
            compressed_bytes=result.size,
            metrics=metrics,
            agreement=agreement,
        )

    def _with_target(
        self, metric: EffectiveMetric, columns: frozenset[str], targets: Mapping[str, str]
    ) -> EffectiveMetric:
        """Return the metric with the column that holds its truth in the test data, if that is what tells it here."""
        output = metric.output or self.original.outputs[0].name
        column = targets.get(output)
        if metric.target is not None or output in self.samples.targets or column not in columns:
            return metric
        return metric.model_copy(update={"target": column})

    def _scored(
        self, result: Model, metrics: Sequence[EffectiveMetric]
    ) -> tuple[tuple[MetricFigure, ...], float | None]:
        """Return the figures of `metrics`, and how often both models agree. Raises Judged."""
        ours = {metric.name: scorer_of(metric, self.original, self.samples) for metric in of_ours(metrics)}
        theirs = {metric.name: Calling(self.theirs[metric.name], self.samples) for metric in of_the_source(metrics)}

        def see(rows: slice, before: Arrays, after: Arrays) -> None:
            for calling in theirs.values():
                calling.see(rows, before, after)

        found = compare_answers(self.original, result, self.samples, ours.values(), see, kept=self.kept)
        scorers = ours | {name: calling.scorer for name, calling in theirs.items()}
        figures = tuple(scorers[metric.name].figure(self.seed, self.samples.group) for metric in metrics)
        return figures, found.agreement

    def _metrics(self, wanted: Sequence[EffectiveMetric], columns: frozenset[str]) -> tuple[EffectiveMetric, ...]:
        """Return those of the metrics that this data can tell; if there are none, how alike the answers are."""
        found = []
        for metric in wanted:
            missing = metric.target is not None and metric.target not in columns
            problem = f"there is no column {metric.target}" if missing else self._problem(metric)
            if problem:
                self.notes.append(f"{metric.name} was not measured in the search: {problem}.")
            else:
                found.append(metric)
        return tuple(found) or (self._likeness(),)

    def _problem(self, metric: EffectiveMetric) -> str:
        """Return why this data cannot tell a metric; nothing if it can."""
        try:
            self._scored(self.original, (metric,))
        except Judged as error:
            if error.reason is Reason.ENTRYPOINT_FAILED:
                raise  # the judge would meet the same when everything is tried
            return error.message.rstrip(".")
        return ""

    def _likeness(self) -> EffectiveMetric:
        """Return the metric that every model has: cosine of its answers and the original's, r2 where there is no axis
        to take it over.
        """
        output = self.original.outputs[0]
        kind = MetricType.COSINE if output.shape and output.shape[-1] != 1 else MetricType.R2
        return with_defaults(Metric(name=LIKENESS, type=kind))

    def _gates(self, wanted: tuple[Gate, ...]) -> tuple[Gate, ...]:
        """Return the gates that can be judged; if none limits a metric, one that allows the first to lose a little."""
        known = {metric.name for metric in self.metrics}
        found = tuple(gate for gate in wanted if gate.metric in {SIZE_METRIC, LATENCY_METRIC, *known})
        if any(gate.metric in known for gate in found):
            return found
        name = self.metrics[0].name
        self.notes.append(f"No gate limits what {name} may lose: the search allowed {ALLOWED:g} % of the original's.")
        implied = Gate(
            metric=name,
            goal=Goal.PERCENT_MAX_DEGRADATION,
            value=ALLOWED,
            on_inconclusive=OnInconclusive.PASS,
        )
        return (*found, implied)


def loss_of(figure: MetricFigure) -> float:
    """Return how much worse the result is, in the metric's own unit."""
    return (figure.original - figure.compressed) * (1 if figure.higher_is_better else -1)


def loss_bound(figure: MetricFigure) -> float:
    """Return the upper bound of the loss; the loss itself where too few samples tell no bound."""
    bounds = gates.change_bounds(figure, CONFIDENCE)
    return bounds.high if bounds is not None else loss_of(figure)
