"""Sums over neighbours taken where rows are narrow: a product that widens rows waits until its inputs are summed.

(S X) W = S (X W) for whatever S does to whole rows: gather them, scale them, add them up. Rows with few columns are
gathered and added in a fraction of the time, and a graph has more edges than nodes. DGL's GraphConv chooses the order
so for a whole layer (Wang et al. 2019, arXiv:1909.01315); here it is found in any exported graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from . import external, graph

PRODUCTS = ("Gemm", "MatMul")
NARROW = "_narrow"


def narrow(model: Any) -> list[str]:
    """Move products behind the sums, in place; return the sums, by name.

    What is known of shapes must still be in the model.
    """
    _count_rows(model)
    done: list[str] = []
    while (found := _first(model)) is not None:
        _move(model, *found)
        done.extend(found[1].sums)
    return done


def _count_rows(model: Any) -> None:
    """Have rows counted by a value's own shape, not by that of one of its columns, in place."""
    shapes = _Shapes(model)
    for node in model.graph.node:
        maker = shapes.makers.get(node.input[0]) if node.op_type == "Shape" else None
        if maker is not None and maker.op_type == "Gather" and _takes_one_column(maker, shapes):
            node.input[0] = maker.input[0]
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("start", 0))
            node.attribute.append(helper.make_attribute("end", 1))
    takers = graph.consumers(model)
    for place in reversed(range(len(model.graph.node))):
        node = model.graph.node[place]
        if node.op_type == "Gather" and node.output[0] not in takers and _takes_one_column(node, shapes):
            del model.graph.node[place]


@dataclass
class _Region:
    """Nodes between a product and the one value that others take, each linear in whole rows."""

    nodes: list[Any] = field(default_factory=list)
    values: set[str] = field(default_factory=set)
    summed: set[str] = field(default_factory=set)
    """Values in which rows were added up: gathering them again is for the next region."""
    ends: set[str] = field(default_factory=set)
    """Values that others take."""

    @property
    def sums(self) -> list[str]:
        """Nodes that add rows up."""
        return [node.name for node in self.nodes if node.op_type == "ScatterND"]


class _Shapes:
    """What is known of values."""

    def __init__(self, model: Any) -> None:
        self.initializers = {item.name: item for item in model.graph.initializer}
        self.makers = {name: node for node in model.graph.node for name in node.output}
        infos = [*model.graph.value_info, *model.graph.input, *model.graph.output]
        self._dims = {
            item.name: [
                axis.dim_value if axis.HasField("dim_value") else None for axis in item.type.tensor_type.shape.dim
            ]
            for item in infos
            if item.type.tensor_type.HasField("shape")
        } | {name: list(item.dims) for name, item in self.initializers.items()}

    def rank(self, name: str) -> int | None:
        """Return the number of axes; None: unknown."""
        return len(self._dims[name]) if name in self._dims else None

    def last(self, name: str) -> int | None:
        """Return the length of the last axis, 1 of a scalar; None: unknown."""
        dims = self._dims.get(name)
        return None if dims is None else dims[-1] if dims else 1

    def zeros(self, name: str) -> bool:
        """Whether a value is known to be zeros."""
        maker = self.makers.get(name)
        if maker is not None and maker.op_type == "Expand":
            return self.zeros(maker.input[0])
        if maker is not None and maker.op_type == "ConstantOfShape":
            return not any(np.any(numpy_helper.to_array(item.t)) for item in maker.attribute)
        held = self.initializers.get(name)
        return held is not None and external.size_of(held) < external.LARGE and not np.any(external.array(held))


def _first(model: Any) -> tuple[Any, _Region] | None:
    """Return a product that may wait, and what it may wait for."""
    shapes, takers = _Shapes(model), graph.consumers(model)
    for node in model.graph.node:
        if _widens(node, shapes):
            region = _region(model, node, shapes, takers)
            if region.sums and len(region.ends) == 1:
                return node, region
    return None


def _widens(node: Any, shapes: _Shapes) -> bool:
    """Whether a node multiplies rows with a constant that has more columns than rows, and does nothing else."""
    if node.op_type not in PRODUCTS or len(node.input) != 2:
        return False
    weight = shapes.initializers.get(node.input[1])
    if weight is None or len(weight.dims) != 2 or shapes.rank(node.output[0]) != 2:
        return False
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": graph.turned(node)}
    if any(helper.get_attribute_value(item) != plain[item.name] for item in node.attribute if item.name != "beta"):
        return False
    inputs, outputs = reversed(weight.dims) if graph.turned(node) else weight.dims
    return bool(inputs < outputs)


def _region(model: Any, product: Any, shapes: _Shapes, takers: Mapping[str, list[Any]]) -> _Region:
    """Return what lies behind a product and is linear in whole rows."""
    region = _Region(values={product.output[0]})
    for node in model.graph.node:
        if region.values.intersection(node.input) and _linear(node, region, shapes):
            region.nodes.append(node)
            region.values.add(node.output[0])
            if node.op_type == "ScatterND" or region.summed.intersection(node.input):
                region.summed.add(node.output[0])
    inside = {node.output[0] for node in region.nodes}
    region.ends = {
        name
        for name in region.values
        if any(
            taker is None or (taker.output[0] not in inside and not _only_sizes(taker))
            for taker in takers.get(name, [])
        )
    }
    return region


