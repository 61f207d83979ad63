"""Bounds keep the confidence they state: checked exactly, by going through every possible test set of a size."""

from __future__ import annotations

import math
from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from modelpress.api.intervals import normal, paired_difference, proportion

CONFIDENCE = 0.95
_LOG_FACTORIAL = np.cumsum(np.log(np.maximum(np.arange(2000), 1)))


def chance(first_only: np.ndarray, second_only: np.ndarray, samples: int, p: float, q: float) -> np.ndarray:
    """Return the chance of each table, if `p` and `q` are the true shares of discordant samples."""
    both = samples - first_only - second_only
    counts = _LOG_FACTORIAL[samples] - sum(_LOG_FACTORIAL[count] for count in (first_only, second_only, both))
    shares = ((first_only, p), (second_only, q), (both, 1 - p - q))
    return np.exp(counts + sum(np.where(count > 0, count * math.log(max(share, 1e-300)), 0) for count, share in shares))


@pytest.mark.parametrize(("samples", "margin"), list(product((20, 40, 60), (-0.05, 0.0, 0.02, 0.05, 0.1, 0.2))))
def test_a_loss_at_the_margin_passes_in_at_most_5_percent_of_all_test_sets(samples: int, margin: float) -> None:
    tables = [(b, c) for b in range(samples + 1) for c in range(samples + 1 - b)]
    passing = [table for table in tables if _high(*table, samples) <= margin]
    if not passing:
        assert samples * margin < 5, "so few samples can never pass"
        return
    first_only, second_only = np.array(passing).T
    for discordance in np.linspace(abs(margin), 1, 12):
        p, q = (discordance + margin) / 2, (discordance - margin) / 2
        assert chance(first_only, second_only, samples, p, q).sum() <= 1 - CONFIDENCE


@cache
def _high(first_only: int, second_only: int, samples: int) -> float:
    """The upper bound; where the estimate alone is far beyond any margin of these tests, that is enough."""
    if first_only - second_only > 0.2 * samples:
        return 1.0
    return paired_difference(first_only, second_only, samples, CONFIDENCE).high


def test_the_bounds_of_a_difference_turn_with_it() -> None:
    there, back = paired_difference(20, 5, 500, CONFIDENCE), paired_difference(5, 20, 500, CONFIDENCE)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.low < 15 / 500 < there.high


def test_a_difference_without_any_evidence_is_not_taken_for_zero() -> None:
    assert paired_difference(0, 0, 50, CONFIDENCE).high > 0.05
    assert paired_difference(0, 0, 5000, CONFIDENCE).high < 0.001


@pytest.mark.parametrize("samples", [1, 2, 10])
def test_extreme_tables_have_bounds_within_reach(samples: int) -> None:
    for table in ((0, 0), (samples, 0), (0, samples)):
        low, high = paired_difference(*table, samples, CONFIDENCE)
        assert -1 <= low <= (table[0] - table[1]) / samples <= high <= 1


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3000), st.floats(0, 1), st.sampled_from((0.8, 0.95, 0.999)))
def test_a_proportion_has_the_bounds_of_clopper_and_pearson(samples: int, share: float, confidence: float) -> None:
    successes = round(samples * share)
    low, high = proportion(successes, samples, confidence)
    reference = beta.ppf(1 - confidence, successes, samples - successes + 1) if successes else 0
    assert low == pytest.approx(reference, abs=1e-9)
    reference = beta.ppf(confidence, successes + 1, samples - successes) if successes < samples else 1
    assert high == pytest.approx(reference, abs=1e-9)


def test_the_normal_bounds_are_those_of_the_table() -> None:
    assert normal(1.0, 0.1, 0.95) == pytest.approx((1 - 0.1644854, 1 + 0.1644854))
