"""Gates: pure functions of the figures. Pass, Fail, or Inconclusive: too little data to tell.

Everything is brought into one form. For goals that compare, `worse` is how much worse the result is than the original,
whichever way the metric points, and the gate demands that it is at most a limit: MaxDegradation v is `worse ≤ v`,
MinImprovement v is `worse ≤ -v`. Percentages are of the original's measured value. A quality metric passes when the
whole interval keeps the limit and fails when none of it does; size and latency are compared as they were measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from . import gate_sentences as sentences
from . import intervals
from .defaults import EffectiveGate, with_defaults
from .evaluation import LATENCY_METRIC, SIZE_METRIC, Gate, Goal, MeasuredOn, OnInconclusive
from .figures import Figures, MetricFigure
from .intervals import Interval
from .reasons import Reason
from .resources import GateOutcome
from .verification import ServedFigures

Outcome = Literal["Pass", "Fail", "Inconclusive"]

LEAST_SAMPLES = 30
"""Test samples, or groups of them, below which a standard error by bootstrap is not relied on."""
MOST_SAMPLES = 1e7
"""More than this is not asked of anybody."""

_PERCENT = frozenset({Goal.PERCENT_MAX_DEGRADATION, Goal.PERCENT_MIN_IMPROVEMENT})
_IMPROVING = frozenset({Goal.MIN_IMPROVEMENT, Goal.PERCENT_MIN_IMPROVEMENT})


@dataclass(frozen=True)
class Verdict:
    """All gates together."""

    accepted: bool
    """Whether the result may be served."""
    reason: Reason
    """GatesPassed, GateFailed or GateInconclusive."""
    message: str
    """The sentences of the gates that decided, for a person."""


def judge(figures: Figures, gates: Sequence[Gate]) -> list[GateOutcome]:
    """Return the outcome of each gate, in order. A metric that was not measured is Inconclusive."""
    return [_judge(_find(figures, gate.metric), with_defaults(gate)) for gate in gates]


def judge_served(figures: ServedFigures, gates: Sequence[Gate]) -> list[GateOutcome]:
    """Return the outcome of each gate on a serving runtime's own answers, in order."""
    return [_judge(_find_served(figures, gate.metric), with_defaults(gate)) for gate in gates]


def measured_on(place: MeasuredOn, gates: Sequence[Gate] | None) -> tuple[Gate, ...]:
    """Return those of `gates` that judge what was measured there, in order."""
    return tuple(gate for gate in gates or () if with_defaults(gate).measured_on is place)


def overall(outcomes: Sequence[GateOutcome], gates: Sequence[Gate]) -> Verdict:
    """Return what `outcomes` of `gates` amount to: all must pass, or be inconclusive where that counts as a pass."""
    failed = [outcome for outcome in outcomes if outcome.outcome == "Fail"]
    unclear = [
        outcome
        for outcome, gate in zip(outcomes, gates, strict=True)
        if outcome.outcome == "Inconclusive" and with_defaults(gate).on_inconclusive is OnInconclusive.FAIL
    ]
    if failed:
        return Verdict(False, Reason.GATE_FAILED, _joined(failed))
    if unclear:
        return Verdict(False, Reason.GATE_INCONCLUSIVE, _joined(unclear))
    return Verdict(True, Reason.GATES_PASSED, _joined(outcomes) or "No gates are set: any result is accepted.")


def missing_metrics(figures: Figures, gates: Sequence[Gate]) -> list[str]:
    """Return the metrics of `gates` that `figures` do not hold, in order, each once."""
    return list(dict.fromkeys(gate.metric for gate in gates if _find(figures, gate.metric) is None))


def _joined(outcomes: Sequence[GateOutcome]) -> str:
    return " ".join(f"{outcome.message}." for outcome in outcomes)


