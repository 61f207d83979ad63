"""Which layers took whose place where shapes changed: by order, family and size. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

GONE = 2.0
"""What it costs that nothing takes a layer's place; a size that is off by a factor of e costs 1."""
EXTRA = 1.0
"""What it costs that a layer takes nobody's place."""
SPLIT = 3
"""Most layers that take the place of one, as query, key and value do where an attention lost heads."""
EACH = 0.2
"""What each after the first of them costs."""

Sized = tuple[str, int]
"""(family, elements) of a layer."""


def aligned(before: Sequence[Sized], after: Sequence[Sized]) -> list[tuple[int, ...]]:
    """Return for each layer of `before` the positions in `after` of those that took its place, in order.

    The cheapest alignment (Needleman and Wunsch 1970), where all layers are expected to have shrunk alike: as all of
    them together did, or where a large one is gone, as the median did.
    """
    sizes, others = [size for _, size in before] or [1], [size for _, size in after] or [1]
    expected = (sum(sizes) / max(sum(others), 1), median(sizes) / max(median(others), 1))
    return min((_aligned(before, after, shrunk) for shrunk in expected), key=lambda found: found[0])[1]


def _aligned(before: Sequence[Sized], after: Sequence[Sized], shrunk: float) -> tuple[float, list[tuple[int, ...]]]:
    """Return (cost, positions) of the cheapest alignment where layers became smaller by a factor."""
    costs = [[math.inf] * (len(after) + 1) for _ in range(len(before) + 1)]
    steps = [[(0, 0)] * (len(after) + 1) for _ in range(len(before) + 1)]
    costs[0] = [EXTRA * count for count in range(len(after) + 1)]
    steps[0] = [(0, 1)] * (len(after) + 1)
    for row, (family, size) in enumerate(before, 1):
        for column in range(len(after) + 1):
            ways = [(costs[row - 1][column] + GONE, (1, 0))]
            if column:
                ways.append((costs[row][column - 1] + EXTRA, (0, 1)))
            together = 0
            for run in range(1, min(SPLIT, column) + 1):
                other, elements = after[column - run]
                if other != family:
                    break
                together += elements
                off = abs(math.log(max(size, 1) / (shrunk * max(together, 1))))
                ways.append((costs[row - 1][column - run] + off + EACH * (run - 1), (1, run)))
            costs[row][column], steps[row][column] = min(ways)
    found: list[tuple[int, ...]] = []
    row, column = len(before), len(after)
    while row:
        rows, columns = steps[row][column]
        if rows:
            found.append(tuple(range(column - columns, column)))
        row, column = row - rows, column - columns
    return costs[-1][-1], found[::-1]
