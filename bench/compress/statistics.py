"""What figures of a sample say about the world: bounds, each with 95 % confidence on its one side. Pure.

A row of the table is reached only when the bound reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from modelpress.compress.judge.latency import median_bounds

Floats = NDArray[Any]
CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A figure, and how bad it may be in truth."""

    point: float
    bound: float
    """On the bad side of the point."""


def loss_of(losses: Floats) -> Estimate:
    """Return the mean loss and its upper bound; `losses` [seeds, samples] are paired, baseline minus candidate.

    Samples are the same in all seeds, so the unit is the sample, over whose seeds is averaged. Seeds differ by more
    than their samples do when training is fickle: the bound over seeds (Student's t) holds if it is the worse.
    """
    point = float(losses.mean())
    seeds, samples = losses.shape
    over_samples = float(norm.ppf(CONFIDENCE)) * _standard_error(losses.mean(0), samples)
    over_seeds = float(t.ppf(CONFIDENCE, seeds - 1)) * _standard_error(losses.mean(1), seeds) if seeds > 1 else 0.0
    return Estimate(point, point + max(over_samples, over_seeds))


def _standard_error(values: Floats, count: int) -> float:
    return float(values.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf


def bootstrap(values: Floats, figure: Callable[[Floats], Any], *, lower: bool, seed: int = 0) -> Estimate:
    """Return `figure` of the values and its bound by the percentile bootstrap over the first axis, the units.

    Efron and Tibshirani 1993, section 13.3. `figure` reduces the last axis.
    """
    random = np.random.default_rng(seed)
    found = np.array([figure(values[random.integers(0, len(values), len(values))]) for _ in range(RESAMPLES)])
    return Estimate(float(figure(values)), float(np.quantile(found, 1 - CONFIDENCE if lower else CONFIDENCE)))


def speedup(baseline: Floats, candidate: Floats) -> Estimate:
    """Return the median of the ratios of single blocks and its lower bound, from seconds [blocks, times in a block].

    By order statistics, with 97.5 % confidence: times have tails, and this asks nothing of their distribution.
    """
    low, middle, _ = median_bounds(baseline.sum(1) / candidate.sum(1))
    return Estimate(middle, low)
