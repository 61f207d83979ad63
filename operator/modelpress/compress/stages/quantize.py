"""Stage quantize: 8-bit integers by onnxruntime's quantizer, on the exported graph.

INT8 is static QDQ with signed activations and weights: no kernel saturates on them, so every processor answers alike.
INT8_DYNAMIC quantizes matrix products; convolutions, whose dynamic kernel is slow, keep float arithmetic and only store
their weights in 8 bits.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import onnx
import onnxruntime.quantization as ort
from onnxruntime.quantization.shape_inference import quant_pre_process

from modelpress.api.reasons import Reason
from modelpress.api.stages import Granularity, Quantize, QuantizeAlgorithm, QuantizePreset

from .. import graph
from ..errors import Judged
from ..models import GraphModel
from ..signature import example
from .calibration import Pieces
from .context import Context
from .naming import select
from .stored import store_convolutions

STATIC_TYPES = (
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "Relu", "LeakyRelu", "Clip", "MaxPool", "AveragePool",
    "GlobalAveragePool", "Concat", "Split", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Resize", "Pad", "Gather",
)  # fmt: skip
"""Operators that take 8-bit activations; sigmoids, softmaxes and normalizations stay in float."""
GEMM_SUFFIX = "_MatMul"
"""What onnxruntime appends to the name of a Gemm that it turned into a MatMul."""
DYNAMIC_TYPES = ("MatMul", "Gather")
"""Operators of INT8_DYNAMIC; onnxruntime turns Gemm into MatMul first."""
METHODS: Mapping[QuantizeAlgorithm, Any] = MappingProxyType(
    {
        QuantizeAlgorithm.MIN_MAX: ort.CalibrationMethod.MinMax,
        QuantizeAlgorithm.ENTROPY: ort.CalibrationMethod.Entropy,
        QuantizeAlgorithm.PERCENTILE: ort.CalibrationMethod.Percentile,
    }
)
INTEGERS = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)


def run(model: GraphModel, settings: Quantize, context: Context) -> GraphModel:
    """Write a quantized graph. Raises Judged with StageFailed if no weight could be stored in 8 bits."""
    prepared, path = context.scratch / "prepared.onnx", context.scratch / "model.onnx"
    before = graph.size_of_graph(model.path).bytes or 0
    external = before > graph.EXTERNAL_FROM
    with _sentences():
        _prepare(model.path, prepared, context.scratch, external)
    context.report(0.2, "prepared")
    nodes = {node.name: node for node in onnx.load(prepared, load_external_data=False).graph.node}
    ignored = sorted(select(settings.ignore or (), nodes, "node"))
    with _sentences():
        work = _static if settings.preset is QuantizePreset.INT8 else _dynamic
        work(replace(model, path=prepared), path, settings, ignored, context, external)
    proto = onnx.load(path)
    if settings.preset is QuantizePreset.INT8_DYNAMIC:
        stored = store_convolutions(proto, set(ignored), per_channel=_per_channel(settings))
        if stored:
            context.warnings.append(
                f"{stored} convolutions store their weights in 8 bits but compute in float: preset INT8 would "
                "compute in integers."
            )
    proto.ir_version = min(proto.ir_version, graph.IR_VERSION)
    _restore_axes(proto, onnx.load(model.path, load_external_data=False))
    target = context.scratch / "quantized" / "model.onnx"
    graph.strip(proto)
    graph.shorten(proto)
    graph.save(proto, target)
    _check(replace(model, path=target), before, context)
    return replace(model, path=target)


def _per_channel(settings: Quantize) -> bool:
    return (settings.granularity or Granularity.CHANNEL) is Granularity.CHANNEL


def _prepare(source: Path, target: Path, scratch: Path, external: bool) -> None:
    """Infer shapes and fold what is constant. Old shapes go first: the exporter's contradict later ones."""
    proto = onnx.load(source)
    del proto.graph.value_info[:]
    bare = scratch / "bare" / "model.onnx"
    graph.save(proto, bare)
    with _quiet():
        quant_pre_process(
            str(bare),
            str(target),
            skip_symbolic_shape=True,
            save_as_external_data=external,
            all_tensors_to_one_file=True,
        )


def _static(
    model: GraphModel, target: Path, settings: Quantize, ignored: list[str], context: Context, external: bool
) -> None:
    data = context.calibration()
    if data is None:
        raise Judged(
            Reason.RECIPE_INVALID,
            "quantize with preset INT8 needs compression.data.calibration or compression.data.train.",
        )
    with _quiet():
        ort.quantize_static(
            str(model.path),
            str(target),
            Pieces(data, model.signature),
            quant_format=ort.QuantFormat.QDQ,
            op_types_to_quantize=list(STATIC_TYPES),
            per_channel=_per_channel(settings),
            activation_type=ort.QuantType.QInt8,
            weight_type=ort.QuantType.QInt8,
            nodes_to_exclude=ignored,
            use_external_data_format=external,
            calibrate_method=METHODS[settings.algorithm or QuantizeAlgorithm.MIN_MAX],
            extra_options={"CalibStridedMinMax": 1},
        )


def _dynamic(
    model: GraphModel, target: Path, settings: Quantize, ignored: list[str], _context: Context, external: bool
) -> None:
    with _quiet():
        ort.quantize_dynamic(
            str(model.path),
            str(target),
            op_types_to_quantize=list(DYNAMIC_TYPES),
            per_channel=_per_channel(settings),
            weight_type=ort.QuantType.QInt8,
            nodes_to_exclude=[name + suffix for name in ignored for suffix in ("", GEMM_SUFFIX)],
            use_external_data_format=external,
            extra_options={"MatMulConstBOnly": True},
        )


def _restore_axes(proto: Any, before: Any) -> None:
    """Give inputs and outputs back the axes they had: tools in between forget names."""
    for new, old in ((proto.graph.input, before.graph.input), (proto.graph.output, before.graph.output)):
        shapes = {item.name: item.type.tensor_type.shape for item in old}
        for item in new:
            item.type.tensor_type.shape.CopyFrom(shapes[item.name])


def _check(model: GraphModel, before: int, context: Context) -> None:
    """Raise Judged unless weights are integers now, and the graph runs; say so if it became no smaller."""
    proto = onnx.load(model.path, load_external_data=False)
    integers = sum(1 for item in proto.graph.initializer if item.data_type in INTEGERS and len(item.dims) > 1)
    if not integers:
        raise Judged(
            Reason.STAGE_FAILED,
            "quantize stored no weight in 8 bits: the graph has no matrix product or convolution with constant "
            "weights, or all are ignored.",
        )
    inputs = example(model.signature, 2, context.seed, context.calibration())
    try:
        outputs = graph.run(graph.open_session(model.path), inputs)
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
    context.notes.append(f"{integers} weights are stored in 8 bits; {before} bytes became {after}.")
    if after >= before:
        context.warnings.append(
            f"The model is too small to become smaller by 8-bit weights: {before} bytes became {after}."
        )


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """Turn what the quantizer raises into StageFailed."""
    try:
        yield
    except (Judged, MemoryError, OSError):
        raise
    except Exception as error:  # onnxruntime's quantizer raises whatever its parts raise
        text = " ".join(str(error).split())[:400]
        raise Judged(
            Reason.STAGE_FAILED, f"onnxruntime cannot quantize this graph: {type(error).__name__}: {text}"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
