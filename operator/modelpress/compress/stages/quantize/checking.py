"""Whether quantize did what it says: weights are integers now, and the graph runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

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


@dataclass(frozen=True)
class Facts:
    """What is asked of a graph before it is quantized and after."""

    bytes: int
    integers: int
    """How many of its weights are integers."""
    shapes: dict[str, Any]
    """Those of inputs and outputs, with the names of their axes."""

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return them of the graph at `path`, which is read once for all of them and not kept."""
        proto = onnx.load(path, load_external_data=False)
        ends = {item.name: item.type.tensor_type.shape for item in (*proto.graph.input, *proto.graph.output)}
        return cls(
            bytes=graph.size_of_loaded(path, proto).bytes or 0,
            integers=sum(item.data_type in CODES and len(item.dims) > 1 for item in proto.graph.initializer),
            shapes={name: onnx.TensorShapeProto.FromString(shape.SerializeToString()) for name, shape in ends.items()},
        )

    def restore_axes(self, proto: Any) -> None:
        """Give inputs and outputs of `proto` the axes they had, in place: tools in between forget names."""
        for item in (*proto.graph.input, *proto.graph.output):
            item.type.tensor_type.shape.CopyFrom(self.shapes[item.name])


def check(model: GraphModel, before: Facts, context: Context) -> None:
    """Raise Judged unless weights are integers now that were not, and the graph runs; say so if it became no smaller.

    `before`: what was quantized.
    """
    after, already = Facts.of(model.path), before.integers
    stored = after.integers - already
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
    weights = "1 weight is" if stored == 1 else f"{stored} weights are"
    context.notes.append(f"{weights} stored as integers; {before.bytes:,} bytes became {after.bytes:,}.")
    if after.bytes >= before.bytes:
        context.warnings.append(
            "The model is too small to become smaller by integer weights: "
            f"{before.bytes:,} bytes became {after.bytes:,}."
        )
