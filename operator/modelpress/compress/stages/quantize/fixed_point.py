"""Scales of a QDQ graph made powers of two, so that a fixed-point unit shifts where others multiply.

Jain et al. 2020, arXiv:1903.08066, section 3: symmetric ranges, scales 2^ceil(log2 s): no range shrinks, so nothing is
clipped that was not. Weights are rounded anew from their floats; biases, whose scale is the product of the scales of
input and weight, keep their value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from ... import external
from .rounding import Floats, power_of_two

SUFFIX = "_quantized"
"""What onnxruntime appends to the name of a weight."""
WITH_BIAS = ("Conv", "ConvTranspose", "Gemm")
LOWEST, HIGHEST = -128, 127


def to_fixed_point(proto: Any, floats: Mapping[str, Any]) -> int:
    """Change a graph with signed symmetric activations in place; return the number of scales.

    `floats` are the initializers of the graph before it was quantized, by name.
    """
    tensors = {item.name: item for item in proto.graph.initializer}
    widening = widenings(proto)
    biases = {
        node.input[2]: (node.input[0], node.input[1])
        for node in proto.graph.node
        if node.op_type in WITH_BIAS and len(node.input) > 2 and _constant(node.input[2], widening, tensors)
    }
    before = {
        node.input[1]: external.array(tensors[node.input[1]])
        for node in proto.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear")
    }
    after = {name: power_of_two(scales) for name, scales in before.items()}
    for bias, (source, weight) in biases.items():
        after[widening[bias].input[1]] = np.asarray(
            after[widening[source].input[1]] * after[widening[weight].input[1]], np.float32
        )
    for node in widening.values():
        codes = tensors.get(node.input[0])
        if codes is None:
            continue
        old, new = before[node.input[1]], after[node.input[1]]
        values = external.array(codes)
        if values.dtype == np.int8:
            source = floats.get(codes.name.removesuffix(SUFFIX))
            exact = source is not None and source.data_type == TensorProto.FLOAT  # else it was rounded before
            real = external.array(source) if exact else _widened(values, old, node)
            values = np.clip(np.round(real / _along(new, node, values.ndim)), LOWEST, HIGHEST).astype(np.int8)
        else:
            values = np.round(values * (old.astype(np.float64) / new)).astype(values.dtype)
        codes.CopyFrom(numpy_helper.from_array(values, codes.name))
    for name, scales in after.items():
        tensors[name].CopyFrom(numpy_helper.from_array(scales.reshape(before[name].shape), name))
    return len(after)


def widenings(proto: Any) -> dict[str, Any]:
    """Return the nodes that make floats of codes, by what they make."""
    return {node.output[0]: node for node in proto.graph.node if node.op_type == "DequantizeLinear"}


def axis_of(widening: Any) -> int:
    """Return the axis along which its scales differ."""
    return next((int(item.i) for item in widening.attribute if item.name == "axis"), 1)


def _constant(name: str, widening: Mapping[str, Any], tensors: Mapping[str, Any]) -> bool:
    return name in widening and widening[name].input[0] in tensors


def _widened(values: Any, scales: Floats, node: Any) -> Floats:
    return np.asarray(values * _along(scales, node, values.ndim), np.float32)


def _along(scales: Floats, node: Any, rank: int) -> Floats:
    """Return scales of a tensor, or of its slices along an axis, so that they can be multiplied with it."""
    if scales.size == 1:
        return scales.reshape(())
    shape = [1] * rank
    shape[axis_of(node)] = -1
    return scales.reshape(shape)
