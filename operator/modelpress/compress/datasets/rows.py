"""Samples as digests, so that two datasets can be compared without either lying in memory.

Numbers are compared as values: 3 as uint8 is the same as 3.0 as float32. Digests have 64 bits: among a million samples
on either side a false hit has a probability of one in 18 million.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy
from numpy.typing import NDArray

from modelpress.api.data import Dataset

from .columns import Array
from .fitting import ROWS
from .ragged import is_ragged
from .reading import DEFAULT_TARGET, open_dataset

Digests = NDArray[numpy.uint64]


def row_digests(dataset: Dataset, folder: Path) -> Digests:
    """Return one digest for each sample of `dataset`, over its inputs: those it maps, else all columns but targets.

    Raises Judged with DatasetInvalid.
    """
    opened = open_dataset(dataset, folder)
    targets = set((dataset.targets or {"": DEFAULT_TARGET}).values())
    mapping = dataset.inputs or {}
    names = [mapping[name] for name in sorted(mapping)] or sorted(set(opened.names) - targets)
    return digests_of([opened.load(name) for name in names])


def digests_of(arrays: Sequence[Array]) -> Digests:
    """Return one digest for each sample, over its values in all `arrays`, in their order."""
    count = min((len(array) for array in arrays), default=0)
    digests = numpy.empty(count, numpy.uint64)
    for start in range(0, count, ROWS):
        stop = min(start + ROWS, count)
        parts = [_values(array[start:stop]) for array in arrays]
        for row in range(stop - start):
            content = hashlib.blake2b(digest_size=8)
            for part in parts:
                content.update(part[row].data)
            digests[start + row] = int.from_bytes(content.digest(), "little")
    return digests


def count_leaks(test: Digests, others: dict[str, Digests]) -> dict[str, int]:
    """Return how many of the `test` samples are in each of `others` too."""
    return {role: int(numpy.isin(test, digests).sum()) for role, digests in others.items()}


def _values(array: Array) -> Sequence[NDArray[numpy.float64]]:
    """Return the numbers of each of the samples of `array`, flat; floats as precise as float32."""
    if is_ragged(array):
        return [_values(sample[None])[0] for sample in array]
    flat = array.reshape(len(array), -1)
    short = flat.astype(numpy.float32) if flat.dtype.kind == "f" else flat
    return list(numpy.ascontiguousarray(short.astype(numpy.float64) + 0.0))  # -0.0 becomes 0.0
