"""Learning from few activations is no worse than rounding to nearest; many are taken as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelpress.compress.stages.quantize.awq import awq, output_error
from modelpress.compress.stages.quantize.gptq import gptq
from modelpress.compress.stages.quantize.rounding import Scheme, nearest
from modelpress.compress.stages.quantize.shrinkage import Spread

INPUTS, LENGTH = 96, 32
SCHEME = Scheme(4, 32)
Array = np.ndarray[Any, Any]


def texts(random: np.random.Generator, count: int) -> Array:
    """Return (samples, tokens, inputs) whose tokens are alike in each sample."""
    falling = np.arange(1, INPUTS + 1) ** -0.5
    common, own = (random.standard_normal((INPUTS, INPUTS)) * falling for _ in range(2))
    topics = random.standard_normal((count, 1, INPUTS)) @ common.T
    return np.asarray(topics + 0.7 * random.standard_normal((count, LENGTH, INPUTS)) @ own.T, np.float32)


def images(random: np.random.Generator, count: int) -> Array:
    """Return (samples, 1, inputs) of which most inputs are still most of the time."""
    mixed = random.standard_normal((count, 1, INPUTS)) @ random.standard_normal((INPUTS, INPUTS))
    return np.asarray(np.maximum(mixed - 5, 0), np.float32)


def moments(samples: Array) -> tuple[Array, Array, float]:
    """Return the second moments that are shrunk, E|x|, and how much of the former was kept."""
    rows = samples.reshape(-1, INPUTS)
    second, spread = rows.T @ rows / len(rows), Spread(by_row=len(samples) == 1)
    for piece in np.array_split(samples, max(1, len(samples) // 16)):
        spread.add(piece.reshape(-1, INPUTS), [samples.shape[1]] * len(piece))
    return second, np.abs(rows).mean(0), spread.shrink(second)


@pytest.mark.parametrize("draw", [texts, images])
@pytest.mark.parametrize("count", [2, 4, 8, 24, 48])
def test_few_samples_are_no_worse_than_rounding_to_nearest(draw: Any, count: int) -> None:
    every = draw(np.random.default_rng(0), 600 + count)
    seen, unseen = every[:count], every[count:].reshape(-1, INPUTS)
    second, magnitude, _ = moments(seen)
    hidden = unseen.T @ unseen / len(unseen)
    rows = (np.random.default_rng(1).standard_normal((48, INPUTS)) / 10).astype(np.float32)
    scaled, factors = awq([rows], [SCHEME], second, magnitude)
    plain = output_error(rows - nearest(rows, SCHEME).widened(), hidden)
    assert output_error(rows - gptq(rows, SCHEME, second).widened(), hidden) < plain
    assert output_error(rows - scaled[0].widened() * factors, hidden) < plain * 1.05


def test_one_sample_of_one_row_tells_nothing_and_many_tell_all() -> None:
    random = np.random.default_rng(0)
    second, _, kept = moments(images(random, 1))
    assert kept == 0
    np.testing.assert_allclose(second, second[0, 0] * np.eye(INPUTS), atol=1e-6)
    many = texts(random, 800)
    second, _, kept = moments(many)
    rows = many.reshape(-1, INPUTS)
    assert kept > 0.95
    np.testing.assert_allclose(second, rows.T @ rows / len(rows), atol=0.05 * second.max())


def test_tokens_of_a_sample_that_are_alike_do_not_count_as_so_many() -> None:
    few = texts(np.random.default_rng(0), 8)
    apart = few.reshape(-1, 1, INPUTS)
    together, single = moments(few)[2], moments(apart)[2]
    assert together < 0.6
    assert single > 0.9


def test_texts_of_other_lengths_weigh_as_much_as_they_are_long() -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(1, LENGTH, 40)
    rows = np.concatenate([part[:length] for part, length in zip(texts(random, 40), lengths, strict=True)])
    second = rows.T @ rows / len(rows)
    spread = Spread(by_row=False)
    spread.add(rows, lengths.tolist())
    parts = np.split(rows, np.cumsum(lengths)[:-1])
    wrong = sum(float(((part.T @ part - len(part) * second) ** 2).sum()) for part in parts) / len(rows) ** 2
    apart = float(((second - np.trace(second) / INPUTS * np.eye(INPUTS)) ** 2).sum())
    assert 1 - spread.shrink(second) == pytest.approx(wrong / apart, rel=0.1)
