"""Weights of dynamic products made unsigned, so that every processor computes them exactly.

Activations whose ranges are found at run time are unsigned. With signed weights, x86 processors without VNNI add pairs
of such products in 16 bits, which overflow; with unsigned ones no kernel does. Codes and zero points both move by 128,
so the weights that they stand for stay the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from ... import external, graph
from ...external import Spool

WEIGHTS: Mapping[str, tuple[tuple[int, int], ...]] = MappingProxyType(
    {"MatMulInteger": ((1, 3),), "DynamicQuantizeLSTM": ((1, 9), (2, 11))}
)
"""Operators with unsigned activations, and their inputs that are weights, each with its zero point."""
SUFFIX = "_unsigned"
MIDDLE = 128


def to_unsigned(proto: Any, spool: Spool) -> None:
    """Change signed weights of such operators in place; large ones lie in the spool until the graph is saved."""
    tensors = {item.name: item for item in proto.graph.initializer}
    made: dict[str, Any] = {}
    for node in proto.graph.node:
        for weight, zero in WEIGHTS.get(node.op_type, ()):
            if tensors[node.input[weight]].data_type != TensorProto.INT8:
                continue
            for place in (weight, zero):
                name = node.input[place]
                if name not in made:
                    moved = (external.array(tensors[name]).astype(np.int16) + MIDDLE).astype(np.uint8)
                    made[name] = spool.tensor(numpy_helper.from_array(moved, f"{name}{SUFFIX}"))
                node.input[place] = made[name].name
    proto.graph.initializer.extend(made.values())
    graph.replace_nodes(proto, list(proto.graph.node), set(made))
