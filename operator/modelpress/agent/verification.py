"""Asking a model the judge's questions: requests out of reference.npz, answers compared with it. Pure.

Samples are sent in batches that the server takes. A tensor without axes beside the batch travels with one more axis
(`triton.config.wire_shape`), and text travels as bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy
from numpy.typing import NDArray

from modelpress.store.manifest import Manifest
from modelpress.store.reference import Reference, differences
from modelpress.triton.config import wire_shape

Arrays = dict[str, NDArray[Any]]


def requests(reference: Reference, manifest: Manifest, max_batch_size: int) -> Iterator[Arrays]:
    """Yield the inputs of each request, in the form in which they travel. `max_batch_size` 0: all in one."""
    batched = manifest.batched and max_batch_size > 0
    samples = len(next(iter(reference.inputs.values()))) if batched else 1
    for first in range(0, samples, max_batch_size or 1):
        arrays: Arrays = {}
        for tensor in manifest.inputs:
            array = reference.inputs[tensor.name]
            part = array[first : first + max_batch_size] if batched else array
            arrays[tensor.name] = _sent(part).reshape(wire_shape(tensor, part.shape, batched))
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
    """Yield requests that make the server allocate what it needs: one sample, then as many as there are."""
    yield from requests(reference, manifest, 1 if manifest.batched and max_batch_size else 0)
    yield from requests(reference, manifest, max_batch_size)


def _sent(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "U":
        return numpy.char.encode(array, "utf-8").astype(numpy.object_)
    return numpy.ascontiguousarray(array)


def _received(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "O":
        return numpy.char.decode(array.astype(numpy.bytes_), "utf-8")
    return array
