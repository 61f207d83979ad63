"""Samples that are nearly the same are found, whatever they are made of; samples that only look alike are not."""

from __future__ import annotations

import numpy
import pytest

from modelpress.compress.datasets import near
from modelpress.compress.datasets.columns import TEXT
from modelpress.compress.datasets.near import Near, near_duplicates

RANDOM = numpy.random.default_rng(0)
WORDS = [f"{chr(97 + first)}{chr(122 - second)}word{first}" for first in range(26) for second in range(8)]


def sentences(count: int, seed: int) -> list[str]:
    random = numpy.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, 30)) for _ in range(count)]


def text(values: list[str]) -> dict[str, numpy.ndarray]:
    return {"text": numpy.asarray(values, TEXT)}


def test_texts_with_a_typo_or_other_spaces_are_near_and_equal_ones_are_not() -> None:
    test, train = sentences(40, 1), sentences(200, 2)
    train[17] = test[3].replace("word", "wodr", 1)
    train[90] = "  " + test[8].upper().replace(" ", "   ")
    train[91] = test[9]
    found, looked_at = near_duplicates(text(test), text(train))
    assert found == [Near(3, 17), Near(8, 90)]
    assert looked_at == 40


def test_tokens_are_compared_by_runs_whatever_their_padding() -> None:
    test, train = (RANDOM.integers(5, 30_000, (count, 48)) for count in (30, 400))
    train[250] = test[4]
    train[250, 7] = 3
    mask = numpy.ones((400, 48), int)
    found, _ = near_duplicates(
        {"input_ids": test, "attention_mask": mask[:30]}, {"input_ids": train, "attention_mask": mask}
    )
    assert found == [Near(4, 250)]


def test_sequences_of_different_lengths_are_compared_too() -> None:
    lengths = RANDOM.integers(30, 60, 50)
    column = numpy.empty(50, object)
    column[:] = [RANDOM.integers(0, 1000, length) for length in lengths]
    other = column[:].copy()
    other[:] = [RANDOM.integers(0, 1000, length) for length in lengths]
    other[20] = column[6][1:]
    assert near_duplicates({"x": column}, {"x": other})[0] == [Near(6, 20)]


def test_images_with_a_little_noise_are_near_and_others_of_their_kind_are_not() -> None:
    kinds = RANDOM.random((4, 1, 16, 16)).astype(numpy.float32)
    test, train = (kinds[RANDOM.integers(0, 4, n)] + 0.3 * RANDOM.random((n, 1, 16, 16)) for n in (50, 500))
    noise = RANDOM.standard_normal(test[0].shape)
    for place, (row, strength) in enumerate(((2, 0.005), (30, 0.01), (31, 0.0))):
        train[100 + place] = test[row] + strength * noise
    found, _ = near_duplicates({"image": test}, {"image": train})
    assert found == [Near(2, 100), Near(30, 101)]


def test_large_datasets_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "MOST", 100)
    rows = RANDOM.standard_normal((1000, 8)).astype(numpy.float32)
    found, looked_at = near_duplicates({"x": rows}, {"x": rows + 1e-4})
    assert looked_at == 100
    assert 60 < len(found) <= 100, "the same rows are drawn of both"


def test_what_has_nothing_in_common_is_not_compared() -> None:
    assert near_duplicates({"x": numpy.ones((3, 2))}, {"y": numpy.ones((3, 2))}) == ([], 0)
