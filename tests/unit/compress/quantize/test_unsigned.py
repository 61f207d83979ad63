"""Dynamic 8-bit products answer the same on every processor: nothing of them is signed beside unsigned activations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime.quantization as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.unit.compress.conftest import MakeContext

from modelpress.api.source import TensorSpec
from modelpress.api.stages import Quantize
from modelpress.compress import graph
from modelpress.compress.models import GraphModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import quantize

WIDTH = 64


def write(folder: Path, kind: str) -> GraphModel:
    """Write a product or an LSTM with weights as large as their codes go, which overflow 16 bits in pairs."""
    folder.mkdir()
    generator = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(generator.choice([-1.0, 1.0, 0.9], shape).astype(np.float32), name)

    if kind == "MatMul":
        node, weights = helper.make_node("MatMul", ["x", "w"], ["y"], name="dense"), [weight("w", WIDTH, 32)]
    else:
        node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], name="cell", hidden_size=16)
        weights = [weight("w", 1, 64, WIDTH), weight("r", 1, 64, 16)]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, WIDTH])]
    outputs = [helper.make_empty_tensor_value_info("y")]
    outputs[0].type.tensor_type.elem_type = TensorProto.FLOAT
    made = helper.make_model(
        helper.make_graph([node], kind, inputs, outputs, weights), opset_imports=[helper.make_opsetid("", 17)]
    )
    made.ir_version = 9
    onnx.save(onnx.shape_inference.infer_shapes(made), folder / "model.onnx")
    named = Signature((TensorSpec(name="x", shape=("batch", 3, WIDTH)),), (TensorSpec(name="y"),))
    return GraphModel(folder / "model.onnx", named)


@pytest.mark.parametrize("kind", ["MatMul", "LSTM"])
def test_weights_are_unsigned_and_answers_exact(kind: str, tmp_path: Path, make_context: MakeContext) -> None:
    before = write(tmp_path / "in", kind)
    after = quantize.run(before, Quantize.model_validate({"preset": "INT8_DYNAMIC"}), make_context())
    kinds = {item.data_type for item in onnx.load(after.path).graph.initializer if len(item.dims) > 1}
    assert TensorProto.UINT8 in kinds
    assert TensorProto.INT8 not in kinds
    inputs = {"x": np.random.default_rng(1).random((5, 3, WIDTH), np.float32)}
    wanted, got = (graph.run(graph.open_session(item.path), inputs)["y"] for item in (before, after))
    assert np.abs(got - wanted).mean() < 0.005 * np.abs(wanted).max()


def test_the_codes_stand_for_the_weights_that_onnxruntime_rounded_to(tmp_path: Path, make_context: MakeContext) -> None:
    before = write(tmp_path / "in", "MatMul")
    signed = tmp_path / "signed.onnx"
    ort.quantize_dynamic(before.path, signed, per_channel=True, weight_type=ort.QuantType.QInt8)
    after = quantize.run(before, Quantize.model_validate({"preset": "INT8_DYNAMIC"}), make_context())

    def codes(path: Path) -> np.ndarray[Any, Any]:
        proto = onnx.load(path)
        tensors = {item.name: numpy_helper.to_array(item).astype(np.int32) for item in proto.graph.initializer}
        node = next(item for item in proto.graph.node if item.op_type == "MatMulInteger")
        return np.asarray(tensors[node.input[1]] - tensors[node.input[3]])

    np.testing.assert_array_equal(codes(after.path), codes(signed))