def _linear(node: Any, region: _Region, shapes: _Shapes) -> bool:
    """Whether a node does to whole rows of the region's values what can be done before the product as well."""
    own = [name in region.values for name in node.input]
    match node.op_type:
        case "Identity" | "Neg" | "Add" | "Sub":
            return all(own)
        case "Mul" | "Div":
            by_row = own.count(True) == 1 and _one_a_row(node.input[own.index(False)], shapes)
            return by_row and (own[0] or node.op_type == "Mul")
        case "Gather":
            return own == [True, False] and _takes_rows(node, shapes) and node.input[0] not in region.summed
        case "GatherND":
            by_number = shapes.last(node.input[1]) == 1 and shapes.rank(node.input[1]) == 2
            return own == [True, False] and by_number and node.input[0] not in region.summed
        case "ScatterND":
            data, indices, rows = own
            return (data or shapes.zeros(node.input[0])) and not indices and rows and _adds_rows(node, shapes)
        case _:
            return False


def _only_sizes(node: Any) -> bool:
    """Whether a node takes the lengths of all axes, or of the first."""
    limits = {item.name: item.i for item in node.attribute}
    return bool(node.op_type == "Shape" and limits.get("start", 0) == 0 and limits.get("end", 1) == 1)


def _takes_one_column(node: Any, shapes: _Shapes) -> bool:
    """Whether a Gather takes one column of a matrix."""
    axis = next((item.i for item in node.attribute if item.name == "axis"), 0)
    return axis in (1, -1) and shapes.rank(node.input[0]) == 2 and shapes.rank(node.input[1]) == 0


def _takes_rows(node: Any, shapes: _Shapes) -> bool:
    """Whether a Gather takes whole rows by a list of numbers."""
    return shapes.rank(node.input[1]) == 1 and not any(item.name == "axis" and item.i for item in node.attribute)


def _adds_rows(node: Any, shapes: _Shapes) -> bool:
    """Whether a ScatterND adds whole rows."""
    adds = any(item.name == "reduction" and item.s == b"add" for item in node.attribute)
    return adds and shapes.last(node.input[1]) == 1


def _one_a_row(name: str, shapes: _Shapes) -> bool:
    """Whether a value has one number for each row."""
    rank = shapes.rank(name)
    return rank is not None and rank <= 2 and shapes.last(name) == 1


def _move(model: Any, product: Any, region: _Region) -> None:
    """Put the product behind the region."""
    (end,) = region.ends
    weight = next(item for item in model.graph.initializer if item.name == product.input[1])
    inputs, outputs = reversed(weight.dims) if graph.turned(product) else weight.dims
    renamed = {product.output[0]: product.input[0]} | {
        node.output[0]: f"{node.output[0]}{NARROW}" for node in region.nodes
    }
    inside = {node.output[0] for node in region.nodes}
    nodes: list[Any] = []
    for node in model.graph.node:
        if node.output[0] == product.output[0]:
            continue
        if node.op_type == "Shape" and node.input[0] in renamed:
            nodes.extend(_sizes(model, node, renamed[node.input[0]], outputs))
            continue
        if node.output[0] not in inside:
            nodes.append(node)
            continue
        moved = onnx.NodeProto.FromString(node.SerializeToString())
        for index, name in enumerate(node.input):
            moved.input[index] = renamed.get(name, name)
        if node.op_type == "ScatterND" and node.input[0] not in renamed:
            moved.input[0] = _fewer_columns(model, nodes, node.input[0], f"{node.output[0]}{NARROW}_zeros", inputs)
        moved.output[0] = renamed[node.output[0]]
        nodes.append(moved)
        if node.output[0] == end:
            last = onnx.NodeProto.FromString(product.SerializeToString())
            last.input[0], last.output[0] = renamed[end], end
            nodes.append(last)
    graph.replace_nodes(model, nodes)
    _forget_shapes(model, renamed)


def _sizes(model: Any, node: Any, narrow_value: str, columns: int) -> list[Any]:
    """Return nodes that give the sizes of a wide value by those of its narrow one."""
    rows = helper.make_node("Shape", [narrow_value], [node.output[0]], name=node.name, start=0, end=1)
    if any(item.name == "end" for item in node.attribute):
        return [rows]
    rows.output[0] = f"{node.output[0]}_rows"
    held = f"{node.output[0]}_columns"
    model.graph.initializer.append(numpy_helper.from_array(np.array([columns], np.int64), held))
    return [rows, helper.make_node("Concat", [rows.output[0], held], [node.output[0]], name=f"{node.name}_all", axis=0)]


def _fewer_columns(model: Any, nodes: list[Any], zeros: str, name: str, columns: int) -> str:
    """Add a node that takes so many columns of zeros; return its output."""
    limits = {"starts": 0, "ends": columns, "axes": 1}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array([value], np.int64), f"{name}_{key}") for key, value in limits.items()
    )
    nodes.append(helper.make_node("Slice", [zeros, *(f"{name}_{key}" for key in limits)], [name], name=name))
    return name


def _forget_shapes(model: Any, renamed: Mapping[str, str]) -> None:
    """Have narrow values known by their ranks alone: that is what the next region asks for."""
    known = {item.name: item for item in model.graph.value_info}
    for wide, name in renamed.items():
        if wide in known and name not in known:
            item = model.graph.value_info.add()
            item.CopyFrom(known[wide])
            item.name = name
            if item.type.tensor_type.shape.dim:
                item.type.tensor_type.shape.dim[-1].Clear()