def _judge(found: MetricFigure | None, gate: EffectiveGate) -> GateOutcome:
    if found is None:
        return _outcome(gate, "Inconclusive", f"{gate.metric} was not measured")
    if not (math.isfinite(found.original) and math.isfinite(found.compressed)):
        values = f"{found.original} of the original and {found.compressed} of the result"
        return _outcome(gate, "Fail", f"{gate.metric} cannot be compared: its values are {values}")
    if gate.goal is Goal.THRESHOLD:
        return _judge_level(found, gate)
    return _judge_change(found, gate)


def _judge_level(found: MetricFigure, gate: EffectiveGate) -> GateOutcome:
    """Judge the result by itself. With the sign turned where higher is better, it must be at most the limit."""
    sampled = _is_sampled(found)
    bounds = _level_bounds(found, gate.confidence)
    sign = -1.0 if found.higher_is_better else 1.0
    said = sentences.level(
        gate.metric,
        found.compressed,
        bounds if sampled else None,
        bar=gate.value,
        at_least=found.higher_is_better,
        confidence=gate.confidence,
        samples=found.samples if sampled else None,
        groups=found.groups,
    )
    demand = sentences.demand(gate.metric, gate.value, at_least=found.higher_is_better, percent=False)
    turned = bounds and Interval(*sorted((sign * bounds.low, sign * bounds.high)))
    comparison = _Comparison(turned, sign * found.compressed, sign * gate.value, *_counted(found))
    return _outcome(gate, comparison.outcome, f"{said}; {demand}{comparison.doubt}")


def _judge_change(found: MetricFigure, gate: EffectiveGate) -> GateOutcome:
    """Judge the result against the original."""
    percent, improving, sampled = gate.goal in _PERCENT, gate.goal in _IMPROVING, _is_sampled(found)
    if percent and found.original == 0:
        return _outcome(gate, "Inconclusive", f"{gate.metric} of the original is 0: there is no percentage of that")
    scale = 100 / abs(found.original) if percent else 1.0
    bounds = change_bounds(found, gate.confidence)
    scaled = bounds and Interval(scale * bounds.low, scale * bounds.high)
    limit = -gate.value if improving else gate.value
    comparison = _Comparison(scaled, scale * _worse(found), limit, *_counted(found))
    said = sentences.change(
        gate.metric,
        found.original,
        found.compressed,
        comparison.estimate,
        scaled if sampled else None,
        bar=gate.value,
        improving=improving,
        percent=percent,
        confidence=gate.confidence,
        samples=found.samples if sampled else None,
        groups=found.groups,
    )
    demand = sentences.demand(gate.metric, gate.value, at_least=improving, percent=percent)
    return _outcome(gate, comparison.outcome, f"{said}; {demand}{comparison.doubt}")


@dataclass(frozen=True)
class _Comparison:
    """Something that must be at most `limit`."""

    bounds: Interval | None
    """None: its error is not known."""
    estimate: float
    limit: float
    units: int
    kind: str
    """What `units` counts: samples or groups."""

    @property
    def outcome(self) -> Outcome:
        if self.bounds is None:
            return "Inconclusive"
        if self.bounds.high <= self.limit or math.isclose(self.bounds.high, self.limit, rel_tol=1e-9):
            return "Pass"
        return "Fail" if self.bounds.low > self.limit else "Inconclusive"

    @property
    def doubt(self) -> str:
        """The end of the sentence: that so few cannot tell, and about how many might."""
        if self.outcome != "Inconclusive":
            return ""
        return f"; {sentences.too_few(self.units, self.kind, self._enough())}"

    def _enough(self) -> int | None:
        """Return how many units would tell if nothing but the width of the interval changed; None: no telling."""
        if self.bounds is None or self.estimate == self.limit:
            return None
        reach = self.bounds.high - self.estimate if self.estimate < self.limit else self.estimate - self.bounds.low
        excess = reach / abs(self.limit - self.estimate)
        if not excess < math.sqrt(MOST_SAMPLES / max(self.units, 1)):
            return None
        wanted = self.units * excess**2
        step = int(10 ** max(len(str(math.ceil(wanted))) - 2, 0))
        return math.ceil(wanted / step) * step


