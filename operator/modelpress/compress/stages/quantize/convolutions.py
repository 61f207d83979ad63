"""Weights of convolutions stored in 8 bits and widened before use: smaller, with float arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from ... import external, graph
from .symmetric import others, symmetric

OUTPUT_AXIS = {"Conv": 0, "ConvTranspose": 1}
LEAST_ELEMENTS = 64
"""Smaller weights gain nothing."""


def store_convolutions(proto: Any, ignored: set[str], *, per_channel: bool) -> int:
    """Replace float weights of convolutions by int8 ones and a DequantizeLinear, in place; return how many."""
    weights = {item.name: item for item in proto.graph.initializer}
    done: dict[str, str] = {}
    nodes: list[Any] = []
    count = 0
    for node in proto.graph.node:
        name = node.input[1] if node.op_type in OUTPUT_AXIS and len(node.input) > 1 else ""
        tensor = weights.get(name)
        if tensor is not None and node.name not in ignored and _worth(tensor):
            if name not in done:
                nodes.append(_widen(proto, tensor, OUTPUT_AXIS[node.op_type] if per_channel else None))
                done[name] = nodes[-1].output[0]
            node.input[1] = done[name]
            count += 1
        nodes.append(node)
    if done:
        graph.replace_nodes(proto, nodes, done)
    return count


def _worth(tensor: Any) -> bool:
    return tensor.data_type == onnx.TensorProto.FLOAT and int(np.prod(tensor.dims)) >= LEAST_ELEMENTS


def _widen(proto: Any, tensor: Any, axis: int | None) -> Any:
    """Add the int8 form of a weight, symmetric, and return the node that widens it."""
    values = external.array(tensor)
    rounded, scale = symmetric(values, others(values.ndim, axis))
    flat = scale.reshape(-1) if axis is not None else scale.reshape(())
    names = [f"{tensor.name}_int8", f"{tensor.name}_scale", f"{tensor.name}_widened"]
    proto.graph.initializer.extend(
        [numpy_helper.from_array(rounded, names[0]), numpy_helper.from_array(flat, names[1])]
    )
    node = onnx.helper.make_node("DequantizeLinear", names[:2], names[2:], name=f"widen_{tensor.name}")
    if axis is not None:
        node.attribute.append(onnx.helper.make_attribute("axis", axis))
    return node
