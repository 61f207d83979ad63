"""Where the axes of rows lie behind reshapes and transpositions."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from modelpress.compress.stages.layouts import HEADS, INNER, OUTER, UNKNOWN, WHOLE, WIDTH, Axis, Layout, Length

B, S, H, W = (OUTER,), (INNER,), (HEADS,), (WIDTH,)
SPLIT = (B, S, H, W)


@pytest.mark.parametrize(
    ("rows", "made", "axes"),
    [
        (("batch", "sequence", 32), ("batch", "sequence", 4, 8), SPLIT),
        (("batch", "sequence", 32), ("batch", "sequence", 4, UNKNOWN), SPLIT),
        (("batch", "sequence", 32), (UNKNOWN, "sequence", 4, 8), SPLIT),
        ((3, 8, 32), (3, 8, 4, 8), SPLIT),
        ((UNKNOWN, UNKNOWN, 32), (UNKNOWN, UNKNOWN, 4, 8), SPLIT),
        (("sequence", "batch", 32), ("sequence", UNKNOWN, 8), (B, (INNER, HEADS), W)),
        ((7, 2, 32), (7, 8, 8), (B, (INNER, HEADS), W)),
        (("batch", "sequence", 32), (UNKNOWN, 32), ((OUTER, INNER), (WHOLE,))),
        (("batch", "sequence", 32), ("batch", "sequence", 1, 32), (B, S, (), (WHOLE,))),
        (("batch", 8, 32), (UNKNOWN, 4, 4, 8), None),
        ((UNKNOWN, UNKNOWN, 32), ("batch", "sequence", UNKNOWN, 8), SPLIT),
        (("batch", "sequence", 32), (UNKNOWN, UNKNOWN, 4, 8), SPLIT),
        (("batch", "sequence", 32), ("sequence", UNKNOWN, 4, 8), None),
        (("batch", "sequence", UNKNOWN), ("batch", "sequence", 4, 8), None),
    ],
)
def test_parts_of_rows_are_followed_through_a_reshape(
    rows: Sequence[Length], made: Sequence[Length], axes: tuple[Axis, ...] | None
) -> None:
    found = Layout.of_rows(rows).reshaped(made)
    assert (found and found.axes) == axes


def test_names_of_axes_are_learned_from_a_reshape() -> None:
    split = Layout.of_rows((UNKNOWN, UNKNOWN, 32)).reshaped(("batch", "sequence", UNKNOWN, 8))
    assert split is not None
    joined = split.reshaped(("batch", "sequence", UNKNOWN))
    assert joined is not None
    assert joined.axes == (B, S, (HEADS, WIDTH))


def test_heads_are_put_together_with_the_batch_and_taken_apart_again() -> None:
    split = Layout.of_rows(("batch", "sequence", 32)).reshaped(("batch", "sequence", 4, 8))
    assert split is not None
    turned = split.transposed([0, 2, 1, 3])
    assert turned is not None
    stacked = turned.reshaped((UNKNOWN, "sequence", 8))
    assert stacked is not None
    assert stacked.axes == ((OUTER, HEADS), S, W)
    apart = stacked.reshaped(("batch", 4, "sequence", 8))
    assert apart is not None
    assert apart.axes == turned.axes
    assert split.transposed([]) is None
