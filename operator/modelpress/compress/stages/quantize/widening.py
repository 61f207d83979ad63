"""Weights stored in 8 bits and widened before use: smaller, with float arithmetic.

They are widened by a Cast and a Mul, which sessions fold away: kernels want constant weights. Behind a
DequantizeLinear, which is not folded, convolutions took twice as long, and recurrent layers 10 to 20 times.
"""

from __future__ import annotations

from typing import Any

from onnx import TensorProto, helper, numpy_helper

from ... import external
from .symmetric import symmetric


def widening(proto: Any, tensor: Any, axes: tuple[int, ...], *, fixed_point: bool) -> list[Any]:
    """Add the int8 form of a weight, symmetric, and return the nodes that widen it; the last one makes it.

    `axes`: what lies along them shares a scale. `fixed_point`: scales are powers of two.
    """
    codes, scale = symmetric(external.array(tensor), axes, fixed_point=fixed_point)
    stored, scales, wide, widened = (f"{tensor.name}_{end}" for end in ("int8", "scale", "wide", "widened"))
    proto.graph.initializer.extend([numpy_helper.from_array(codes, stored), numpy_helper.from_array(scale, scales)])
    return [
        helper.make_node("Cast", [stored], [wide], name=wide, to=TensorProto.FLOAT),
        helper.make_node("Mul", [wide, scales], [widened], name=widened),
    ]
