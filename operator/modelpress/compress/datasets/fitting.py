"""Whether a column is what an input of the model takes: element type, shape, finite numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy

from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec

from ..errors import Judged
from .columns import Array
from .ragged import is_ragged

BATCH = "batch"
"""Name of the axis that counts samples."""
ROWS = 4096
"""Samples that are looked at together, so that a mapped column never lies in memory whole."""


def sample_shape(spec: TensorSpec) -> tuple[int | str, ...] | None:
    """Return the shape of one sample of `spec`, None if it says nothing; the batch axis is no part of it."""
    if spec.shape is None:
        return None
    return spec.shape[1:] if spec.shape and spec.shape[0] == BATCH else spec.shape


def fit(array: Array, spec: TensorSpec, column: str, source: str) -> Array:
    """Return `array`, (samples, …) or ragged, with the shape and the element type of input `spec`.

    Raises Judged: DatasetDoesNotFit with what was expected and found, NotFinite.
    """
    if is_ragged(array):
        return _fit_each(array, spec, column, source)
    array = _fit_shape(array, spec, column, source)
    check_finite(array, column, source)
    return cast(array, numpy.dtype(spec.dtype or "float32"), column, source)


def _fit_each(array: Array, spec: TensorSpec, column: str, source: str) -> Array:
    """Fit samples of different sizes one by one."""
    if spec.shape is not None and spec.shape[:1] == (BATCH,):
        row = next(row for row in range(len(array)) if array[row].shape != array[0].shape)
        raise Judged(
            Reason.DATASET_DOES_NOT_FIT,
            f"{source}: column {column!r} has shape {list(array[row].shape)} in sample {row} and "
            f"{list(array[0].shape)} before, and the model takes batches: pad it",
        )
    fitted = numpy.empty(len(array), object)
    for row, sample in enumerate(array):
        fitted[row] = fit(sample[None], spec, column, f"{source}, sample {row}")[0]
    return fitted


def check_finite(array: Array, column: str, source: str) -> None:
    """Raise Judged with NotFinite if a number of `array` is NaN or infinite."""
    if array.dtype.kind != "f":
        return
    for start in range(0, len(array), ROWS):
        finite = numpy.isfinite(array[start : start + ROWS])
        if not finite.all():
            row = start + int(numpy.argwhere(~finite)[0][0])
            raise Judged(Reason.NOT_FINITE, f"{source}: column {column!r} holds NaN or infinity, first in sample {row}")


def cast(array: Array, dtype: numpy.dtype[numpy.generic], column: str, source: str) -> Array:
    """Return `array` as `dtype`. Floats may be rounded to a shorter float; nothing else may lose anything."""
    if array.dtype == dtype:
        return array
    with numpy.errstate(all="ignore"):
        converted = array.astype(dtype)
        rounded = array.dtype.kind == "f" and dtype.kind == "f"
        lost = ~numpy.isfinite(converted) if rounded else converted.astype(array.dtype) != array
    if lost.any():
        value = array[tuple(numpy.argwhere(lost)[0])]
        raise Judged(
            Reason.DATASET_DOES_NOT_FIT,
            f"{source}: column {column!r} is {array.dtype} and the model takes {dtype}, which cannot hold {value}",
        )
    return converted


def check_axes(arrays: dict[str, Array], specs: Sequence[TensorSpec], source: str) -> None:
    """Raise Judged unless axes of the same name have the same length in all inputs."""
    ragged = [spec.name for spec in specs if is_ragged(arrays[spec.name])]
    rows = range(len(arrays[ragged[0]])) if ragged else range(1)
    for row in rows:
        found: dict[str, tuple[int, str]] = {}
        for spec in specs:
            for axis, length in zip(sample_shape(spec) or (), arrays[spec.name][row].shape, strict=False):
                if isinstance(axis, str) and found.setdefault(axis, (length, spec.name))[0] != length:
                    where = f"sample {row} of " if ragged else ""
                    raise Judged(
                        Reason.DATASET_DOES_NOT_FIT,
                        f"{source}: axis {axis} has length {found[axis][0]} in {where}{found[axis][1]}, {length} in "
                        f"{spec.name}",
                    )


def _fit_shape(array: Array, spec: TensorSpec, column: str, source: str) -> Array:
    wanted = sample_shape(spec)
    if wanted is None or _matches(array.shape[1:], wanted):
        return array
    fixed = [axis for axis in wanted if isinstance(axis, int)]
    if array.ndim <= 2 and len(fixed) == len(wanted) and math.prod(array.shape[1:]) == math.prod(fixed):
        return array.reshape((len(array), *fixed))  # a flat list, as tables hold it
    if wanted == spec.shape and wanted[:1] == (1,) and _matches(array.shape[1:], wanted[1:]):
        return array[:, numpy.newaxis]  # a model that takes batches of one
    raise Judged(
        Reason.DATASET_DOES_NOT_FIT,
        f"{source}: column {column!r} has samples of shape {list(array.shape[1:])}, "
        f"input {spec.name!r} takes [{', '.join(map(str, wanted))}]",
    )


def _matches(shape: tuple[int, ...], wanted: tuple[int | str, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        isinstance(axis, str) or axis == length for axis, length in zip(wanted, shape, strict=True)
    )
