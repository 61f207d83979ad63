"""Gemm brought to its plain form, which all engines take: no factors, and a bias with one number for each output.

onnxruntime's quantizer leaves others in float, and its static kernel knows no factor of the bias: it answers wrongly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from ... import external, graph
from .rounding import Floats

FACTORS = {"alpha": 1, "beta": 2}
"""Factors of a Gemm, and the input that each is for."""
BIAS = 2
"""Place of the bias among the inputs."""


def plain_products(proto: Any) -> None:
    """Move factors into constants, and give a bias one axis, in place; what is no constant stays as it is."""
    tensors = {item.name: item for item in proto.graph.initializer if item.data_type == TensorProto.FLOAT}

    def change(node: Any, place: int, values: Floats) -> None:
        name = f"{node.name}:{len(proto.graph.initializer)}"  # a constant of its own: others may take the old one
        proto.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        tensors[name] = proto.graph.initializer[-1]
        node.input[place] = name

    for node in proto.graph.node:
        if node.op_type == "Gemm":
            biased = len(node.input) > BIAS and bool(node.input[BIAS])
            for attribute in factors(node):
                place = FACTORS[attribute.name]
                if node.input[place : place + 1] and node.input[place] in tensors:
                    change(node, place, external.array(tensors[node.input[place]]) * np.float32(attribute.f))
                    node.attribute.remove(attribute)
                elif place == BIAS and not biased:
                    node.attribute.remove(attribute)
            if biased and all(name in tensors for name in node.input[1:]):
                bias, width = external.array(tensors[node.input[BIAS]]), _width(node, tensors[node.input[1]])
                if bias.shape != (width,) and (bias.size == 1 or bias.size == bias.shape[-1] == width):
                    change(node, BIAS, np.broadcast_to(bias.reshape(-1), (width,)))


def factors(node: Any) -> list[Any]:
    """Return the attributes of a Gemm that scale its product or its bias."""
    return [item for item in node.attribute if item.name in FACTORS and item.f != 1]


def _width(node: Any, weight: Any) -> int:
    """Return the number of outputs of a Gemm."""
    return int(weight.dims[0 if graph.turned(node) else 1])
