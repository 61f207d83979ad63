"""Small ONNX models: two convolutions, a batch normalization and a dense layer; a residual block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from modelpress.api.source import TensorSpec
from modelpress.compress.models import GraphModel
from modelpress.compress.signature import Signature

SIGNATURE = Signature(
    (TensorSpec(name="image", shape=("batch", 3, 8, 8)),), (TensorSpec(name="scores", shape=("batch", 5)),)
)


def build(
    opset: int = 17, ir: int = 9, *, batch: str = "N", weights_as_inputs: bool = False, dense: bool = True
) -> Any:
    """Return the model; without `dense` it ends in the second convolution's mean, of 8 channels."""
    generator = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32) * 0.3, name)

    weights = [
        weight("w1", 12, 3, 3, 3),
        weight("b1", 12),
        weight("scale", 12),
        weight("shift", 12),
        weight("mean", 12),
    ]
    weights.append(numpy_helper.from_array(np.linspace(0.5, 2, 12, dtype=np.float32), "variance"))
    weights.append(weight("w2", 8, 12, 3, 3))
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["c1"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c1", "scale", "shift", "mean", "variance"], ["n1"], name="norm"),
        helper.make_node("Relu", ["n1"], ["r1"], name="relu"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], name="conv2", pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c2"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f" if dense else "scores"], name="flat"),
    ]
    if dense:
        weights += [weight("w3", 8, 5), weight("b3", 5)]
        nodes.append(helper.make_node("Gemm", ["f", "w3", "b3"], ["scores"], name="dense"))
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 8, 8])]
    if weights_as_inputs:
        inputs += [helper.make_tensor_value_info(item.name, TensorProto.FLOAT, list(item.dims)) for item in weights]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 5 if dense else 8])]
    made = helper.make_model(
        helper.make_graph(nodes, "small", inputs, outputs, weights), opset_imports=[helper.make_opsetid("", opset)]
    )
    made.ir_version = ir
    return made


def write(folder: Path, **options: Any) -> GraphModel:
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(build(**{"batch": "batch", **options}), folder / "model.onnx")
    return GraphModel(folder / "model.onnx", SIGNATURE)


def images(count: int = 40) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).random((count, 3, 8, 8)).astype(np.float32)


def write_residual(folder: Path) -> GraphModel:
    """Write a block whose input two convolutions take, and whose answers are added."""
    generator = np.random.default_rng(0)
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (8, 8, 1, 1)}
    weights = [
        numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32) * 0.3, name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], name="stem", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], name="way", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["r1", "w3"], ["c3"], name="shortcut"),
        helper.make_node("Add", ["c2", "c3"], ["sum"], name="sum"),
        helper.make_node("GlobalAveragePool", ["sum"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["scores"], name="flat"),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 8])]
    made = helper.make_model(
        helper.make_graph(nodes, "residual", inputs, outputs, weights), opset_imports=[helper.make_opsetid("", 17)]
    )
    made.ir_version = 9
    folder.mkdir(parents=True)
    onnx.save(made, folder / "model.onnx")
    return GraphModel(folder / "model.onnx", SIGNATURE)


def executed(path: Path, folder: Path) -> list[str]:
    """Return the operators that a session carries out, of a graph that it optimizes."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node]
