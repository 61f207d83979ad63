"""Whether the result answers a sample as the original does, by a named kind of sameness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from ..scores import IMAGE_AXES, class_axis

Array = NDArray[Any]

KINDS = ("argmax", "allclose", "exact", "cosine")
ABSOLUTE, RELATIVE = 1e-3, 1e-2
"""Values this close are the same answer."""
COSINE_AT_LEAST = 0.99
"""Vectors this similar are the same answer."""


def same(
    original: Array,
    result: Array,
    args: Mapping[str, Any],
    half: float = 0.0,
    labels: Sequence[int] | None = None,
) -> Array:
    """Return for each sample 1.0 where all of both answers is alike, else 0.0; see `alike`."""
    return numpy.asarray(alike(original, result, args, half, labels).all(axis=1), numpy.float64)


def alike(
    original: Array,
    result: Array,
    args: Mapping[str, Any],
    half: float = 0.0,
    labels: Sequence[int] | None = None,
) -> Array:
    """Return where both answer alike, (samples, answers); both are (samples, …), and may have many answers a sample.

    `args`: `kind`, one of KINDS (argmax: the class with the highest value), and for cosine `at_least`. `half` divides
    the classes of single scores (`classes.middle`); `labels`, the shape of the truth, tells which axis counts classes.
    """
    count = len(original)
    if original.shape != result.shape:
        return numpy.zeros((count, 1), bool)
    kind = args.get("kind", KINDS[0])
    if kind == "argmax" and original.dtype.kind == "f" and classes_of(original.shape, labels) > 1:
        axis = _axis(original.shape, labels)
        found = original.argmax(axis=axis) == result.argmax(axis=axis)
    elif kind == "argmax" and original.dtype.kind == "f":
        found = (original > half) == (result > half)
    elif kind in {"argmax", "exact"}:  # whole numbers are classes themselves
        found = original == result
    elif kind == "allclose":
        found = near(original, result)
    else:
        found = _similarity(original, result) >= args.get("at_least", COSINE_AT_LEAST)
    return numpy.asarray(found).reshape(count, -1)


def classes_of(shape: Sequence[int], labels: Sequence[int] | None = None) -> int:
    """Return how many classes answers of that shape score; 1 for single numbers."""
    return shape[_axis(shape, labels)] if len(shape) > 1 else 1


def are_single(answers: Array, args: Mapping[str, Any]) -> bool:
    """Return whether sameness is asked of single scores: only all of them together tell what divides the classes."""
    return args.get("kind", KINDS[0]) == "argmax" and answers.dtype.kind == "f" and classes_of(answers.shape) == 1


def _axis(shape: Sequence[int], labels: Sequence[int] | None) -> int:
    """Return the axis that counts classes; where no labels tell it, the last, or the second of images' scores."""
    told = class_axis(shape, labels) if labels is not None else None
    return told if told is not None else 1 if len(shape) >= IMAGE_AXES else len(shape) - 1


def near(original: Array, result: Array) -> Array:
    """Return where values are as close as makes no difference."""
    wanted = original.astype(numpy.float64)
    return numpy.asarray(abs(result.astype(numpy.float64) - wanted) <= ABSOLUTE + RELATIVE * abs(wanted))


def _similarity(original: Array, result: Array) -> Array:
    """Return the cosine of the vectors in the last axis; 1 where both are zero."""
    first, second = (array.astype(numpy.float64) for array in (original, result))
    if first.ndim == 1:
        first, second = first[:, None], second[:, None]
    lengths = numpy.linalg.norm(first, axis=-1), numpy.linalg.norm(second, axis=-1)
    product, scale = (first * second).sum(axis=-1), lengths[0] * lengths[1]
    both_zero = (lengths[0] == 0) & (lengths[1] == 0)
    return numpy.asarray(numpy.where(scale > 0, product / numpy.where(scale > 0, scale, 1), both_zero))
