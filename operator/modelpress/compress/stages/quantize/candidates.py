"""Nodes whose weights can be stored in groups: matrix products with a constant, and embeddings. Only reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from ... import external, graph
from .rounding import Floats

LEAST_ELEMENTS = 256
"""Smaller weights gain nothing."""
LEAST_WIDTH = 16
"""Narrower matrices neither: the least group is padded up to this."""
LEAST_ROW = 4
"""Nor do narrower rows of tables: each has a scale of its own."""


@dataclass(frozen=True)
class Candidate:
    """A node, and the constant it holds as rows: [outputs, inputs], of an embedding [entries, width]."""

    name: str
    operator: str
    """MatMul, Gemm or Gather."""
    weight: str
    """Name of the initializer."""
    activation: str
    """Tensor that is multiplied with the weight, or the indexes of an embedding."""
    shape: tuple[int, int]
    transposed: bool
    """Whether the initializer holds the rows as columns."""

    @property
    def embedding(self) -> bool:
        """Whether rows are looked up instead of multiplied."""
        return self.operator == "Gather"

    @property
    def elements(self) -> int:
        """Number of weights."""
        return self.shape[0] * self.shape[1]

    def rows(self, initializers: Mapping[str, Any]) -> Floats:
        """Return the weight as rows."""
        values = external.array(initializers[self.weight])
        return np.ascontiguousarray(values.T if self.transposed else values, np.float32)

    def as_stored(self, rows: Floats) -> Floats:
        """Return rows the way the initializer holds them."""
        return np.ascontiguousarray(rows.T if self.transposed else rows, np.float32)


def find(proto: Any) -> Iterator[Candidate]:
    """Yield the candidates of a graph whose nodes have names, in order."""
    weights = {item.name: item for item in proto.graph.initializer if item.data_type == onnx.TensorProto.FLOAT}
    ranks = {item.name: len(item.type.tensor_type.shape.dim) for item in [*proto.graph.value_info, *proto.graph.input]}
    for node in proto.graph.node:
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        place = 0 if node.op_type == "Gather" else 1
        tensor = weights.get(node.input[place]) if len(node.input) > place else None
        if tensor is None or len(tensor.dims) != 2 or not _able(node, attributes, ranks):
            continue
        shape = (int(tensor.dims[0]), int(tensor.dims[1]))
        transposed = node.op_type == "MatMul" or (node.op_type == "Gemm" and not graph.turned(node))
        rows = (shape[1], shape[0]) if transposed else shape
        if rows[0] * rows[1] < LEAST_ELEMENTS or rows[1] < (LEAST_ROW if place == 0 else LEAST_WIDTH):
            continue
        yield Candidate(node.name, node.op_type, tensor.name, node.input[1 - place], rows, transposed)


def _able(node: Any, attributes: Mapping[str, Any], ranks: Mapping[str, int]) -> bool:
    match node.op_type:
        case "MatMul":
            return bool(ranks.get(node.input[0], 2) >= 2)
        case "Gemm":
            plain = attributes.get("alpha", 1.0) == 1.0 and attributes.get("beta", 1.0) == 1.0
            return bool(plain and not attributes.get("transA", 0))
        case "Gather":
            return bool(attributes.get("axis", 0) == 0)
    return False
