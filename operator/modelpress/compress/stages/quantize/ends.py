"""Answers stay in float: what a Gemm hands to nobody who computes in 8 bits is not rounded to them.

onnxruntime's quantizer rounds the answer of every Gemm, those of the model too, which clips them to what calibration
data reached: an amount that is larger answers as the largest one seen. Its integer Gemm gives floats as well, if no
QuantizeLinear follows, and no slower. A convolution cannot: it computes in float, and so only where what it answers is
what the model answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import graph

PRODUCT = "Gemm"
CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
MOVING = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze"})
"""Operators whose answers are rounded only since what they take is."""
LEADING = MOVING | {"DepthToSpace", "Flatten", "Identity"}
"""Operators that hand on what they take, and leave it as it is."""
IN_INTEGERS = CONVOLUTIONS | {"Gemm", "MatMul"}
"""Operators that compute in 8 bits whatever is behind them."""
FOLDED = frozenset({"Relu", "Clip"})
"""Operators that the quantizer leaves to the range of the QuantizeLinear behind."""
ROUNDING, WIDENING = "QuantizeLinear", "DequantizeLinear"


def leave_ends_in_float(proto: Any, before: Any) -> int:
    """Remove the rounding at the ends of a static graph in place; return how many there were.

    `before` is the graph that was quantized: it tells behind which products an operator went into the rounding.
    """
    takers, makers = graph.consumers(proto), {name: node for node in proto.graph.node for name in node.output}
    outputs = {item.name for item in proto.graph.output}
    folded = _folded(before)
    gone: set[str] = set()
    names: dict[str, str] = {}
    count = 0
    for rounding in reversed(proto.graph.node):
        maker = makers.get(rounding.input[0]) if rounding.op_type == ROUNDING else None
        if maker is None or maker.op_type not in {PRODUCT, *MOVING, *CONVOLUTIONS} or maker.name in folded:
            continue
        widenings = takers.get(rounding.output[0], [])
        if len(takers[rounding.input[0]]) != 1 or any(one is None or one.op_type != WIDENING for one in widenings):
            continue
        widened = [one.output[0] for one in widenings]
        named = [name for name in widened if name in outputs]
        integer = any(_in_integers(taker, takers, gone) for name in widened for taker in takers.get(name, []))
        if integer or len(named) > 1:
            continue
        if maker.op_type in CONVOLUTIONS and not _answered(widened, takers, gone):
            continue
        gone |= {rounding.output[0], *widened}
        names |= dict.fromkeys([rounding.input[0], *widened], named[0] if named else rounding.input[0])
        count += 1
    nodes = [node for node in proto.graph.node if node.output[0] not in gone]
    for node in nodes:
        for place in (node.input, node.output):
            place[:] = [names.get(name, name) for name in place]
    graph.replace_nodes(proto, nodes)
    return count


def _in_integers(node: Any, takers: Mapping[str, list[Any]], gone: set[str]) -> bool:
    """Whether a node's answers are rounded behind it, so that it computes in 8 bits; None: an output of the graph."""
    if node is None:
        return False
    if node.op_type in IN_INTEGERS:
        return True
    behind = [taker for name in node.output for taker in takers.get(name, [])]
    return any(one is not None and one.op_type == ROUNDING and one.output[0] not in gone for one in behind)


def _answered(names: list[str], takers: Mapping[str, list[Any]], gone: set[str]) -> bool:
    """Whether these values are nothing but what the model answers, moved at most."""
    for taker in (taker for name in names for taker in takers.get(name, [])):
        if taker is None:
            continue
        if taker.op_type not in LEADING and taker.output[0] not in gone:
            return False
        if not _answered(list(taker.output), takers, gone):
            return False
    return True


def _folded(before: Any) -> set[str]:
    """Return the nodes behind which stands one of FOLDED."""
    takers = graph.consumers(before)
    return {
        node.name
        for node in before.graph.node
        if any(one is not None and one.op_type in FOLDED for name in node.output for one in takers.get(name, []))
    }
