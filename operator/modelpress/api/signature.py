"""What a model takes and gives, as its ONNX file says: read by the judge, kept in the manifest, served by Triton."""

from __future__ import annotations

from .base import ApiType


class Tensor(ApiType):
    """One input or output of an ONNX graph."""

    name: str
    """Name in the graph."""
    dtype: str
    """Type of its elements as numpy calls it: `float32`, `int64`, `bool`; `bfloat16` and `string` beside."""
    shape: tuple[int | str, ...]
    """Axes: a number is fixed, a name is dynamic. Axes of the same name have the same length."""


class Signature(ApiType):
    """All inputs and outputs of a model, in the graph's order."""

    inputs: tuple[Tensor, ...]
    """What it takes."""
    outputs: tuple[Tensor, ...]
    """What it gives."""

    @property
    def batched(self) -> bool:
        """Whether requests may be joined: every input and output has a dynamic first axis, the inputs one and the same.

        Exporters often give an output's axis a name of its own; so outputs need only be dynamic.
        """
        first = [tensor.shape[:1] for tensor in self.inputs]
        return (
            bool(first)
            and all(axis and isinstance(axis[0], str) for axis in first)
            and len(set(first)) == 1
            and all(tensor.shape and isinstance(tensor.shape[0], str) for tensor in self.outputs)
        )
