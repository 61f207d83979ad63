"""What the page says of a search: every trial, and two plots of what it cost. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelpress.api.auto import AutoObjective
from modelpress.store.report import Report
from modelpress.store.search import Search, Trial

from . import numbers
from .charts import Dot

WIDE = 4.0
"""Greatest value by the least from which an axis is logarithmic."""


@dataclass(frozen=True)
class Plot:
    """Loss against one other figure."""

    title: str
    low: str
    high: str
    worst: str
    """Greatest loss."""
    axis: str
    dots: tuple[Dot, ...]
    line: tuple[Dot, ...]
    """The front in these two figures, from left to right."""


@dataclass(frozen=True)
class TrialRow:
    """One trial."""

    number: int
    name: str
    figures: str
    mood: str
    word: str
    """`chosen`, `front`, what refused it or could not be decided, or nothing."""


@dataclass(frozen=True)
class SearchPart:
    """The section on the search."""

    sentence: str
    how: str
    plots: tuple[Plot, ...]
    rows: tuple[TrialRow, ...]
    notes: tuple[str, ...]
    loss: str
    sensitivities: tuple[tuple[str, str, float], ...]
    """Name, loss, and its part of the greatest in percent, on a scale of square roots."""


def search(report: Report) -> SearchPart | None:
    """Return what is said of the search; None if the recipe was given."""
    found = report.search
    if found is None:
        return None
    goal = "smallest" if found.objective is AutoObjective.SIZE else "fastest"
    tried = len(found.trials) - 1
    return SearchPart(
        sentence=found.why,
        how=f"Looked for the {goal}: {tried} of at most {found.max_trials} recipes in {numbers.seconds(found.seconds)} "
        f"of at most {numbers.seconds(found.max_seconds)}, on {found.samples:,} samples ({found.data}). The test "
        "data was not looked at.",
        plots=tuple(plot for plot in (_sizes(found), _times(found)) if len(plot.dots) > 1),
        rows=tuple(_row(found, trial) for trial in found.trials),
        notes=found.notes,
        loss=found.loss,
        sensitivities=_sensitivities(found),
    )


def _sizes(found: Search) -> Plot:
    def size(trial: Trial) -> float:
        return float(trial.figures.compressed_bytes) if trial.figures is not None else 0.0

    return _plot(found, "Size and loss", size, numbers.size)


def _times(found: Search) -> Plot:
    def time(trial: Trial) -> float:
        return 1 / max(trial.speedup or 1.0, 1e-6)

    return _plot(found, "Time of an answer and loss", time, lambda value: f"{numbers.times(value)} the time")


def _plot(found: Search, title: str, of: Callable[[Trial], float], words: Callable[[float], str]) -> Plot:
    shown = [trial for trial in found.trials if trial.figures is not None]
    values = [of(trial) for trial in shown]
    losses = [trial.loss_bound or 0.0 for trial in shown]
    wide = min(values) > 0 and max(values) / min(values) > WIDE
    places = _places([math.log(value) for value in values] if wide else values)
    heights = _places(losses)
    dots = tuple(
        Dot(trial.number, x, y, _mood(found, trial)) for trial, x, y in zip(shown, places, heights, strict=True)
    )
    low, high = min(values), max(values)
    return Plot(
        title=title,
        low=words(low),
        high=words(high),
        worst=numbers.figure(max(losses)),
        axis="logarithmic" if wide else "",
        dots=dots,
        line=tuple(_staircase(dots)),
    )


def _places(values: Sequence[float]) -> list[float]:
    """Return values as parts of the way from the least to the greatest."""
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.5 for value in values]


def _staircase(dots: Sequence[Dot]) -> list[Dot]:
    """Return the dots that no other is left of and below, from left to right."""
    found: list[Dot] = []
    for dot in sorted(dots, key=lambda one: (one.x, one.y)):
        if not found or dot.y < found[-1].y:
            found.append(dot)
    return found


def _row(found: Search, trial: Trial) -> TrialRow:
    mood = _mood(found, trial)
    if trial.figures is None:
        return TrialRow(trial.number, trial.name, trial.failure, "refused", "came to nothing")
    word = {"chosen": "chosen", "front": "front"}.get(mood, "")
    word = ", ".join(filter(None, (word, trial.verdict)))
    speed = trial.speedup or 1.0
    bounds = f"{numbers.times(trial.speedup_low or speed)} … {numbers.times(trial.speedup_high or speed)}"
    said = (
        f"{numbers.size(trial.figures.compressed_bytes)}, loses {numbers.signed(trial.loss or 0.0).lstrip('+')}, "
        f"at most {numbers.figure(trial.loss_bound or 0.0)}, {numbers.times(speed)} the speed ({bounds})"
    )
    if trial.figures.latency:
        said += f", {numbers.milliseconds(trial.figures.latency[0].compressed_p50)}"
    return TrialRow(trial.number, trial.name, f"{said}; {numbers.seconds(trial.seconds)}", mood, word)


def _mood(found: Search, trial: Trial) -> str:
    if trial.number == found.chosen:
        return "chosen"
    if set(trial.failing) - {*trial.undecided}:
        return "refused"
    return "front" if trial.front else ""


def _sensitivities(found: Search) -> tuple[tuple[str, str, float], ...]:
    most = max((one.loss for one in found.sensitivities), default=0.0) or 1.0
    return tuple(
        (one.name, numbers.figure(one.loss), 100 * math.sqrt(max(one.loss, 0.0) / most))
        for one in found.sensitivities[:24]
    )
