"""How far a measured figure may be from the truth: bounds that hold with a given confidence each.

Each end of an interval is a one-sided bound. With confidence 0.95 the truth lies above the upper end in at most 5 % of
all test sets, and below the lower end in at most 5 %; that is what a gate needs, which looks at one side. Formulas,
sources and their exact error rates: docs/gates.md. Pure functions of numbers, standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

CONFIDENCE = 0.95
"""Of bounds for which nobody asks for another."""
_BISECTIONS = 60
_FRACTION_TERMS = 10_000
_TINY = 1e-300


class Interval(NamedTuple):
    """Two bounds, each holding with the confidence that was asked for."""

    low: float
    high: float

    def within(self, least: float, most: float) -> Interval:
        """Return what of it lies between these two: the truth cannot lie elsewhere."""
        return Interval(*(min(max(end, least), most) for end in self))


def normal(estimate: float, standard_error: float, confidence: float, groups: int | None = None) -> Interval:
    """Return estimate ± z · standard error; where the error is that of so many groups, Student's t in place of z."""
    z = NormalDist().inv_cdf(confidence) if groups is None else student(confidence, groups - 1)
    return Interval(estimate - z * standard_error, estimate + z * standard_error)


def student(confidence: float, degrees: int) -> float:
    """Return the quantile of Student's t at `confidence`, 0.5 to 1, with so many degrees of freedom, 1 at least."""

    def beyond(t: float) -> float:
        return 0.5 * _incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t))

    return _bisect(lambda t: beyond(t) > 1 - confidence, 0.0, 1e4)


def worth(samples: int, design_effect: float, groups: int, confidence: float) -> float:
    """Return how many samples drawn one by one say as much as `samples` in `groups`.

    Korn and Graubard 1998 (Survey Methodology 24:193): divided by the design effect, and, since that was estimated from
    so many groups, by the square of t over z.
    """
    return samples / design_effect * (NormalDist().inv_cdf(confidence) / student(confidence, groups - 1)) ** 2


def proportion(successes: float, samples: float, confidence: float) -> Interval:
    """Return the exact bounds of a proportion (Clopper and Pearson 1934), from `successes` of `samples` > 0."""
    tail = 1 - confidence
    low = 0.0
    if successes > 0:
        low = _bisect(lambda p: _at_least(successes, samples, p) < tail, 0.0, 1.0)
    high = 1.0
    if successes < samples:
        high = _bisect(lambda p: 1 - _at_least(successes + 1, samples, p) >= tail, 0.0, 1.0)
    return Interval(low, high)


def paired_difference(first_only: float, second_only: float, samples: float, confidence: float) -> Interval:
    """Return the bounds of the difference of two proportions, first minus second, on the same `samples` > 0.

    `first_only` counts samples that only the first got right. Tango's score interval (1998) with a continuity
    correction of one sample: without it, the stated confidence is missed at small counts.
    """
    z = NormalDist().inv_cdf(confidence)

    def highest(ours: float, theirs: float) -> float:
        estimate = (ours - theirs) / samples
        return _bisect(lambda limit: tango(ours, theirs, samples, limit) > -z, estimate, 1.0)

    return Interval(-highest(second_only, first_only), highest(first_only, second_only))


def tango(first_only: float, second_only: float, samples: float, limit: float, correction: float = 1.0) -> float:
    """Return how many standard errors the difference lies above `limit`, were `limit` the truth.

    `correction`, in samples, is added to the difference, against the steps that counts come in.

    The error is that of the most likely table whose difference is `limit`; q is its share of second-only samples.
    """
    distance = first_only - second_only - samples * limit + correction
    a = 2 * samples
    b = -first_only - second_only + (2 * samples - first_only + second_only) * limit
    c = -second_only * limit * (1 - limit)
    q = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = samples * (2 * q + limit * (1 - limit))
    if variance <= 0:
        return math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def _bisect(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return where `holds` turns from true, near `low`, to false, near `high`; `high` if it never does."""
    if holds(high):
        return high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return (low + high) / 2


def _at_least(successes: float, samples: float, p: float) -> float:
    """Return the chance of `successes` > 0 or more in `samples`: the regularized incomplete beta function."""
    return _incomplete_beta(successes, samples - successes + 1, p)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Return I_x(a, b), by its continued fraction (Abramowitz and Stegun, 26.5.8)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    numerator, denominator, value = 1.0, 1 - (a + b) * x / (a + 1), 0.0
    denominator = 1 / _away_from_zero(denominator)
    value = denominator
    for term in range(1, _FRACTION_TERMS):
        even = term * (b - term) * x / ((a + 2 * term - 1) * (a + 2 * term))
        odd = -(a + term) * (a + b + term) * x / ((a + 2 * term) * (a + 2 * term + 1))
        for coefficient in (even, odd):
            denominator = 1 / _away_from_zero(1 + coefficient * denominator)
            numerator = _away_from_zero(1 + coefficient / numerator)
            value *= denominator * numerator
        if abs(denominator * numerator - 1) < 1e-14:
            break
    return math.exp(logarithm) * value / a


def _away_from_zero(number: float) -> float:
    return number if abs(number) > _TINY else _TINY
