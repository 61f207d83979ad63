"""Weights of recurrent layers stored in 8 bits and widened before use: smaller, with float arithmetic.

They are widened by a Cast and a Mul, which sessions fold away: the kernels want constant weights, and behind a
DequantizeLinear they took 10 to 20 times as long for eight samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from onnx import TensorProto, helper, numpy_helper

from ... import external, graph
from .symmetric import symmetric

OPERATORS = frozenset({"LSTM", "GRU", "RNN"})
INPUTS = (1, 2)
"""Where the weights of input and state stand, each [directions, gates * hidden, width]."""


def store_recurrent(proto: Any, chosen: Collection[str]) -> Counter[str]:
    """Replace float weights of the chosen nodes by int8 ones, a scale per row, in place; return how many by operator.

    What the initializer holds is symmetric around zero: rows of single gates and outputs.
    """
    weights = {item.name: item for item in proto.graph.initializer if item.data_type == TensorProto.FLOAT}
    done: dict[str, str] = {}
    nodes: list[Any] = []
    counts: Counter[str] = Counter()
    for node in proto.graph.node:
        if node.op_type in OPERATORS and node.name in chosen:
            names = {place: node.input[place] for place in INPUTS if node.input[place] in weights}
            for place, name in names.items():
                if name not in done:
                    nodes += _widening(proto, weights[name])
                    done[name] = nodes[-1].output[0]
                node.input[place] = done[name]
            counts[node.op_type] += bool(names)
        nodes.append(node)
    if done:
        graph.replace_nodes(proto, nodes, done)
    return +counts


def _widening(proto: Any, tensor: Any) -> list[Any]:
    """Add the int8 form of a weight, and return the nodes that widen it."""
    values = external.array(tensor)
    codes, scale = symmetric(values, (-1,))
    stored, scales, wide, widened = (f"{tensor.name}_{end}" for end in ("int8", "scale", "wide", "widened"))
    proto.graph.initializer.extend([numpy_helper.from_array(codes, stored), numpy_helper.from_array(scale, scales)])
    return [
        helper.make_node("Cast", [stored], [wide], name=wide, to=TensorProto.FLOAT),
        helper.make_node("Mul", [wide, scales], [widened], name=widened),
    ]
