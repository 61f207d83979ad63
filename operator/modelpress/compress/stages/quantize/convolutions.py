"""Weights of convolutions stored in 8 bits and widened before use: smaller, with float arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from ... import graph
from .symmetric import others
from .widening import widening

OUTPUT_AXIS = {"Conv": 0, "ConvTranspose": 1}
LEAST_ELEMENTS = 64
"""Smaller weights gain nothing."""


def store_convolutions(proto: Any, ignored: set[str], *, per_channel: bool, fixed_point: bool) -> int:
    """Replace float weights of convolutions by int8 ones, in place; return how many."""
    weights = {item.name: item for item in proto.graph.initializer}
    done: dict[str, str] = {}
    nodes: list[Any] = []
    count = 0
    for node in proto.graph.node:
        name = node.input[1] if node.op_type in OUTPUT_AXIS and len(node.input) > 1 else ""
        tensor = weights.get(name)
        if tensor is not None and node.name not in ignored and _worth(tensor):
            if name not in done:
                axis = OUTPUT_AXIS[node.op_type] if per_channel else None
                nodes += widening(proto, tensor, others(len(tensor.dims), axis), fixed_point=fixed_point)
                done[name] = nodes[-1].output[0]
            node.input[1] = done[name]
            count += 1
        nodes.append(node)
    if done:
        graph.replace_nodes(proto, nodes)
    return count


def _worth(tensor: Any) -> bool:
    return tensor.data_type == onnx.TensorProto.FLOAT and int(np.prod(tensor.dims)) >= LEAST_ELEMENTS
