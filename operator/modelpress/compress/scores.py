"""Scores of classes: which of their axes counts the classes. Pure; training and the judge agree on it."""

from __future__ import annotations

import math
from collections.abc import Sequence

IMAGE_AXES = 4
"""Axes of scores of an image's pixels: [batch, classes, height, width]."""


def class_axis(scores: Sequence[int], labels: Sequence[int]) -> int | None:
    """Return the axis of `scores` that counts classes: the one without which the shape of the labels is left.

    It is the last for nodes and tokens, [batch, sequence, classes], and the second for images, as torch has it,
    [batch, classes, height, width]; where the labels fit both, four axes and more are taken for images. Labels may be
    flat. The first axis of both counts samples. None: no axis fits.
    """
    if len(scores) < 2:
        return None
    last = len(scores) - 1
    axes = (1, last) if len(scores) >= IMAGE_AXES else (last, 1)
    left = {axis: (*scores[1:axis], *scores[axis + 1 :]) for axis in axes}
    wanted = tuple(labels[1:])
    exact = next((axis for axis in axes if left[axis] == wanted), None)
    if exact is not None:
        return exact
    return next((axis for axis in axes if math.prod(left[axis]) == math.prod(wanted)), None)
