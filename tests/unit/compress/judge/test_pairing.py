"""Layers whose shapes changed are told by order, family and size."""

from __future__ import annotations

import pytest

from modelpress.compress.judge.pairing import Sized, aligned


def dense(*sizes: int) -> list[Sized]:
    return [("dense", size) for size in sizes]


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (dense(100, 400, 50), dense(50, 200, 25), [(0,), (1,), (2,)]),
        (dense(3000, 1000, 4000, 4000) * 2, dense(500, 500, 500, 500, 2000, 2000) * 2,
         [(0, 1, 2), (3,), (4,), (5,), (6, 7, 8), (9,), (10,), (11,)]),
        (dense(100, 5000, 100), dense(100, 100), [(0,), (), (1,)]),
        ([("table", 900), *dense(400)], [("table", 300), *dense(100)], [(0,), (1,)]),
        ([("convolution", 90), *dense(400)], dense(100), [(), (0,)]),
        (dense(10), [], [()]),
        ([], dense(10), []),
    ],
)  # fmt: skip
def test_each_layer_finds_what_took_its_place(
    before: list[Sized], after: list[Sized], wanted: list[tuple[int, ...]]
) -> None:
    assert aligned(before, after) == wanted
