"""Products of 8-bit numbers and their bias as one operator of onnxruntime, MatMulIntegerToFloat.

Of a MatMul between DequantizeLinear a session makes that operator itself, but the bias stays an Add behind it, and
with a Gelu becomes BiasGelu, which takes longer than a Gelu alone (1.32): a static sentence encoder took 9 % longer.
Products without a bias stay as they are, in operators of the standard.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from ... import external, graph
from .fixed_point import axis_of, widenings
from .writing import DOMAIN

OPERATOR = "MatMulIntegerToFloat"
MATRIX = 2


def take_over_biases(proto: Any) -> int:
    """Have products add their biases, in place; return how many do."""
    tensors = {item.name: item for item in proto.graph.initializer}
    takers, widening = graph.consumers(proto), widenings(proto)
    made: dict[str, Any] = {}
    added: set[str] = set()
    for node in proto.graph.node:
        behind = takers.get(node.output[0], [])
        if node.op_type != "MatMul" or len(behind) != 1 or behind[0] is None or behind[0].op_type != "Add":
            continue
        rows, weight = (widening.get(name) for name in node.input)
        bias, end = next((name for name in behind[0].input if name != node.output[0]), ""), behind[0].output[0]
        if rows is None or weight is None or not _fits(rows, weight, tensors.get(bias), tensors):
            continue
        zero = rows.input[2] if len(rows.input) > MATRIX else ""
        inputs = [rows.input[0], weight.input[0], rows.input[1], weight.input[1], zero, "", bias]
        made[node.name] = helper.make_node(OPERATOR, inputs, [end], name=node.name, domain=DOMAIN)
        added.add(behind[0].name)
    nodes = [made.get(node.name, node) for node in proto.graph.node if node.name not in added]
    gone = made.keys() | added
    taken = {name for name, users in takers.items() if any(user is None or user.name not in gone for user in users)}
    idle = {name for name in widening if name not in taken}
    graph.replace_nodes(proto, [node for node in nodes if node.output[0] not in idle])
    if made and all(opset.domain != DOMAIN for opset in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return len(made)


def _fits(rows: Any, weight: Any, bias: Any, tensors: Mapping[str, Any]) -> bool:
    """Whether the operator takes these: a signed matrix around zero, one scale of the rows, a bias of each column."""
    codes, scales = (tensors.get(name) for name in weight.input[:2])
    of_rows = tensors.get(rows.input[1])
    if bias is None or codes is None or scales is None or of_rows is None or rows.input[0] in tensors:
        return False
    whole = codes.data_type == TensorProto.INT8 and len(codes.dims) == MATRIX and not len(of_rows.dims)
    by_column = not len(scales.dims) or axis_of(weight) in (1, -1)
    zero = tensors.get(weight.input[2]) if len(weight.input) > MATRIX else None
    around_zero = zero is None or not np.any(external.array(zero))
    column = bias.data_type == TensorProto.FLOAT and list(bias.dims) == [codes.dims[1]] if whole else False
    return bool(whole and by_column and around_zero and column)
