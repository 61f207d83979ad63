"""Whether quantize did what it says: weights are integers now, and the graph runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from modelpress.api.reasons import Reason

from ... import graph
from ...errors import Judged
from ...models import GraphModel
from ...signature import example
from ..context import Context

CODES = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8, onnx.TensorProto.INT4, onnx.TensorProto.UINT4)
"""Element types that weights are stored in."""
OTHER_FLOATS = frozenset({onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE})


def _why_none(proto: Any) -> str:
    """Return why no weight of the graph became integers."""
    kinds = {item.data_type for item in proto.graph.initializer if len(item.dims) > 1}
    others = sorted(onnx.TensorProto.DataType.Name(kind).lower() for kind in kinds & OTHER_FLOATS)
    if others:
        return f"its weights are of {' and '.join(others)}, and only float32 is quantized: take the model in float32"
    if any(attribute.HasField("g") for node in proto.graph.node for attribute in node.attribute):
        return "what If, Loop and Scan hold stays as it is, and outside of them nothing has constant weights"
    return (
        "the graph has no matrix product, embedding, convolution or recurrent layer with constant weights, or all are "
        "ignored, too small, or of a form that no integer operator takes"
    )


def integer_weights(path: Path) -> int:
    """Return how many weights of the graph are integers."""
    weights = onnx.load(path, load_external_data=False).graph.initializer
    return sum(item.data_type in CODES and len(item.dims) > 1 for item in weights)


def check(model: GraphModel, before: int, already: int, context: Context) -> None:
    """Raise Judged unless weights are integers now that were not, and the graph runs; say so if it became no smaller.

    `before`: bytes of what was quantized; `already`: how many of its weights were integers.
    """
    stored = integer_weights(model.path) - already
    if stored <= 0:
        proto = onnx.load(model.path, load_external_data=False)
        held = f"{already} {'weights were integers' if already > 1 else 'weight was of integers'} before"
        raise Judged(
            Reason.STAGE_FAILED,
            "quantize stored no weight as integers: "
            + (f"{held}: take the model as it was before it was quantized." if already else f"{_why_none(proto)}."),
        )
    inputs = example(model.signature, 2, context.seed, context.calibration())
    try:
        outputs = graph.run(graph.open_session(model.path, once=True), inputs)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise Judged(
            Reason.STAGE_FAILED, f"The quantized graph does not run: {' '.join(str(error).split())[:400]}"
        ) from error
    broken = graph.not_finite(outputs)
    if broken and context.calibration() is not None:
        raise Judged(
            Reason.NOT_FINITE, f"Output {broken[0]} of the quantized graph holds NaN or infinity on calibration data."
        )
    after = graph.size_of_graph(model.path).bytes or 0
    weights = "1 weight is" if stored == 1 else f"{stored} weights are"
    context.notes.append(f"{weights} stored as integers; {before:,} bytes became {after:,}.")
    if after >= before:
        context.warnings.append(
            f"The model is too small to become smaller by integer weights: {before:,} bytes became {after:,}."
        )
