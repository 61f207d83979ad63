"""Reading a dataset for a model: columns by the dataset's mapping, checked against the model, chosen by the seed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy

from modelpress.api.data import TOKEN_COLUMNS, Dataset
from modelpress.api.defaults import dataset_format
from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec
from modelpress.store.locations import file_name

from ..errors import Judged
from .columns import Array, Columns, open_columns
from .fitting import BATCH, check_axes, check_finite, fit
from .ragged import is_ragged, join
from .text import with_tokens

DEFAULT_TARGET = "label"
"""Column of the target of the first output, if the dataset names none."""


@dataclass(frozen=True)
class Samples:
    """Samples of a dataset; the first axis of every array counts them."""

    inputs: dict[str, Array]
    """By the model's input names, with the element types that the model takes. A column of samples of different sizes
    is an array of arrays."""
    targets: dict[str, Array]
    """By the model's output names; those outputs that have a target. Whole numbers stay such, floats are float32."""
    count: int
    """Number of samples, at least 1."""
    columns: dict[str, Array] = field(default_factory=dict)
    """Further columns that were asked for, by their own names."""
    group: Array | None = None
    """Whole numbers, equal where samples belong together. None: each stands for itself."""


def read(
    dataset: Dataset,
    folder: Path,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    seed: int,
    columns: Collection[str] = (),
    tokenizer: Path | None = None,
) -> Samples:
    """Return the samples of `dataset`, whose file lies in `folder`, for a model with these `inputs` and `outputs`.

    `columns`: names of further columns to read; `tokenizer`: folder of the model's tokenizer.json, for text. Raises
    Judged: DatasetInvalid, DatasetDoesNotFit, NotFinite.
    """
    opened = open_dataset(dataset, folder)
    if dataset.text is not None:
        opened = with_tokens(opened, dataset.text, tokenizer or folder, _width(dataset, inputs))
    source = f"dataset {opened.path.name}"
    _check_names(dataset.inputs, [spec.name for spec in inputs], "inputs", source)
    _check_names(dataset.targets, [spec.name for spec in outputs], "targets", source)
    input_columns = {spec.name: (dataset.inputs or {}).get(spec.name, spec.name) for spec in inputs}
    target_columns = _target_columns(dataset, opened, outputs)
    loaded = {
        name: _load(opened, name, source) for name in {*input_columns.values(), *target_columns.values(), *columns}
    }
    together = {} if dataset.group is None else {dataset.group: _group(opened, dataset.group, source)}
    chosen = _choose({**loaded, **together}, dataset.samples, seed, source)
    if chosen is not None:
        loaded = {name: array[chosen] for name, array in loaded.items()}
        together = {name: array[chosen] for name, array in together.items()}
    fitted = {
        spec.name: fit(loaded[input_columns[spec.name]], spec, input_columns[spec.name], source) for spec in inputs
    }
    check_axes(fitted, inputs, source)
    single = not any(spec.shape and spec.shape[0] == BATCH for spec in inputs)
    targets = {output: as_target(loaded[column], column, source, single) for output, column in target_columns.items()}
    further = {column: as_target(loaded[column], column, source, single) for column in columns}
    return Samples(fitted, targets, len(next(iter(loaded.values()))), further, next(iter(together.values()), None))


def _width(dataset: Dataset, inputs: Sequence[TensorSpec]) -> int | None:
    """Return how many tokens the model takes, None if any number."""
    shapes = [spec.shape or () for spec in inputs if (dataset.inputs or {}).get(spec.name, spec.name) in TOKEN_COLUMNS]
    return next((shape[-1] for shape in shapes if shape and isinstance(shape[-1], int)), None)


def _group(opened: Columns, name: str, source: str) -> Array:
    """Return the column that says which samples belong together, as numbers from 0. Raises Judged."""
    _check_present(opened, name, source)
    values = opened.load(name, text=True)
    if values.ndim > 1 or is_ragged(values):
        raise Judged(Reason.DATASET_DOES_NOT_FIT, f"{source}: column {name!r} needs one value for each sample")
    if values.dtype.kind == "f" and numpy.isnan(values).any():
        row = int(numpy.isnan(values).argmax())
        raise Judged(
            Reason.NOT_FINITE, f"{source}: column {name!r} holds NaN, first in sample {row}: say which group it is in"
        )
    return numpy.unique(values, return_inverse=True)[1]


def open_dataset(dataset: Dataset, folder: Path) -> Columns:
    """Return the columns of the file of `dataset` in `folder`. Raises Judged with DatasetInvalid."""
    path = folder / file_name(dataset.uri)
    try:
        file_format = dataset_format(dataset)
    except ValueError as error:
        raise Judged(Reason.DATASET_INVALID, str(error)) from error
    if not path.is_file():
        raise Judged(Reason.DATASET_INVALID, f"dataset {dataset.uri} is no single file: name one file")
    return open_columns(path, file_format)


def as_target(array: Array, column: str, source: str, single: bool = False) -> Array:
    """Return `array` as it is compared with outputs: truth values and whole numbers as int64, others as float32.

    `single`: the model is asked for one sample at a time, so that samples may differ in size. Raises Judged: NotFinite,
    DatasetDoesNotFit for lists of different lengths that would have to make a batch.
    """
    if is_ragged(array):
        if not single:
            raise Judged(
                Reason.DATASET_DOES_NOT_FIT, f"{source}: column {column!r} has lists of different lengths: pad them"
            )
        return join([as_target(one[None], column, f"{source}, sample {row}")[0] for row, one in enumerate(array)])
    check_finite(array, column, source)
    return array.astype(numpy.float32 if array.dtype.kind == "f" else numpy.int64, copy=False)


def _check_names(mapping: dict[str, str] | None, known: list[str], what: str, source: str) -> None:
    unknown = sorted(set(mapping or {}) - set(known))
    if unknown:
        raise Judged(
            Reason.DATASET_DOES_NOT_FIT, f"{source}: {what} names {unknown[0]!r}, the model has {', '.join(known)}"
        )


def _target_columns(dataset: Dataset, opened: Columns, outputs: Sequence[TensorSpec]) -> dict[str, str]:
    """Return the column of each output that has a target."""
    if dataset.targets is not None:
        return dict(dataset.targets)
    return {outputs[0].name: DEFAULT_TARGET} if outputs and DEFAULT_TARGET in opened else {}


def _load(opened: Columns, name: str, source: str) -> Array:
    _check_present(opened, name, source)
    return opened.load(name)


def _check_present(opened: Columns, name: str, source: str) -> None:
    if name not in opened:
        raise Judged(
            Reason.DATASET_DOES_NOT_FIT,
            f"{source} has no column {name!r}; it has {', '.join(opened.names)[:300]}: map it with inputs or targets",
        )


def _choose(loaded: dict[str, Array], samples: int | None, seed: int, source: str) -> Array | None:
    """Return the rows to use, None for all, in the order of the file."""
    lengths = {name: len(array) for name, array in loaded.items()}
    if len(set(lengths.values())) != 1:
        listed = ", ".join(f"{name} {length}" for name, length in sorted(lengths.items()))
        raise Judged(Reason.DATASET_INVALID, f"{source}: columns differ in length: {listed}")
    count = next(iter(lengths.values()))
    if count == 0:
        raise Judged(Reason.DATASET_INVALID, f"{source} holds no samples")
    if samples is None or samples >= count:
        return None
    return numpy.sort(numpy.random.default_rng(seed).choice(count, samples, replace=False))
