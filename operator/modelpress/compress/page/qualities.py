"""What the page says of metrics and of the gates on them. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelpress.api.evaluation import Goal
from modelpress.api.figures import MetricFigure
from modelpress.api.gate_sentences import counted
from modelpress.api.gates import change_bounds
from modelpress.api.intervals import CONFIDENCE
from modelpress.api.resources import GateOutcome
from modelpress.store.report import Report

from . import numbers


@dataclass(frozen=True)
class Verdict:
    """All gates together."""

    word: str
    mood: str
    sentence: str


@dataclass(frozen=True)
class Quality:
    """One metric's change, positive is better."""

    name: str
    original: str
    compressed: str
    change: str
    bounds: str
    low: float
    middle: float
    high: float
    reach: float
    limit: float | None
    """What a gate allows at worst, negative."""


def verdict(gates: Sequence[GateOutcome]) -> Verdict:
    """Return what the gates amount to, as they were set when it was measured."""
    if not gates:
        return Verdict("Measured", "", "No gates were set: any result is accepted.")
    counts = {outcome: sum(gate.outcome == outcome for gate in gates) for outcome in ("Pass", "Fail", "Inconclusive")}
    if counts["Fail"]:
        unsure = f", {counts['Inconclusive']} cannot be told yet" if counts["Inconclusive"] else ""
        return Verdict("Gate failed", "bad", f"{counts['Fail']} of {len(gates)} gates did not pass{unsure}.")
    if counts["Inconclusive"]:
        return Verdict("Cannot tell", "unsure", f"{counts['Inconclusive']} of {len(gates)} gates need more test data.")
    return Verdict("Passed", "good", "All gates passed." if len(gates) > 1 else "The gate passed.")


def qualities(report: Report) -> list[Quality]:
    """Return each metric's change with its bounds, and what its gate allows."""
    return [_quality(metric, report.gates, report.evaluation) for metric in report.figures.metrics]


def _quality(metric: MetricFigure, gates: Sequence[GateOutcome], evaluation: Mapping[str, object]) -> Quality:
    sign = 1 if metric.higher_is_better else -1
    moved = metric.compressed - metric.original
    bounds = change_bounds(metric, CONFIDENCE)
    low, high = (-bounds.high, -bounds.low) if bounds else (sign * moved, sign * moved)
    limit = _limit(metric.name, evaluation)
    reach = 1.25 * max(abs(low), abs(high), abs(limit or 0.0), 1e-9)
    least, most = (low, high) if metric.higher_is_better else (-high, -low)  # in the metric's own sense, as `change`
    ends = f"{numbers.signed(least)} … {numbers.signed(most)}"
    said = f"{100 * CONFIDENCE:g} % bounds {ends}" if bounds else "too few to say"
    return Quality(
        name=metric.name,
        original=numbers.figure(metric.original),
        compressed=numbers.figure(metric.compressed),
        change=numbers.signed(moved),
        bounds=f"{said}, {counted(metric.samples, metric.groups)}{_scored_by(metric.name, evaluation)}",
        low=low,
        middle=sign * moved,
        high=high,
        reach=reach,
        limit=limit,
    )


def _scored_by(metric: str, evaluation: Mapping[str, object]) -> str:
    """Return who scored the samples, if it was a function of the model's source: the figure is as good as that is."""
    metrics = evaluation.get("metrics")
    for one in metrics if isinstance(metrics, list) else ():
        if isinstance(one, dict) and one.get("name") == metric and one.get("entrypoint"):
            return f", scored by {one['entrypoint']} of the source"
    return ""


def _limit(metric: str, evaluation: Mapping[str, object]) -> float | None:
    """Return what a MaxDegradation gate on `metric` allows, negative; None without one."""
    gates = evaluation.get("gates")
    for gate in gates if isinstance(gates, list) else ():
        if isinstance(gate, dict) and gate.get("metric") == metric and gate.get("goal") == Goal.MAX_DEGRADATION:
            return -float(gate["value"])
    return None
