"""Bounds hold what they say, and a row is not reached by luck."""

from __future__ import annotations

import numpy as np
import pytest
from bench.compress.statistics import bootstrap, loss_of, speedup


def flips(random: np.random.Generator, seeds: int, samples: int, loss: float, spread: float = 0.0) -> np.ndarray:
    """Return losses of 1, 0, -1 per sample, alike in all seeds but for chance; each seed is off by `spread`."""
    hard = random.random(samples) < 0.06
    lost = np.clip(loss / 0.06 * 0.5 + 0.5 + spread * random.standard_normal((seeds, 1)), 0, 1)
    return np.where(hard, np.where(random.random((seeds, samples)) < lost, 1.0, -1.0), 0.0)


def test_nothing_lost_is_nothing_lost() -> None:
    found = loss_of(np.zeros((5, 100)))
    assert (found.point, found.bound) == (0, 0)


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_the_bound_of_a_loss_is_too_low_in_about_one_of_twenty_runs_at_most(spread: float) -> None:
    random = np.random.default_rng(0)
    runs = 400
    low = sum(loss_of(flips(random, 5, 600, 0.01, spread)).bound < 0.01 for _ in range(runs))
    assert low / runs <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)


def test_more_images_bring_the_bound_nearer() -> None:
    random = np.random.default_rng(0)
    few, many = (loss_of(flips(random, 5, count, 0.0)) for count in (200, 20000))
    assert many.bound - many.point < (few.bound - few.point) / 4


def test_seeds_that_disagree_widen_the_bound() -> None:
    alike, apart = np.tile([1.0, -1.0], (5, 300)), np.tile([1.0, -1.0], (5, 300))
    apart[0], apart[1] = 0.2, -0.2
    assert loss_of(apart).bound > loss_of(alike).bound


def test_repeating_the_same_seed_is_no_evidence() -> None:
    once = flips(np.random.default_rng(0), 1, 400, 0.0)
    assert loss_of(np.tile(once, (5, 1))).bound == pytest.approx(loss_of(once).bound)


def test_a_bootstrap_lies_on_the_bad_side() -> None:
    values = np.random.default_rng(0).normal(1.0, 0.1, 300)
    low, high = bootstrap(values, np.mean, lower=True), bootstrap(values, np.mean, lower=False)
    assert low.bound < low.point == high.point < high.bound
    assert low.point - low.bound == pytest.approx(1.645 * 0.1 / np.sqrt(300), rel=0.2)


def test_a_speedup_is_that_of_the_blocks_however_slow_some_of_them_are() -> None:
    random = np.random.default_rng(0)
    busy = 1 + 10 * (random.random((40, 1)) < 0.3)
    found = speedup(3 * busy * np.ones((40, 2)), busy * np.ones((40, 2)))
    assert (found.point, found.bound) == (3, 3)


def test_a_speedup_seen_in_few_blocks_has_a_low_bound() -> None:
    random = np.random.default_rng(0)
    baseline, candidate = 3 * random.uniform(0.5, 1.5, (40, 2)), random.uniform(0.5, 1.5, (40, 2))
    many, few = speedup(baseline, candidate), speedup(baseline[:6], candidate[:6])
    assert few.point - few.bound > many.point - many.bound > 0
