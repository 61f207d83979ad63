"""How likely a gate is kept that little data cannot decide."""

from __future__ import annotations

from statistics import NormalDist

import pytest

from modelpress.api import gates
from modelpress.api.evaluation import Gate, Goal
from modelpress.api.figures import DiscordantPairs, Figures, MetricFigure
from modelpress.compress.search.doubt import EVEN, chance

TOP1 = Gate(metric="top1", goal=Goal.MAX_DEGRADATION, value=0.03)


def counted(lost: int, samples: int, won: int = 0) -> Figures:
    """Return an accuracy of 1 that fell by so many samples."""
    pairs = DiscordantPairs(original_only=lost, compressed_only=won)
    top1 = MetricFigure(
        name="top1",
        original=0.9,
        compressed=0.9 - (lost - won) / samples,
        higher_is_better=True,
        samples=samples,
        pairs=pairs,
    )
    return Figures(original_bytes=100, compressed_bytes=10, metrics=(top1,))


def averaged(loss: float, error: float | None, samples: int = 100) -> Figures:
    """Return a metric whose loss has a standard error."""
    metric = MetricFigure(
        name="top1",
        original=0.9,
        compressed=0.9 - loss,
        higher_is_better=True,
        samples=samples,
        standard_error=error,
        compressed_standard_error=error,
    )
    return Figures(original_bytes=100, compressed_bytes=10, metrics=(metric,))


def test_an_estimate_beyond_the_limit_promises_nothing() -> None:
    assert gates.judge(counted(1, 32), [TOP1])[0].outcome == "Inconclusive", "one of 32 is more than 0.03"
    assert chance(counted(1, 32), TOP1) == 0.0


def test_the_more_samples_lost_nothing_the_likelier_the_gate_is_kept() -> None:
    found = [chance(counted(0, samples), TOP1) for samples in (20, 64, 100, 140)]
    assert found[0] == EVEN
    assert found == sorted(found) and 0.7 < found[1] < 0.8 and 0.9 < found[3] < 0.95
    assert chance(counted(0, 1000), TOP1) == 0.95, "a gate that passes"


def test_the_more_samples_changed_sides_the_less_likely_it_is_kept() -> None:
    found = [chance(counted(lost, 100, won), TOP1) for lost, won in ((0, 0), (1, 1), (1, 0), (2, 0))]
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(("loss", "error"), [(0.01, 0.02), (0.0, 0.05), (-0.02, 0.05)])
def test_of_a_mean_it_is_the_area_within_the_limit(loss: float, error: float) -> None:
    expected = NormalDist(loss, error).cdf(0.03)
    assert chance(averaged(loss, error), TOP1) == pytest.approx(expected, abs=1e-3)


def test_an_estimate_of_unknown_error_may_be_as_well_above_as_below() -> None:
    assert chance(averaged(0.01, None), TOP1) == chance(averaged(0.01, 0.001, samples=10), TOP1) == EVEN


def test_a_level_is_promised_by_the_result_alone() -> None:
    level = Gate(metric="top1", goal=Goal.THRESHOLD, value=0.85)
    assert EVEN < chance(counted(0, 50), level) < 0.95
    assert chance(counted(5, 50), level) == 0.0
