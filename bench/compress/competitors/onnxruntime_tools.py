"""onnxruntime's own quantizers, as its documentation has one call them; inputs of the model are those of the data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

from modelpress.compress import graph

from ..product import Columns


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Gives the samples one by one."""

    def __init__(self, model: Path, data: Columns) -> None:
        names = [item.name for item in onnxruntime.InferenceSession(str(model)).get_inputs()]
        self.rest: Iterator[dict[str, Any]] = (
            {name: data[name][row : row + 1] for name in names} for row in range(len(data[names[0]]))
        )

    def get_next(self) -> dict[str, Any] | None:
        """Return the next sample, or None after the last."""
        return next(self.rest, None)


def prepared(original: Path, folder: Path) -> Path:
    """Infer shapes and fold constants, without the exporter's shapes, which contradict later ones."""
    folder.mkdir(parents=True, exist_ok=True)
    proto = onnx.load(original)
    del proto.graph.value_info[:]
    onnx.save(proto, folder / "bare.onnx")
    quant_pre_process(str(folder / "bare.onnx"), str(folder / "ready.onnx"), skip_symbolic_shape=True)
    return folder / "ready.onnx"


def static(original: Path, calibration: Columns, folder: Path, *, unsigned: bool = False) -> Path:
    """QDQ, a scale per channel; activations are signed unless one asks otherwise."""
    ready, target = prepared(original, folder), folder / "static.onnx"
    quantize_static(
        str(ready),
        str(target),
        Reader(ready, calibration),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8 if unsigned else QuantType.QInt8,
        weight_type=QuantType.QInt8,
    )
    return stripped(target)


def dynamic(original: Path, _calibration: Columns, folder: Path, *, per_channel: bool = False) -> Path:
    """Matrix products with activations in 8 bits found at run time."""
    ready, target = prepared(original, folder), folder / f"dynamic-{per_channel}.onnx"
    quantize_dynamic(
        str(ready),
        str(target),
        op_types_to_quantize=["MatMul", "Gemm", "Gather"],  # its convolutions do not run in a session
        per_channel=per_channel,
        weight_type=QuantType.QInt8,
    )
    return stripped(target)


def four_bits(original: Path, _calibration: Columns, folder: Path) -> Path:
    """4-bit weights in groups of 32, embeddings too."""
    ready, target = prepared(original, folder), folder / "nbits.onnx"
    quantizer = MatMulNBitsQuantizer(
        onnx.load(ready), block_size=32, is_symmetric=True, op_types_to_quantize=("MatMul", "Gather"),
        quant_axes=(("MatMul", 0), ("Gather", 1)),
    )  # fmt: skip
    quantizer.process()
    onnx.save(quantizer.model.model, target)
    return stripped(target)


def stripped(path: Path) -> Path:
    """Remove what no runtime needs, so that nobody loses by what an exporter left."""
    graph.save(onnx.load(path), path)
    return path
