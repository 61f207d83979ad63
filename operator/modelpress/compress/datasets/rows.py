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

from modelpress.api.data import TOKEN_COLUMNS, Dataset

from .columns import Array
from .fitting import ROWS
from .ragged import is_ragged
from .reading import DEFAULT_TARGET, open_dataset

Digests = NDArray[numpy.uint64]


def row_digests(dataset: Dataset, folder: Path) -> Digests:
    """Return one digest for each sample of `dataset`, over its inputs: those it maps, else all columns but targets.

    Raises Judged with DatasetInvalid.
    """
    return digests_of(list(sample_columns(dataset, folder).values()))


def digests_of(arrays: Sequence[Array]) -> Digests:
    """Return one digest for each sample, over its values in all `arrays`, in their order."""
    count = min((len(array) for array in arrays), default=0)
    digests = numpy.empty(count, numpy.uint64)
    for start in range(0, count, ROWS):
        stop = min(start + ROWS, count)
        parts = [_values(array[start:stop]) for array in arrays]
        for row in range(stop - start):
            digests[start + row] = _digest(*(part[row] for part in parts))
    return digests


def sample_columns(dataset: Dataset, folder: Path) -> dict[str, Array]:
    """Return what a sample is: its text and the columns that the dataset maps, else all but targets and group.

    Raises Judged with DatasetInvalid.
    """
    opened = open_dataset(dataset, folder)
    others = {*(dataset.targets or {"": DEFAULT_TARGET}).values(), dataset.group}
    mapping = dataset.inputs or {}
    mapped = [mapping[name] for name in sorted(mapping)]
    if dataset.text is not None:
        texts = [name for name in (dataset.text.column, dataset.text.pair) if name is not None]
        mapped = texts + [name for name in mapped if name not in TOKEN_COLUMNS]
    names = mapped or sorted(set(opened.names) - others)
    return {name: opened.load(name, text=True) for name in names}


def group_digests(dataset: Dataset, folder: Path) -> Digests:
    """Return one digest for each group that the samples of `dataset` come in, none if it names no groups.

    Raises Judged with DatasetInvalid.
    """
    if dataset.group is None:
        return numpy.empty(0, numpy.uint64)
    names = numpy.unique(open_dataset(dataset, folder).load(dataset.group, text=True))
    return numpy.asarray([_digest(str(name).encode()) for name in names.tolist()], numpy.uint64)


def count_leaks(test: Digests, others: dict[str, Digests]) -> dict[str, int]:
    """Return how many of the `test` samples are in each of `others` too."""
    return {role: int(numpy.isin(test, digests).sum()) for role, digests in others.items()}


def _digest(*parts: bytes) -> int:
    content = hashlib.blake2b(digest_size=8)
    for part in parts:
        content.update(part)
    return int.from_bytes(content.digest(), "little")


def _values(array: Array) -> Sequence[bytes]:
    """Return what each of the samples of `array` holds: text, or flat numbers, floats as precise as float32."""
    if array.dtype.kind in "UT":
        return [str(text).encode() for text in array.tolist()]
    if is_ragged(array):
        return [_values(sample[None])[0] for sample in array]
    flat = array.reshape(len(array), -1)
    short = flat.astype(numpy.float32) if flat.dtype.kind == "f" else flat
    return [row.tobytes() for row in short.astype(numpy.float64) + 0.0]  # -0.0 becomes 0.0
