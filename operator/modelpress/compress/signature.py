"""What goes into a model and comes out: names, types and axes, and arrays that fit them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec

from .errors import Judged

Array = NDArray[np.generic]
Arrays = Mapping[str, Array]

BATCH = "batch"
"""Name of the axis that counts samples."""
MASK = "attention_mask"
"""Name of the input that is 1 where a text has tokens, and 0 at padding, which says nothing about real ones."""
DEFAULT_TYPE = "float32"
FREE_AXIS = 16
"""Size of a named axis other than batch when no data says another."""


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a model, in order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def batched(self) -> bool:
        """Whether the first axis of the inputs counts samples."""
        return bool(self.inputs) and all(spec.shape is not None and spec.shape[:1] == (BATCH,) for spec in self.inputs)

    def checked(self) -> Signature:
        """Return itself; raise Judged if shapes are missing or the batch axis is not first everywhere or nowhere."""
        for spec in self.inputs:
            if spec.shape is None:
                raise Judged(
                    Reason.INVALID_SPEC,
                    f"Input {spec.name} has no shape: add source.inputs[].shape, as [batch, 3, 32, 32].",
                )
            if BATCH in spec.shape[1:]:
                raise Judged(
                    Reason.INVALID_SPEC,
                    f"Input {spec.name} has the axis batch in another place than the first: put it first.",
                )
        having = [spec.name for spec in self.inputs if spec.shape is not None and spec.shape[:1] == (BATCH,)]
        lacking = [spec.name for spec in self.inputs if spec.name not in having]
        if having and lacking:
            raise Judged(
                Reason.INVALID_SPEC,
                f"Inputs {', '.join(having)} have a batch axis and {', '.join(lacking)} have none: give it to all "
                "inputs or to none.",
            )
        return self


def type_of(spec: TensorSpec) -> np.dtype[np.generic]:
    """Return the element type of a tensor."""
    return np.dtype(spec.dtype or DEFAULT_TYPE)


def describe(shape: Sequence[int | str]) -> str:
    """Return a shape as people write it: `[batch, 1, 8, 8]`."""
    return "[" + ", ".join(str(size) for size in shape) + "]"


def example(
    signature: Signature, batch: int, seed: int, data: Arrays | None = None, free: int = FREE_AXIS
) -> dict[str, Array]:
    """Return inputs for one call: `batch` samples of the data if there is any, otherwise random ones.

    Random floats lie in 0…1 and random integers are 0 or 1, so that logarithms, roots and lookups are defined; masks
    are those of texts with padding behind them. Their named axes other than batch have length `free`.
    """
    generator = np.random.default_rng(seed)
    return {spec.name: _example(spec, batch, generator, data, signature.batched, free) for spec in signature.inputs}


def _example(
    spec: TensorSpec, batch: int, generator: np.random.Generator, data: Arrays | None, batched: bool, free: int
) -> Array:
    kind = type_of(spec)
    if data is not None and len(data[spec.name]):
        column = data[spec.name]
        if not batched:
            return np.asarray(column[0], kind)  # of an input without axes it is a number
        return np.resize(column[:batch], (batch, *column.shape[1:])).astype(kind)
    shape = [size if isinstance(size, int) else batch if size == BATCH else free for size in spec.shape or ()]
    if spec.name.endswith(MASK) and shape:
        lengths = generator.integers(1, shape[-1], (*shape[:-1], 1), endpoint=True)
        return (np.arange(shape[-1]) < lengths).astype(kind)
    if kind.kind == "f":
        return generator.random(shape).astype(kind)
    return generator.integers(0, 2, shape).astype(kind)


def calls(
    data: Arrays, signature: Signature, size: int, order: Sequence[int] | None = None
) -> Iterator[dict[str, Array]]:
    """Cut columns (first axis: samples) into inputs of single calls: `size` samples each, one without a batch axis."""
    count = len(next(iter(data.values())))
    indexes = np.arange(count) if order is None else np.asarray(order)
    kinds = {spec.name: type_of(spec) for spec in signature.inputs}
    step = size if signature.batched else 1
    for start in range(0, len(indexes), step):
        chosen = indexes[start : start + step]
        if not signature.batched:
            chosen = chosen[0]
        yield {
            name: np.asarray(column[chosen]).astype(kinds[name], copy=False)
            for name, column in data.items()
            if name in kinds
        }
