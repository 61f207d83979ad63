"""Values of a graph, read against their direction: who makes and who takes each, and what is known of its axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import external, graph

AXES = 4
"""Of queries, keys, values and scores: [batch, heads, sequence, width]."""


class Values:
    """The values of a graph whose shapes were inferred."""

    def __init__(self, model: Any) -> None:
        self.nodes = list(model.graph.node)
        self.makers = {name: node for node in self.nodes for name in node.output}
        self.takers = graph.consumers(model)
        self.tensors = {item.name: item for item in model.graph.initializer}
        infos = [*model.graph.value_info, *model.graph.input, *model.graph.output]
        self.dims = {item.name: [axis.dim_value for axis in item.type.tensor_type.shape.dim] for item in infos}
        self.axes = {
            item.name: [axis.dim_value or axis.dim_param for axis in item.type.tensor_type.shape.dim] for item in infos
        }
        """Lengths, or their names; empty where neither is known."""
        self.kinds = {item.name: item.type.tensor_type.elem_type for item in infos}

    def taker(self, value: str, operator: str) -> Any | None:
        """Return the one node that takes a value, if it is of that kind."""
        takers = self.takers.get(value, [])
        return takers[0] if len(takers) == 1 and takers[0] is not None and takers[0].op_type == operator else None

    def behind_idle(self, value: str) -> str:
        """Return a value as it is behind a Reshape that changes nothing: of one axis at most the length is unknown."""
        node = self.taker(value, "Reshape")
        if node is None:
            return value
        before, after = self.axes.get(value, []), self.axes.get(node.output[0], [])
        return str(node.output[0]) if before[1:] == after[1:] and len(before) == AXES and all(before[1:]) else value

    def made(self, value: str, operator: str) -> Any | None:
        """Return the node that makes a value, if it is of that kind."""
        maker = self.makers.get(value)
        return maker if maker is not None and maker.op_type == operator else None

    def transposed(self, value: str, order: Sequence[int]) -> str:
        """Return what is transposed so, empty if it is not."""
        maker = self.made(value, "Transpose")
        return str(maker.input[0]) if maker is not None and permutation(maker) == order else ""

    def scaled(self, value: str) -> tuple[str, float]:
        """Return what is multiplied with a number, and the number; 1 if none is."""
        maker = self.makers.get(value)
        held = self.tensors.get(maker.input[1]) if maker is not None and maker.op_type in ("Mul", "Div") else None
        if maker is None or held is None or math.prod(held.dims) != 1:
            return value, 1.0
        number = float(external.array(held).reshape(()))
        return str(maker.input[0]), number if maker.op_type == "Mul" else 1 / number

    def halves(self, rows: str, split: str) -> bool:
        """Whether [batch, sequence, width] stands against [batch, sequence, heads, width of each], not other axes."""
        whole, parts = self.dims.get(rows, []), self.dims.get(split, [])
        same = all(0 in pair or pair[0] == pair[1] for pair in zip(whole[:2], parts[:2], strict=False))
        return len(whole) == AXES - 1 and len(parts) == AXES and same

    def between(self, starts: Sequence[str], end: Any) -> tuple[Any, ...]:
        """Return the nodes from those that make `starts` to the last, in order; none if others take what they make."""
        ahead: set[str] = set()
        forward = []
        for node in self.nodes:
            if node.output[0] in starts or ahead.intersection(node.input):
                ahead.update(node.output)
                forward.append(node)
        wanted = set(end.output)
        found = []
        for node in reversed(forward):
            if wanted.intersection(node.output):
                wanted.update(node.input)
                found.append(node)
        inner = {node.output[0] for node in found}
        for node in found:
            outside = any(taker is None or taker.output[0] not in inner for taker in self.takers[node.output[0]])
            if outside and node.output[0] != end.output[0]:
                return ()
        return tuple(reversed(found))


def permutation(transpose: Any) -> list[int]:
    """Return the order of axes that a Transpose makes; empty: none is said."""
    return next((list(item.ints) for item in transpose.attribute if item.name == "perm"), [])
