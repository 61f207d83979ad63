"""Values of a graph, read against their direction: who makes and who takes each, and what is known of its axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .. import external, graph
from .layouts import UNKNOWN, Length

MADE_UP = "unk__"
"""What onnx's inference begins names of axes with of which it knows nothing."""


class Values:
    """The values of a graph whose shapes were inferred."""

    def __init__(self, model: Any) -> None:
        self.nodes = list(model.graph.node)
        self.makers = {name: node for node in self.nodes for name in node.output}
        self.takers = graph.consumers(model)
        self.tensors = {item.name: item for item in model.graph.initializer}
        infos = [*model.graph.value_info, *model.graph.input, *model.graph.output]
        self._shapes = {item.name: item.type.tensor_type.shape.dim for item in infos}
        self.kinds = {item.name: item.type.tensor_type.elem_type for item in infos}
        self.kinds.update((item.name, item.data_type) for item in model.graph.initializer)

    def lengths(self, value: str) -> list[Length]:
        """Return the length of each axis or its name, UNKNOWN where neither is known; no axes where nothing is."""
        tensor = self.tensors.get(value)
        if tensor is not None:
            return list(tensor.dims)
        return [
            axis.dim_value or ("" if axis.dim_param.startswith(MADE_UP) else axis.dim_param) or UNKNOWN
            for axis in self._shapes.get(value, ())
        ]

    def taker(self, value: str, operator: str) -> Any | None:
        """Return the one node that takes a value, if it is of that kind."""
        takers = self.takers.get(value, [])
        return takers[0] if len(takers) == 1 and takers[0] is not None and takers[0].op_type == operator else None

    def made(self, value: str, operator: str) -> Any | None:
        """Return the node that makes a value, if it is of that kind."""
        maker = self.makers.get(value)
        return maker if maker is not None and maker.op_type == operator else None

    def scaled(self, value: str) -> tuple[str, float]:
        """Return what is multiplied with a number, and the number; 1 if none is."""
        maker = self.makers.get(value)
        if maker is None or maker.op_type not in ("Mul", "Div"):
            return value, 1.0
        first, second = maker.input
        if maker.op_type == "Mul" and first in self.tensors:
            first, second = second, first
        held = self.tensors.get(second)
        if held is None or math.prod(held.dims) != 1 or len(held.dims) > len(self.lengths(first)):
            return value, 1.0
        number = float(external.array(held).reshape(()))
        return str(first), number if maker.op_type == "Mul" else 1 / number

    def between(self, starts: Sequence[str], end: Any, outside: Iterable[str]) -> tuple[Any, ...]:
        """Return the nodes from those that make `starts` to the last, in order, without what others need.

        `outside`: values that are needed whatever becomes of the nodes.
        """
        ahead: set[str] = set()
        forward = []
        for node in self.nodes:
            if node.output[0] in starts or ahead.intersection(node.input):
                ahead.update(node.output)
                forward.append(node)
        wanted, others = set(end.output), set(outside)
        found: list[Any] = []
        for node in reversed(forward):
            if not wanted.intersection(node.output):
                continue
            inner = {item.output[0] for item in found}
            takers = self.takers[node.output[0]] if node is not end else []
            if others.intersection(node.output) or any(
                taker is None or taker.output[0] not in inner for taker in takers
            ):
                others.update(node.input)
            else:
                wanted.update(node.input)
                found.append(node)
        return tuple(reversed(found))


def permutation(transpose: Any) -> list[int]:
    """Return the order of axes that a Transpose makes; empty: none is said."""
    return next((list(item.ints) for item in transpose.attribute if item.name == "perm"), [])
