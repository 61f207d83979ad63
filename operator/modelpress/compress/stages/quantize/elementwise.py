"""Which operators of a static graph compute in 8 bits: products with constant weights, and what lies between them.

Sums, products and moves of activations are worth 8 bits where convolutions hand them on in 8 bits anyway. Elsewhere
they would only lose: the residual stream and the masked scores of a transformer have ranges that 255 steps do not
resolve, and a product of two activations has no weights that became smaller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from .plain import factors

PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
HANDING_ON = frozenset({"Conv", "ConvTranspose", "Gemm"})
"""Products whose answers are handed on in 8 bits. What follows a MatMul is the stream of a transformer."""
BOUNDED = frozenset({"Sigmoid", "HardSigmoid", "HardSwish", "Tanh"})
"""Operators that compute in float on what comes in 8 bits, and whose answers 8 bits resolve again."""
TABLE = "Gather"


def left_in_float(proto: Any, kinds: Collection[str]) -> Iterator[str]:
    """Yield the names of nodes of these kinds that compute in float all the same; every node has a name."""
    constants = {item.name for item in proto.graph.initializer}
    constants |= {name for node in proto.graph.node if node.op_type == "Constant" for name in node.output}
    narrow = {item.name for item in proto.graph.input} - constants
    for node in proto.graph.node:
        given = [name for name in node.input if name and name not in constants]
        if node.op_type in PRODUCTS or node.op_type == TABLE:
            integer = any(name in constants for name in node.input[:2])
            integer &= not (node.op_type == "Gemm" and factors(node))
            handing_on = integer and node.op_type in HANDING_ON
        else:
            integer = handing_on = all(name in narrow for name in given) and node.op_type in {*kinds, *BOUNDED}
        if handing_on:
            narrow.update(node.output)
        if node.op_type in kinds and not integer:
            yield node.name
