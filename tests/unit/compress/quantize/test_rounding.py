"""Rounding in groups: codes, scales and zeros mean what they should, and learning from activations pays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelpress.compress.stages.quantize.awq import awq, output_error
from modelpress.compress.stages.quantize.gptq import gptq
from modelpress.compress.stages.quantize.rounding import Scheme, fit, nearest, round_rows

GENERATOR = np.random.default_rng(0)
Matrix = np.ndarray[Any, Any]


def matrix(outputs: int, inputs: int) -> Matrix:
    return (GENERATOR.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)


def activations(inputs: int, count: int = 2000) -> Matrix:
    """Correlated activations with a few channels that are much greater, as transformers have them."""
    mixed = GENERATOR.standard_normal((count, 8)) @ GENERATOR.standard_normal((8, inputs))
    mixed += GENERATOR.standard_normal((count, inputs)) * 0.5
    mixed[:, :: inputs // 3] *= 20
    return mixed.astype(np.float32)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("bits", "inputs", "group"), [(4, 96, 32), (8, 100, 64), (4, 40, 128)])
def test_every_weight_is_rounded_to_within_half_a_step(bits: int, inputs: int, group: int, symmetric: bool) -> None:
    rows = matrix(7, inputs)
    rounded = nearest(rows, Scheme(bits, group, symmetric))
    assert rounded.codes.shape == rows.shape
    assert rounded.codes.max() < 2**bits
    steps = np.repeat(np.abs(rounded.grid.scales), group, axis=1)[:, :inputs]
    slack = 0.5 if symmetric else 1.0  # a zero point is rounded too
    # the code that has no opposite may be one step short
    assert (np.abs(rounded.widened() - rows) <= steps * (slack + 0.51)).all()
    assert np.median(np.abs(rounded.widened() - rows) / steps) < 0.3


def test_zero_stays_zero_and_an_empty_group_breaks_nothing() -> None:
    rows = matrix(4, 64)
    rows[:, :32] = 0
    rows[:, 40] = 0
    for symmetric in (True, False):
        widened = nearest(rows, Scheme(4, 32, symmetric)).widened()
        assert (widened[:, :32] == 0).all()
        assert (widened[:, 40] == 0).all()


def test_scales_are_rounded_to_half_precision_unless_they_do_not_fit() -> None:
    rows = matrix(4, 64)
    scales = fit(rows, Scheme(4, 32)).scales
    assert (scales == scales.astype(np.float16)).all()
    tiny = fit(rows * 1e-7, Scheme(4, 32)).scales
    assert not (tiny == tiny.astype(np.float16)).all()


def test_the_search_finds_ranges_of_less_error() -> None:
    rows = matrix(16, 128)
    scheme = Scheme(4, 64)
    plain, searched = (round_rows(rows, fit(rows, scheme, search=search)) for search in (False, True))
    errors = [float(((item.widened() - rows) ** 2).sum()) for item in (plain, searched)]
    assert errors[1] < errors[0] * 0.95


@pytest.mark.parametrize("scheme", [Scheme(4, 32), Scheme(4, 64, symmetric=False), Scheme(8, 64)])
def test_gptq_and_awq_beat_rounding_to_nearest_on_activations_that_they_have_not_seen(scheme: Scheme) -> None:
    rows = matrix(48, 96)
    seen, unseen = np.split(activations(96), 2)
    second = seen.T @ seen / len(seen)
    hidden = unseen.T @ unseen / len(unseen)
    scaled, factors = awq([rows], [scheme], second, np.abs(seen).mean(0))
    errors = {
        "RTN": output_error(rows - nearest(rows, scheme).widened(), hidden),
        "GPTQ": output_error(rows - gptq(rows, scheme, second).widened(), hidden),
        "AWQ": output_error(rows - scaled[0].widened() * factors, hidden),
    }
    assert errors["GPTQ"] < errors["RTN"] * 0.5
    assert errors["AWQ"] < errors["RTN"] * 0.7


def test_gptq_takes_inputs_that_are_never_active() -> None:
    rows, seen = matrix(8, 64), activations(64)
    seen[:, 5:20] = 0
    for data in (seen, np.zeros_like(seen)):
        rounded = gptq(rows, Scheme(4, 32), data.T @ data / len(data))
        assert np.isfinite(rounded.widened()).all()
        assert np.abs(rounded.widened() - rows).max() < np.abs(rows).max()
