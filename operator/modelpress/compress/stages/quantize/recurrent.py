"""Weights of recurrent layers stored in 8 bits and widened before use: smaller, with float arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from onnx import TensorProto

from ... import graph
from .widening import widening

OPERATORS = frozenset({"LSTM", "GRU", "RNN"})
INPUTS = (1, 2)
"""Where the weights of input and state stand, each [directions, gates * hidden, width]."""


def store_recurrent(proto: Any, chosen: Collection[str], *, fixed_point: bool) -> Counter[str]:
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
                    nodes += widening(proto, weights[name], (-1,), fixed_point=fixed_point)
                    done[name] = nodes[-1].output[0]
                node.input[place] = done[name]
            counts[node.op_type] += bool(names)
        nodes.append(node)
    if done:
        graph.replace_nodes(proto, nodes)
    return +counts
