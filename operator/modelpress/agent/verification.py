"""Asking a model the judge's questions: requests out of reference.npz, answers compared with it. Pure.

Samples are asked one at a time, as the judge did. A tensor without axes beside the batch travels with one more axis
(`triton.config.wire_shape`), and text travels as bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy
from numpy.typing import NDArray

from modelpress.store.manifest import Manifest
from modelpress.store.reference import Reference, differences
from modelpress.triton.config import wire_shape

Arrays = dict[str, NDArray[Any]]


def requests(reference: Reference, manifest: Manifest, max_batch_size: int, size: int = 1) -> Iterator[Arrays]:
    """Yield the inputs of each request, in the form in which they travel: `size` samples each, for a batched model.

    `max_batch_size` 0: Triton batches nothing, and the batch axis, if there is one, is like any other.
    """
    samples = len(next(iter(reference.inputs.values()))) if manifest.batched else 1
    for first in range(0, samples, size):
        arrays: Arrays = {}
        for tensor in manifest.inputs:
            array = reference.inputs[tensor.name]
            part = array[first : first + size] if manifest.batched else array
            arrays[tensor.name] = _sent(part).reshape(
                wire_shape(tensor, part.shape, manifest.batched and max_batch_size > 0)
            )
        yield arrays


def difference(reference: Reference, answers: list[Arrays]) -> str | None:
    """Say where `answers`, to all `requests` in order, are not the reference's; None if they are.

    Raises ValueError if they cannot be put together.
    """
    joined: Arrays = {}
    for name, expected in reference.outputs.items():
        parts = [_received(answer[name]) for answer in answers]
        whole = numpy.concatenate(parts) if len(parts) > 1 else parts[0]
        joined[name] = whole.reshape(expected.shape) if whole.shape == (*expected.shape, 1) else whole
    return differences(reference, joined)


def warm_up(reference: Reference, manifest: Manifest, max_batch_size: int) -> Iterator[Arrays]:
    """Yield requests that make the server allocate what it needs: one sample, then as many as it takes at once."""
    for size in (1, max(1, max_batch_size)):
        yield from itertools.islice(requests(reference, manifest, max_batch_size, size), 1)


def _sent(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "U":
        return numpy.char.encode(array, "utf-8").astype(numpy.object_)
    return numpy.ascontiguousarray(array)


def _received(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "O":
        return numpy.char.decode(array.astype(numpy.bytes_), "utf-8")
    return array
