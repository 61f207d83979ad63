"""Tiny ONNX models, made without torch, as compression would leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper


def save_linear(
    folder: Path,
    weight: Any,
    *,
    batch: str | int = "batch",
    operator: str = "MatMul",
    domain: str = "",
    external: str | None = None,
) -> Path:
    """Write `model.onnx` into `folder`: logits (batch, n) = image (batch, m) · weight (m, n); return its path.

    `external`: location to write down for the weight, which is then not in the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weight = numpy.asarray(weight, numpy.float32)
    tensor = numpy_helper.from_array(weight, "weight")
    if external is not None:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=external)
    graph = helper.make_graph(
        [helper.make_node(operator, ["image", "weight"], ["logits"], domain=domain)],
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, weight.shape[0]])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, weight.shape[1]])],
        [tensor],
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path
