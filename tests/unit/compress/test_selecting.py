"""Which channels go: on importances alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelpress.compress.stages.selecting import kept_of_all, kept_of_layers, least, rounded


def test_each_layer_loses_the_same_ratio_and_keeps_one() -> None:
    assert kept_of_layers([16, 6, 1], 0.5) == [8, 3, 1]
    assert kept_of_layers([16, 3], 0.97) == [1, 1]


def test_the_least_important_of_all_layers_go_and_the_best_of_each_stays() -> None:
    strong, weak = torch.tensor([9.0, 8.0, 7.0, 6.0]), torch.tensor([0.1, 0.3, 0.2, 0.4])
    assert kept_of_all([strong, weak], 0.375) == [4, 1]
    assert kept_of_all([strong, weak], 0.99) == [1, 1]


@pytest.mark.parametrize(
    ("kept", "width", "parts", "multiple", "expected"),
    [(7, 16, 1, 8, 8), (12, 16, 1, 8, 16), (3, 6, 1, 8, 6), (3, 8, 4, 8, 4), (5, 8, 1, 1, 5)],
)
def test_kept_channels_are_rounded_to_the_nearest_multiple(
    kept: int, width: int, parts: int, multiple: int, expected: int
) -> None:
    assert rounded(kept, width, parts, multiple) == expected


@given(st.lists(st.floats(0, 100, width=32), min_size=2, max_size=20), st.integers(1, 4), st.data())
def test_every_part_of_a_grouped_layer_loses_the_same_channels(
    values: list[float], parts: int, data: st.DataObject
) -> None:
    kept = data.draw(st.integers(1, len(values)))
    chosen = least(torch.tensor(values), kept, parts)
    assert len(chosen) == parts * (len(values) - kept)
    assert all((index % len(values)) in chosen for index in chosen)
    staying = [value for index, value in enumerate(values) if index not in chosen]
    assert all(values[index % len(values)] <= min(staying) for index in chosen)
