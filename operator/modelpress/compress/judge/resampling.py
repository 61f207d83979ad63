"""What is drawn anew when the error of a metric is asked for: samples, or groups of samples that belong together.

Passages of one document, frames of one video or tokens of one text are alike, so that many of them say less than as
many from everywhere. What was drawn from the world are the documents, and so it is documents that are drawn anew: the
cluster bootstrap (Davison and Hinkley 1997, section 3.8). What it lacks for few groups, a factor √(G/(G-1)), is put in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

Array = NDArray[numpy.generic]
Rows = NDArray[numpy.int64]

UNSEEN = 1.82
"""By the number of units: the standard error of shares of which no unit shows a difference. Where none of n units is
lost, up to 3 in n may be all the same, with 95 % confidence (the rule of three: Hanley and Lippman-Hand 1983, JAMA
249:1743): 1.645 of these."""

SKEWED = 0.65
"""By how many of its standard errors the bound of a mean lies further off, for each unit of the skewness of that mean:
(2z² + 1)/6z at 95 % confidence (Johnson 1978, JASA 73:536). Losses that a few samples make up are skewed."""

Statistic = Callable[[Rows], float]
"""Rows of samples → the metric over them."""


@dataclass(frozen=True)
class Units:
    """What a test set consists of."""

    samples: int
    groups: tuple[Rows, ...] | None = None
    """Rows of each group. None: each sample stands for itself."""

    @classmethod
    def of(cls, samples: int, group: Array | None) -> Units:
        """Return the units of so many samples; `group` (samples,) has equal values where samples belong together."""
        if group is None:
            return cls(samples)
        _, place = numpy.unique(group, return_inverse=True)
        order = numpy.argsort(place, kind="stable")
        return cls(samples, tuple(numpy.split(order, numpy.flatnonzero(numpy.diff(place[order])) + 1)))

    @property
    def number(self) -> int | None:
        """Number of groups; None without any."""
        return None if self.groups is None else len(self.groups)

    def draw(self, random: numpy.random.Generator) -> Rows:
        """Return the rows of as many units as there are, drawn with replacement."""
        if self.groups is None:
            return random.integers(0, self.samples, self.samples)
        chosen = random.integers(0, len(self.groups), len(self.groups))
        return numpy.concatenate([self.groups[place] for place in chosen])

    def errors(
        self, original: Statistic, result: Statistic, times: int, seed: int, *, shares: bool = False
    ) -> tuple[float, float]:
        """Return the standard errors of (result - original) and of result, over so many resamples.

        `shares`: both lie between 0 and 1, and a unit that is lost takes its share away; so that units none of which
        shows a difference do not pass for proof that no other would.
        """
        random = numpy.random.default_rng(seed)
        pairs = []
        for _ in range(times):
            rows = self.draw(random)
            pairs.append((original(rows), result(rows)))
        before, after = numpy.asarray(pairs, numpy.float64).T
        few = 1.0 if self.groups is None else math.sqrt(len(self.groups) / max(len(self.groups) - 1, 1))
        if not shares:
            return few * _of_means(after - before), few * _of_means(after)
        units = self.number or self.samples
        changed, alone = (few * float(numpy.nanstd(values)) for values in (after - before, after))
        return _of_counts(changed, units), _of_counts(alone, units)

    def design_effect(self, values: NDArray[numpy.float64]) -> float | None:
        """Return how many samples say as much about the mean of `values` (samples,) as one drawn by itself would.

        It is the variance of the mean, by the sums of groups, over that of as many samples drawn one by one, and at
        least 1 (Rao and Scott 1992, Biometrics 48:577, equation 2). Values lie within a range of 1, and groups that
        differ throughout may be rare: so one more group is counted in of which every sample differs. Without it the few
        that are seen would say that samples of a group differ one by one. None without groups.
        """
        if self.groups is None:
            return None
        sizes = numpy.asarray([len(rows) for rows in self.groups], numpy.float64)
        off = values - values.mean()
        sums = numpy.asarray([off[rows].sum() for rows in self.groups])
        more = float((sizes**2).sum() / sizes.sum())
        few = len(sizes) / max(len(sizes) - 1, 1)
        return max(1.0, few * float((sums**2).sum() + more**2) / float((off**2).sum() + more))


def _of_means(resampled: NDArray[numpy.float64]) -> float:
    """Return the standard error of what was resampled, wider where its resamples are skewed."""
    spread = float(numpy.nanstd(resampled))
    if not spread > 0:
        return spread
    skewness = float(numpy.nanmean((resampled - numpy.nanmean(resampled)) ** 3)) / spread**3
    return spread * (1 + SKEWED * abs(skewness))


def _of_counts(error: float, units: int) -> float:
    """Return the standard error of a share over so many units, by that of its resamples.

    Of units that are rarely lost, too few are in most test sets, and their resamples spread too little: the bound of a
    small count x lies at x + c²/2 + c√(x + c²/4) and not at x + c√x (the score interval of a Poisson's mean: Garwood
    1936, Biometrika 28:437, compares them). Without any it is `UNSEEN`.
    """
    half = UNSEEN / 2
    return (half + math.hypot(error * units, half)) / units
