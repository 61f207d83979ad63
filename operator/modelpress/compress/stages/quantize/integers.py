"""8-bit activations, by onnxruntime's quantizer.

Activations are unsigned, weights signed, with scales that no kernel overflows on (pairs.py), so every processor answers
alike. Signed activations would be made unsigned by onnxruntime on x86, but for those that several operators take: there
it would compute in float (1.32). Only fixed-point units want them, and zero in their middle.

Static is QDQ. Dynamic quantizes matrix products and LSTM; convolutions, whose dynamic kernel is slow, keep float
arithmetic and only store their weights in 8 bits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import onnxruntime.quantization as ort

from modelpress.api.reasons import Reason
from modelpress.api.stages import Granularity, Quantize, QuantizeAlgorithm

from ... import graph
from ...errors import Judged
from ...models import GraphModel
from ...quantize_settings import needs_calibration
from ..context import Context
from .calibration import Pieces
from .elementwise import left_in_float
from .preparing import quiet, sentences
from .scheme import fixed_point

STATIC_TYPES = (
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "Relu", "LeakyRelu", "Clip", "MaxPool", "AveragePool",
    "GlobalAveragePool", "Concat", "Split", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Resize", "Pad", "Gather",
)  # fmt: skip
"""Operators that may take 8-bit activations; sigmoids, softmaxes and normalizations stay in float."""
REMOVABLE = ("Relu", "Clip")
"""Activations that onnxruntime's quantizer leaves out where the range of 8 bits does the same."""
GEMM_SUFFIX = "_MatMul"
"""What onnxruntime appends to the name of a Gemm that it turned into a MatMul."""
DYNAMIC_TYPES = ("MatMul", "Gather", "LSTM")
"""Operators with 8-bit activations found at run time; onnxruntime turns Gemm into MatMul first."""
MATRIX = 2
"""Axes of a matrix."""
METHODS: Mapping[QuantizeAlgorithm, Any] = MappingProxyType(
    {
        QuantizeAlgorithm.MIN_MAX: ort.CalibrationMethod.MinMax,
        QuantizeAlgorithm.ENTROPY: ort.CalibrationMethod.Entropy,
        QuantizeAlgorithm.PERCENTILE: ort.CalibrationMethod.Percentile,
    }
)


def per_channel(settings: Quantize) -> bool:
    """Whether each output channel has a scale of its own."""
    return (settings.granularity or Granularity.CHANNEL) is Granularity.CHANNEL


def static(
    model: GraphModel, target: Path, settings: Quantize, excluded: list[str], context: Context, *, external: bool
) -> None:
    """Write a QDQ graph with calibrated ranges. One piece of the data is held at a time, whatever the algorithm."""
    data = context.calibration()
    if data is None:
        raise Judged(
            Reason.RECIPE_INVALID,
            f"quantize with {needs_calibration(settings)} needs compression.data.calibration or "
            "compression.data.train.",
        )
    excluded = [*excluded, *_left(graph.load(model.path), settings, excluded, context, STATIC_TYPES)]
    with sentences(), quiet():
        ort.quantize_static(
            str(model.path),
            str(target),
            Pieces(data, model.signature),
            quant_format=ort.QuantFormat.QDQ,
            op_types_to_quantize=list(STATIC_TYPES),
            per_channel=per_channel(settings),
            activation_type=ort.QuantType.QInt8 if fixed_point(settings) else ort.QuantType.QUInt8,
            weight_type=ort.QuantType.QInt8,
            nodes_to_exclude=[*excluded, *left_in_float(graph.load(model.path), STATIC_TYPES)],
            use_external_data_format=external,
            calibrate_method=METHODS[settings.algorithm or QuantizeAlgorithm.MIN_MAX],
            extra_options={
                "CalibStridedMinMax": 1,
                "ActivationSymmetric": fixed_point(settings),
                "OpTypesToExcludeOutputQuantization": ["MatMul"],
                "QDQKeepRemovableActivations": _taken_inside(graph.load(model.path)),
            },
        )


def _taken_inside(proto: Any) -> bool:
    """Whether a branch or loop takes what an activation made: the quantizer leaves out those that rounding clips as
    well, for all but the nodes inside (onnxruntime 1.32)."""
    takers = graph.consumers(proto)
    return any(
        taker is not None and node.output[0] not in taker.input
        for node in proto.graph.node
        if node.op_type in REMOVABLE
        for taker in takers.get(node.output[0], [])
    )


def dynamic(
    model: GraphModel, target: Path, settings: Quantize, excluded: list[str], context: Context, *, external: bool
) -> None:
    """Write a graph whose matrix products find the ranges of activations at run time."""
    excluded = [*excluded, *_left(graph.load(model.path), settings, excluded, context, DYNAMIC_TYPES)]
    with sentences(), quiet():
        ort.quantize_dynamic(
            str(model.path),
            str(target),
            op_types_to_quantize=list(DYNAMIC_TYPES),
            per_channel=per_channel(settings),
            weight_type=ort.QuantType.QInt8,
            nodes_to_exclude=[name + suffix for name in excluded for suffix in ("", GEMM_SUFFIX)],
            use_external_data_format=external,
            extra_options={"MatMulConstBOnly": True},
        )


def _left(
    proto: Any, settings: Quantize, excluded: Collection[str], context: Context, kinds: Collection[str]
) -> list[str]:
    """Return the nodes of these kinds that onnxruntime cannot compute in integers; warnings say so of large ones."""
    tensors = {item.name: item for item in proto.graph.initializer}
    takers = graph.consumers(proto)
    left: dict[str, list[str]] = {}
    for node in proto.graph.node:
        if node.name not in excluded and node.op_type in kinds:
            axes = len(tensors[node.input[1]].dims) if node.op_type == "MatMul" and node.input[1] in tensors else MATRIX
            if axes < MATRIX:
                left.setdefault("", []).append(node.name)
            elif per_channel(settings) and axes > MATRIX:
                left.setdefault("multiply with stacks of matrices", []).append(node.name)
            elif per_channel(settings) and node.op_type == "LSTM" and any(len(takers[w]) > 1 for w in node.input[1:3]):
                left.setdefault("share their weights", []).append(node.name)
    for what, names in left.items():
        if what:
            context.warnings.append(
                f"{', '.join(names)} {what} and compute in float: onnxruntime's integer kernel takes them with "
                "granularity: Tensor alone."
            )
    return [name for names in left.values() for name in names]
