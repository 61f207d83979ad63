"""Weights of a quantized graph rounded anew, so that no kernel overflows on them (pairs.py).

Of dynamic graphs those of matrix products and LSTM, of static ones those of matrix products and convolutions. What
onnxruntime appends to names, and how it turns weights, is known here alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from ... import external, graph
from ...external import Spool
from .fixed_point import SUFFIX, WITH_BIAS, axis_of, widenings
from .pairs import convolution_matrix, round_pairs
from .rounding import Floats

LSTM = MappingProxyType({1: 8, 2: 10})
"""Weights among the inputs of DynamicQuantizeLSTM, each with its scale."""
SCALE, TRANSPOSED = "_scale", re.compile(r"_Transposed(_\d+)?$")
"""What onnxruntime appends to a weight's name for its scale, and where it turned a Gemm into a MatMul."""


@dataclass(frozen=True)
class _Weight:
    """A weight that meets unsigned activations."""

    codes: Any
    scale: Any
    operator: str
    """Of the node that takes it."""
    source: Any
    """It as it was in float, None if the graph in float has none of its name."""
    float_turned: bool = False
    """Whether it is [outputs, inputs] in float."""
    codes_turned: bool = False
    """Whether its codes are."""


def fit_pairs(proto: Any, floats: Mapping[str, Any], spool: Spool) -> list[str]:
    """Change weights, their scales and those of biases in place; large weights lie in the spool until it is saved.

    `floats`: the initializers of the graph before it was quantized, by name. Return the names of weights that stay as
    they are, since none of those is theirs.
    """
    tensors = {item.name: item for item in proto.graph.initializer}
    floats = {name: item for name, item in floats.items() if item.data_type == TensorProto.FLOAT}
    grown: dict[str, Floats] = {}
    done: set[str] = set()
    unknown = []
    for weight in (*_of_dynamic(proto, tensors, floats), *_of_static(proto, tensors, floats)):
        if weight.codes.name in done or weight.codes.data_type != TensorProto.INT8 or 0 in weight.codes.dims:
            continue
        done.add(weight.codes.name)
        if weight.source is None:
            unknown.append(weight.codes.name)
        else:
            before = external.array(weight.scale)
            grown[weight.scale.name] = _fit(weight, spool) / np.where(before, before, 1)
    _move_biases(proto, tensors, grown)
    return unknown


def _fit(weight: _Weight, spool: Spool) -> Floats:
    """Round a weight anew; return its scales."""
    values = external.array(weight.source)
    if weight.operator == "Conv":
        matrix, orders = convolution_matrix(values)
        rounded, scales = round_pairs(matrix, tuple(weight.scale.dims), orders)
        codes = rounded.T.reshape(values.shape)
    else:
        rounded, scales = round_pairs(
            values.swapaxes(-1, -2) if weight.float_turned else values, tuple(weight.scale.dims)
        )
        codes = rounded.swapaxes(-1, -2) if weight.codes_turned else rounded
    stored = numpy_helper.from_array(np.ascontiguousarray(codes), weight.codes.name)
    weight.codes.CopyFrom(spool.tensor(stored))
    weight.scale.CopyFrom(numpy_helper.from_array(scales, weight.scale.name))
    return scales


def _of_dynamic(proto: Any, tensors: Mapping[str, Any], floats: Mapping[str, Any]) -> Iterator[_Weight]:
    for node in proto.graph.node:
        if node.op_type == "MatMulInteger":
            source, turned = _source(node.input[1], floats)
            scale = tensors.get(node.input[1].removesuffix(SUFFIX) + SCALE)  # another tool calls it otherwise
            yield _Weight(tensors[node.input[1]], scale, node.op_type, source, turned)
        elif node.op_type == "DynamicQuantizeLSTM":
            for place, scales in LSTM.items():
                source, _ = _source(node.input[place], floats)
                yield _Weight(tensors[node.input[place]], tensors[node.input[scales]], node.op_type, source, True)


def _of_static(proto: Any, tensors: Mapping[str, Any], floats: Mapping[str, Any]) -> Iterator[_Weight]:
    widening = widenings(proto)
    for node in proto.graph.node:
        made = widening.get(node.input[1]) if node.op_type in ("MatMul", "Gemm", "Conv") else None
        if made is not None and made.input[0] in tensors:
            source, turned = _source(made.input[0], floats)
            rows = graph.turned(node)
            codes, scale = (tensors[name] for name in made.input[:2])
            outputs = 0 if rows or node.op_type == "Conv" else len(codes.dims) - 1
            if not len(scale.dims) or axis_of(made) == outputs:  # else it is widened, and multiplied in float
                yield _Weight(codes, scale, node.op_type, source, turned or rows, rows)


def _source(codes: str, floats: Mapping[str, Any]) -> tuple[Any, bool]:
    """Return what a weight was in float, and whether onnxruntime turned it."""
    base = codes.removesuffix(SUFFIX)
    return (floats[base], False) if base in floats else (floats.get(TRANSPOSED.sub("", base)), True)


def _move_biases(proto: Any, tensors: Mapping[str, Any], grown: Mapping[str, Floats]) -> None:
    """Have biases, whose scales are products of those of inputs and weights, keep their value."""
    widening = widenings(proto)
    done: set[str] = set()
    for node in proto.graph.node:
        bias = widening.get(node.input[2]) if node.op_type in WITH_BIAS and len(node.input) > 2 else None
        weight = widening.get(node.input[1]) if bias is not None else None
        if bias is None or weight is None or bias.input[0] not in tensors or bias.input[0] in done:
            continue
        if weight.input[1] not in grown:
            continue
        done.add(bias.input[0])
        codes, scale = (tensors[name] for name in bias.input[:2])
        factor = grown[weight.input[1]]
        moved = np.round(external.array(codes) / factor).astype(helper.tensor_dtype_to_np_dtype(codes.data_type))
        codes.CopyFrom(numpy_helper.from_array(moved, codes.name))
        widened = np.asarray(external.array(scale) * factor, np.float32)
        scale.CopyFrom(numpy_helper.from_array(widened.reshape(tuple(scale.dims)), scale.name))
