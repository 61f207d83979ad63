"""Samples of different sizes: graphs, sequences that are not padded. For models without a batch axis.

A ragged column is an array of objects with one axis, the samples; each object is an array of numbers, all of the same
number of axes. It comes out of lists of different lengths in parquet and jsonl, and never out of a pickle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

Array = NDArray[Any]


def is_ragged(array: Array) -> bool:
    """Return whether samples of the column may differ in size."""
    return array.dtype.kind == "O"


def join(samples: Sequence[Array]) -> Array:
    """Return samples as one column: (samples, …) if all have one shape, ragged otherwise.

    Raises ValueError if they differ in the number of axes.
    """
    if len({sample.shape for sample in samples}) <= 1:
        return numpy.stack(samples) if samples else numpy.empty(0)
    if len({sample.ndim for sample in samples}) > 1:
        raise ValueError("some samples have more axes than others")
    column = numpy.empty(len(samples), object)
    for row, sample in enumerate(samples):
        column[row] = sample
    return column


def rows_of(column: Array, rows: Any) -> Array:
    """Return the chosen samples of a column, dense: of a ragged one, samples of one size, as is a single one."""
    part = column[rows]
    return numpy.stack(list(part)) if is_ragged(part) else part


def split(values: Array, lengths: Array) -> Array:
    """Return rows of `values`, dense or ragged, as a column of samples of so many rows each.

    Raises ValueError if rows of one sample differ in size.
    """
    ends = numpy.cumsum(lengths)
    return join([_dense(values[end - length : end]) for end, length in zip(ends, lengths, strict=True)])


def _dense(rows: Array) -> Array:
    if not is_ragged(rows):
        return rows
    if len({row.shape for row in rows}) > 1:
        raise ValueError("lists inside of one sample have different lengths")
    return numpy.stack(list(rows)) if len(rows) else numpy.empty((0, 0))
