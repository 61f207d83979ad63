"""Attention computed by one operator where nothing is masked.

The operator is onnxruntime's MultiHeadAttention, which without a mask works in tiles and never holds all scores (Dao et
al. 2022, arXiv:2205.14135). With a mask it is no faster than what was exported, so that is what an If falls back to
when a position of the request is masked: requests of one text, and of texts of one length, are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .. import graph
from .attention import Attention
from .masks import Mask, MaskKind

DOMAIN = "com.microsoft"
UNMASKED, ZERO = "_unmasked", "unmasked_zero"
TURNED = [1, 0, 2]
"""Batch and sequence of rows exchanged."""
SIZES = {MaskKind.ADDED: ("Abs",), MaskKind.HIDDEN: ("Cast",), MaskKind.SEEN: ("Not", "Cast")}
"""What makes numbers of a mask that are zero where it masks nothing."""

ATTRIBUTES: Mapping[str, dict[str, Any]] = MappingProxyType(
    {"Cast": {"to": TensorProto.FLOAT}, "ReduceMax": {"keepdims": 0}}
)


def conditions(found: Sequence[Attention]) -> dict[Mask, list[Any]]:
    """Return, for each mask, nodes of which the last says whether it masks nothing."""
    masks = dict.fromkeys(mask for item in found for mask in item.masks)
    return {mask: _condition(mask, f"{mask.value}_{mask.kind.value}{UNMASKED}") for mask in masks}


def _condition(mask: Mask, name: str) -> list[Any]:
    nodes: list[Any] = []
    taken = mask.value
    for operator in (*SIZES[mask.kind], "ReduceMax", "Cast", "Equal"):
        made = f"{name}_{len(nodes)}" if operator != "Equal" else name
        given = ATTRIBUTES.get(operator, {})
        inputs = [taken, ZERO] if operator == "Equal" else [taken]
        nodes.append(helper.make_node(operator, inputs, [made], name=made, **given))
        taken = made
    return nodes


def add_conditions(model: Any, made: Mapping[Mask, Sequence[Any]]) -> None:
    """Put conditions behind the masks that they look at, in place."""
    behind: dict[str, list[Any]] = {}
    for mask, condition in made.items():
        behind.setdefault(mask.value, []).extend(condition)
    nodes: list[Any] = []
    for item in (*model.graph.input, *model.graph.initializer):
        nodes.extend(behind.pop(item.name, ()))
    for node in model.graph.node:
        nodes.append(node)
        for name in node.output:
            nodes.extend(behind.get(name, ()))
    if made:
        model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), ZERO))
    graph.replace_nodes(model, nodes)


def replace(model: Any, found: Sequence[Attention]) -> None:
    """Have each attention computed by one operator, in place; where something is masked, as before."""
    made = conditions(found)
    add_conditions(model, made)
    last = {item.answer: item for item in found}
    inner = {node.output[0] for item in found for node in item.nodes}
    nodes: list[Any] = []
    for node in model.graph.node:
        if node.output[0] in last:
            item = last[node.output[0]]
            nodes.extend(_chosen(item, [made[mask][-1].output[0] for mask in item.masks]))
        elif node.output[0] not in inner:
            nodes.append(node)
    graph.replace_nodes(model, graph.needed(model, nodes))
    if all(opset.domain != DOMAIN for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))


def _chosen(item: Attention, unmasked: Sequence[str]) -> list[Any]:
    """Return what computes the answer: one operator, or, where all conditions are met, it, else the nodes as before."""
    if not unmasked:
        return _whole(item, item.answer)
    name = item.nodes[-1].name
    masked = [onnx.NodeProto.FromString(node.SerializeToString()) for node in item.nodes]
    masked[-1].output[0] = f"{item.answer}_masked"
    shape = [*[None] * (item.answer_axes - 1), item.width]  # nothing else says what is made
    branches = {
        key: helper.make_graph(
            made, f"{name}_{key}", [], [helper.make_tensor_value_info(made[-1].output[0], item.kind, shape)]
        )
        for key, made in (("then_branch", _whole(item, f"{item.answer}_whole")), ("else_branch", masked))
    }
    condition, *others = unmasked
    nodes: list[Any] = []
    for other in others:
        both = f"{item.answer}{UNMASKED}_{len(nodes)}"
        nodes.append(helper.make_node("And", [condition, other], [both], name=both))
        condition = both
    return [*nodes, helper.make_node("If", [condition], [item.answer], name=f"{name}_if", **branches)]


def _whole(item: Attention, answer: str) -> list[Any]:
    """Return the operator, and around it what has the batch first, where the sequence is.

    Where a Reshape put heads side by side it stays: onnxruntime does not know the shape of what it makes, and so leaves
    sums and normalizations behind it apart, which are several times as fast as its operator for both.
    """
    name = f"{item.nodes[-1].name}_whole"
    rows = {row: f"{item.answer}_row_{number}" if item.sequence_first else row for number, row in enumerate(item.rows)}
    operator = helper.make_node(
        "MultiHeadAttention", [rows[row] for row in item.rows], [f"{item.answer}_heads"], name=name, domain=DOMAIN,
        num_heads=item.heads, scale=item.scale,
    )  # fmt: skip
    nodes = [_turned(row, made) for row, made in rows.items() if item.sequence_first]
    nodes.append(operator)
    if item.answer_sequence_first:
        nodes.append(_turned(operator.output[0], f"{item.answer}_sequence_first"))
    if item.nodes[-1].op_type == "Reshape":
        joined = onnx.NodeProto.FromString(item.nodes[-1].SerializeToString())
        joined.input[0] = nodes[-1].output[0]
        nodes.append(joined)
    nodes[-1].output[0] = answer
    return nodes


def _turned(value: str, made: str) -> Any:
    return helper.make_node("Transpose", [value], [made], name=f"{made}_turned", perm=TURNED)