def _outcome(gate: Gate, outcome: Outcome, message: str) -> GateOutcome:
    return GateOutcome(metric=gate.metric, goal=gate.goal, outcome=outcome, message=message)


def _find(figures: Figures, metric: str) -> MetricFigure | None:
    """Return the figure of `metric`; of size and latency too, as metrics without any error."""
    if metric == SIZE_METRIC:
        return _exact(metric, figures.original_bytes, figures.compressed_bytes)
    if metric == LATENCY_METRIC:
        first = next(iter(figures.latency), None)
        return None if first is None else _exact(metric, first.original_p50, first.compressed_p50)
    return next((figure for figure in figures.metrics if figure.name == metric), None)


def _find_served(figures: ServedFigures, metric: str) -> MetricFigure | None:
    """Return the figure of `metric`; of latency the server's alone, as a Threshold looks at nothing else."""
    if metric == LATENCY_METRIC:
        first = next(iter(figures.latency), None)
        return None if first is None else _exact(metric, first.p50, first.p50)
    return next((figure for figure in figures.metrics if figure.name == metric), None)


def _exact(metric: str, original: float, compressed: float) -> MetricFigure:
    return MetricFigure(name=metric, original=original, compressed=compressed, higher_is_better=False, samples=0)


def _is_sampled(found: MetricFigure) -> bool:
    """Return whether the figure stands for more than was measured, and so has an error."""
    return found.name not in {SIZE_METRIC, LATENCY_METRIC}


def _counted(found: MetricFigure) -> tuple[int, str]:
    """Return how many were drawn from the world, and what they are."""
    return (found.samples, "samples") if found.groups is None else (found.groups, "groups")


def _worse(found: MetricFigure) -> float:
    """Return by how much the result is worse, in the metric's own unit; negative: better."""
    return (found.original - found.compressed) * (1 if found.higher_is_better else -1)


def _level_bounds(found: MetricFigure, confidence: float) -> Interval | None:
    if not _is_sampled(found):
        return Interval(found.compressed, found.compressed)
    if found.pairs is not None and found.samples > 0:
        worth = _worth(found, found.compressed_design_effect, confidence)
        if worth is None:
            return None
        right = round(found.compressed * found.samples)
        return intervals.proportion(right * worth / found.samples, worth, confidence)
    bounds = _normal_bounds(found.compressed, found.compressed_standard_error, found, confidence)
    return bounds and bounds.within(*_reach(found))


def change_bounds(found: MetricFigure, confidence: float) -> Interval | None:
    """Return the bounds of how much worse the result is, in the metric's own unit."""
    worse = _worse(found)
    if not _is_sampled(found):
        return Interval(worse, worse)
    if found.pairs is not None and found.samples > 0:
        worth = _worth(found, found.design_effect, confidence)
        if worth is None:
            return None
        lost, won = (
            count * worth / found.samples for count in (found.pairs.original_only, found.pairs.compressed_only)
        )
        return intervals.paired_difference(lost, won, worth, confidence)
    bounds = _normal_bounds(worse, found.standard_error, found, confidence)
    least, most = _reach(found)
    return bounds and bounds.within(least - most, most - least)


def _reach(found: MetricFigure) -> tuple[float, float]:
    """Return between which values every model is."""
    return (-math.inf if found.least is None else found.least, math.inf if found.most is None else found.most)


def _worth(found: MetricFigure, design_effect: float | None, confidence: float) -> float | None:
    """Return how many samples drawn one by one say as much as these; None: too few groups to tell."""
    if found.groups is None:
        return found.samples
    if found.groups < LEAST_SAMPLES or design_effect is None:
        return None
    return intervals.worth(found.samples, design_effect, found.groups, confidence)


def _normal_bounds(estimate: float, error: float | None, found: MetricFigure, confidence: float) -> Interval | None:
    if error is None or not math.isfinite(error) or _counted(found)[0] < LEAST_SAMPLES:
        return None
    return intervals.normal(estimate, error, confidence, found.groups)
