"""Attention computed by one operator where nothing is masked.

The operator is onnxruntime's MultiHeadAttention, which without a mask works in tiles and never holds all scores (Dao et
al. 2022, arXiv:2205.14135). With a mask it is no faster than what was exported, so that is what an If falls back to
when a position of the request is masked: requests of one text, and of texts of one length, are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .. import graph
from .attention import ROWS_TURNED, Attention

DOMAIN = "com.microsoft"
UNMASKED, ZERO = "_unmasked", "unmasked_zero"


def conditions(found: Sequence[Attention]) -> dict[str, list[Any]]:
    """Return, for each mask, nodes of which the last says whether it masks nothing."""
    made: dict[str, list[Any]] = {}
    for mask in dict.fromkeys(item.mask for item in found if item.mask):
        name = f"{mask}{UNMASKED}"
        made[mask] = [
            helper.make_node("Abs", [mask], [f"{name}_size"], name=f"{name}_size"),
            helper.make_node("ReduceMax", [f"{name}_size"], [f"{name}_most"], name=f"{name}_most", keepdims=0),
            helper.make_node("Cast", [f"{name}_most"], [f"{name}_float"], name=f"{name}_float", to=TensorProto.FLOAT),
            helper.make_node("Equal", [f"{name}_float", ZERO], [name], name=name),
        ]
    return made


def add_conditions(model: Any, made: Mapping[str, Sequence[Any]]) -> None:
    """Put conditions behind the masks that they look at, in place."""
    nodes: list[Any] = []
    for item in (*model.graph.input, *model.graph.initializer):
        nodes.extend(made.get(item.name, ()))
    for node in model.graph.node:
        nodes.append(node)
        for name in node.output:
            nodes.extend(made.get(name, ()))
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
            nodes.extend(_chosen(item, made[item.mask][-1].output[0] if item.mask else ""))
        elif node.output[0] not in inner:
            nodes.append(node)
    graph.replace_nodes(model, graph.needed(model, nodes))
    if all(opset.domain != DOMAIN for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))


def _chosen(item: Attention, unmasked: str) -> list[Any]:
    """Return what computes the answer: one operator, or, by a condition, it or the nodes as they were."""
    if not unmasked:
        return _whole(item, item.answer)
    name = item.nodes[-1].name
    masked = [onnx.NodeProto.FromString(node.SerializeToString()) for node in item.nodes]
    masked[-1].output[0] = f"{item.answer}_masked"
    shape = [None, item.width] if item.sequence_first else [None, None, item.width]  # nothing else says what is made
    branches = {
        key: helper.make_graph(
            made, f"{name}_{key}", [], [helper.make_tensor_value_info(made[-1].output[0], item.kind, shape)]
        )
        for key, made in (("then_branch", _whole(item, f"{item.answer}_whole")), ("else_branch", masked))
    }
    return [helper.make_node("If", [unmasked], [item.answer], name=f"{name}_if", **branches)]


def _whole(item: Attention, answer: str) -> list[Any]:
    """Return the operator, and around it what has the batch first, where the sequence is."""
    name = f"{item.nodes[-1].name}_whole"
    rows = {row: f"{item.answer}_row_{number}" if item.sequence_first else row for number, row in enumerate(item.rows)}
    operator = helper.make_node(
        "MultiHeadAttention", [rows[row] for row in item.rows], [answer], name=name, domain=DOMAIN,
        num_heads=item.heads, scale=item.scale,
    )  # fmt: skip
    if not item.sequence_first:
        return [operator]
    first = [_turned(row, made) for row, made in rows.items()]
    operator.output[0] = f"{item.answer}_batch_first"
    joined = onnx.NodeProto.FromString(item.nodes[-1].SerializeToString())
    joined.input[0], joined.output[0] = f"{item.answer}_sequence_first", answer
    return [*first, operator, _turned(operator.output[0], joined.input[0]), joined]


def _turned(value: str, made: str) -> Any:
    return helper.make_node("Transpose", [value], [made], name=f"{made}_turned", perm=ROWS_TURNED)
