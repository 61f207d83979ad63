"""Whether the result answers a sample as the original does, by a named kind of sameness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy
from numpy.typing import NDArray

Array = NDArray[Any]

KINDS = ("argmax", "allclose", "exact", "cosine")
ABSOLUTE, RELATIVE = 1e-3, 1e-2
"""Values this close are the same answer."""
COSINE_AT_LEAST = 0.99
"""Vectors this similar are the same answer."""


def same(original: Array, result: Array, args: Mapping[str, Any]) -> Array:
    """Return for each sample 1.0 where both answer alike, else 0.0; both are (samples, …).

    `args`: `kind`, one of KINDS (argmax: the place of the highest value over the last axis), and for cosine `at_least`.
    """
    count = len(original)
    if original.shape != result.shape:
        return numpy.zeros(count)
    kind = args.get("kind", KINDS[0])
    if kind == "argmax" and original.ndim > 1 and original.shape[-1] > 1:
        alike = original.argmax(axis=-1) == result.argmax(axis=-1)
    elif kind == "argmax":
        alike = (original > 0) == (result > 0)
    elif kind == "exact":
        alike = original == result
    elif kind == "allclose":
        alike = near(original, result)
    else:
        alike = _similarity(original, result) >= args.get("at_least", COSINE_AT_LEAST)
    return numpy.asarray(numpy.asarray(alike).reshape(count, -1).all(axis=1), numpy.float64)


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
