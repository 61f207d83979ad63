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


def row_digests(dataset: Dataset, folder: Path, names: Sequence[str] | None = None) -> Digests:
    """Return one digest for each sample of `dataset`, over what a sample is (`sample_names`), or those of it.

    Raises Judged with DatasetInvalid.
    """
    return digests_of(list(sample_columns(dataset, folder, names).values()))


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


def sample_names(dataset: Dataset, folder: Path) -> dict[str, str]:
    """Return what a sample is: the columns of its text and of the inputs that the dataset maps, by the inputs' names;
    else all columns but targets and group, by their own.

    Raises Judged with DatasetInvalid.
    """
    opened = open_dataset(dataset, folder)
    found = dict(sorted((dataset.inputs or {}).items()))
    if dataset.text is not None:
        parts = {"text": dataset.text.column, "text.pair": dataset.text.pair}
        texts = {part: column for part, column in parts.items() if column is not None}
        found = texts | {name: column for name, column in found.items() if column not in TOKEN_COLUMNS}
    if found:
        return {name: column for name, column in found.items() if column in opened}
    others = {*(dataset.targets or {"": DEFAULT_TARGET}).values(), dataset.group}
    return {name: name for name in sorted(set(opened.names) - others)}


def sample_columns(dataset: Dataset, folder: Path, names: Sequence[str] | None = None) -> dict[str, Array]:
    """Return what a sample is (`sample_names`), or those `names` of it. Raises Judged with DatasetInvalid."""
    known = sample_names(dataset, folder)
    opened = open_dataset(dataset, folder)
    return {name: opened.load(known[name], text=True) for name in (known if names is None else names)}


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
