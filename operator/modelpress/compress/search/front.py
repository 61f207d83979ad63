"""Which trials are on the Pareto front over bytes, loss and time, and which one is chosen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelpress.api.auto import AutoObjective
from modelpress.api.evaluation import LATENCY_METRIC, SIZE_METRIC

ALIKE = 0.01
"""Sizes that differ by less than this part are the same size."""


@dataclass(frozen=True)
class Point:
    """What a trial came to. Less is better in all of it."""

    bytes: int
    loss: float
    """Upper bound of how much worse it is than the original."""
    time: float
    """Median time of one request by that of the original in alternation: 0.5 is twice as fast."""
    time_low: float
    """Lower bound of it."""
    failing: frozenset[str] = frozenset()
    """Metrics whose gates did not pass."""
    undecided: frozenset[str] = frozenset()
    """Metrics whose gates this data cannot decide, and whose estimates keep them."""
    chance: float = 1.0
    """How likely those are kept that are undecided; 1 without any."""

    @property
    def promising(self) -> bool:
        """Whether a gate is undecided, and none is worse than that."""
        return bool(self.failing) and self.failing <= self.undecided

    def good(self, original: Point) -> bool:
        """Say whether every gate on quality passed that the original passes; size and latency are another matter.

        A gate that this data cannot decide of the original itself passes if the estimate keeps it.
        """
        return self.failing - (self.undecided & original.undecided) <= {SIZE_METRIC, LATENCY_METRIC}

    def score(self, objective: AutoObjective) -> float:
        """Return what the objective makes small."""
        return self.bytes if objective is AutoObjective.SIZE else self.time


def dominates(one: Point, other: Point) -> bool:
    """Say whether `one` is nowhere worse than `other`, and somewhere better."""
    mine, theirs = (one.bytes, one.loss, one.time), (other.bytes, other.loss, other.time)
    return all(a <= b for a, b in zip(mine, theirs, strict=True)) and mine != theirs


def pareto(points: Sequence[Point]) -> list[bool]:
    """Return for each point whether no other dominates it."""
    return [not any(dominates(other, point) for other in points) for point in points]


def choose(points: Sequence[Point], objective: AutoObjective) -> int:
    """Return the place of the best point; the first is the model as it came.

    Of those whose gates all pass it is the best by the objective. Unless that changes the model, it is the one of
    greatest expected saving among those that promise to pass: what it saves, by the chance that it keeps the gates that
    this data cannot decide. If none does either, it is the one that fails the fewest gates, and loses the least.
    """
    passing = [place for place, point in enumerate(points) if not point.failing]
    best = _best(points, passing, objective) if passing else None
    if best:
        return best
    promising = {place: _expected(point, points[0], objective) for place, point in enumerate(points) if point.promising}
    if max(promising.values(), default=0.0) > 0:
        return max(promising, key=lambda place: (promising[place], -points[place].loss, -place))
    if best is not None:
        return best
    return min(range(len(points)), key=lambda place: (len(points[place].failing), points[place].loss, place))


def _expected(point: Point, original: Point, objective: AutoObjective) -> float:
    """Return which part of the original's bytes or time a point saves, by the chance that it passes."""
    return point.chance * (1 - point.score(objective) / original.score(objective))


def _best(points: Sequence[Point], passing: Sequence[int], objective: AutoObjective) -> int:
    """Return the best by the objective of those places.

    What cannot be told from the best counts as the best too, and the other figures decide: a latency within the bounds
    of the fastest goes to the smaller one, a size within 1 % to the one of less loss.
    """
    if objective is AutoObjective.SIZE:
        least = min(points[place].bytes for place in passing)
        alike = [place for place in passing if points[place].bytes <= least * (1 + ALIKE)]
        return min(alike, key=lambda place: (points[place].loss, points[place].time, place))
    fastest = min(points[place].time for place in passing)
    alike = [place for place in passing if points[place].time_low <= fastest]
    return min(alike, key=lambda place: (points[place].bytes, points[place].loss, place))
